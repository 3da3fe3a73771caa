"""The callbacks that run at the end of a request."""

from collections.abc import Awaitable, Callable
from typing import Any

from epilogue import _host

_callbacks: list[Callable[[], Any]] = []
_closing = False


def on_teardown(callback: Callable[[], Awaitable[object] | object]) -> None:
    """Registers `callback` to run at the end of the request. The callbacks run in reverse order of registration.

    The callback runs after the request's last task, so tasks may still use resources that the handler opened. The
    callback may be `def` or `async def`. The callback may add tasks, which the host runs after all callbacks. If the
    callback registers another callback, the new callback runs next. If a callback raises an exception, the host logs
    the error, and the other callbacks still run.

    Outside a component, this function does nothing.
    """
    if not _host.is_there:
        return
    _callbacks.append(callback)
    if not _closing:
        _host.queue.needs_teardown()


async def close(call: Callable[[Callable[[], Any]], Awaitable[None]]) -> list[Exception]:
    """Runs the registered callbacks, the last registered callback first. Returns the exceptions that they have
    raised."""
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
