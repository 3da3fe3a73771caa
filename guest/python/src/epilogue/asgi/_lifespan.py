"""Runs the startup of the app's lifespan in each instance, before the instance's first request or task."""

import asyncio
import contextlib
from typing import Any

from epilogue import _loop
from epilogue.asgi._scope import ASGI


class Lifespan:
    """Runs the app's startup once in an instance.

    The host ends an instance without a call, so the app's shutdown never runs.
    """

    def __init__(self, app: Any) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Runs the app's startup. Raises RuntimeError if the startup fails."""
        self.state.clear()
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked = False
        # This asyncio task runs as long as the instance exists, so no call may wait for its end.
        with _loop.owned_by(None):
            self._task = _loop.hide(asyncio.create_task(self._run()))
        await self._started

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": ASGI, "state": self.state}
        # If the app has no lifespan, it raises an exception here, which is no error. If the app's startup has failed,
        # the app has already sent `lifespan.startup.failed`.
        with contextlib.suppress(Exception):
            await self._app(scope, self._receive, self._send)
        if not self._started.done():
            self._started.set_result(None)

    async def _receive(self) -> dict[str, Any]:
        if self._asked:
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "lifespan.startup"}

    async def _send(self, message: dict[str, Any]) -> None:
        if self._started.done():
            return
        if message["type"] == "lifespan.startup.failed":
            self._started.set_exception(RuntimeError(f"the app's startup failed: {message.get('message', '')}"))
        elif message["type"] == "lifespan.startup.complete":
            self._started.set_result(None)
