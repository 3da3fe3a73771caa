"""The cleanup at the end of the request."""

from collections.abc import Awaitable, Callable
from typing import Any

from epilogue import _host

_callbacks: list[Callable[[], Any]] = []
_closing = False


def on_teardown(callback: Callable[[], Awaitable[object] | object]) -> None:
    """Registers `callback` to run at the end of the request, before the callbacks that were registered earlier.

    The callback runs after the request's last task, so tasks may use what the handler opened. It may be `def` or `async
    def`. A callback may add tasks, which run after it. A callback may also register more callbacks, which run next. If
    a callback raises, the host records the error, and the other callbacks still run.

    Outside a component, this function does nothing.
    """
    if not _host.is_there:
        return
    _callbacks.append(callback)
    if not _closing:
        _host.queue.needs_teardown()


async def close(call: Callable[[Callable[[], Any]], Awaitable[None]]) -> list[Exception]:
    """Runs what was registered, the last first, and returns the errors."""
    global _closing
    _closing = True
    errors = []
    try:
        while _callbacks:
            try:
                await call(_callbacks.pop())
            except Exception as error:
                errors.append(error)
        return errors
    finally:
        _closing = False
        _callbacks.clear()
