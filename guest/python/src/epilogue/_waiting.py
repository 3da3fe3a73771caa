"""Futures that end when a task of the host has ended. For example, FastAPI closes its dependencies after the tasks, so
it waits for these futures."""

import asyncio

_futures: dict[int, asyncio.Future[None]] = {}
_attempts: dict[int, int] = {}
_MARK = "__epilogue_logged__"


def wait_for(id_: int, max_attempts: int) -> asyncio.Future[None]:
    """Returns a future for the task with this number. The future ends when the task's last attempt has ended."""
    _attempts[id_] = max_attempts
    _futures[id_] = future = asyncio.get_running_loop().create_future()
    return future


def end(id_: int, error: Exception | None = None, attempt: int | None = None) -> None:
    """Ends the future of a task that has succeeded, has been cancelled, or has failed. If the task has failed and will
    be retried, the future does not end."""
    if error is not None and attempt is not None and attempt < _attempts.get(id_, 1):
        return
    _attempts.pop(id_, None)
    future = _futures.pop(id_, None)
    if future is None or future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        setattr(error, _MARK, True)
        future.set_exception(error)


def is_any() -> bool:
    """Returns whether any code waits for the end of a task."""
    return bool(_futures)


def end_all() -> None:
    """Ends all remaining futures. The tasks of these futures do not run in this instance: the host has skipped or
    discarded them, or another instance runs them."""
    for id_ in list(_futures):
        end(id_)


def has_raised(error: BaseException) -> bool:
    """Returns whether a task has raised this exception. If so, the host has already logged the exception."""
    return getattr(error, _MARK, False) is True
