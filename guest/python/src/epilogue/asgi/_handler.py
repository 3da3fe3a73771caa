"""The exported class that serves requests."""

import asyncio
from typing import Any

from epilogue import _instance
from epilogue.asgi import _background
from epilogue.asgi._exchange import Exchange
from epilogue.asgi._lifespan import Lifespan
from epilogue.asgi._scope import http_scope
from epilogue.bindings import exports


def handler(app: Any, root_path: str | None) -> type:
    """Returns the class `Handler` of the component that serves `app`."""
    lifespan = Lifespan(app)
    _instance.on_start(lifespan.startup)
    _background.install()

    class Handler(exports.Handler):  # type: ignore[misc]
        """Serves the requests."""

        async def handle(self, request: Any) -> Any:
            """Serves one request."""
            await _instance.start()
            scope = http_scope(request, root_path, lifespan.state)
            exchange = Exchange(request)
            asyncio.create_task(exchange.run(app, scope), eager_start=True)  # type: ignore[call-arg] # noqa: RUF006
            return await exchange.response

    return Handler
