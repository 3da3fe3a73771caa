"""Futures of tasks that something in this instance waits for, such as FastAPI's dependencies that close after the tasks."""

import asyncio

_futures: dict[int, asyncio.Future[None]] = {}
_attempts: dict[int, int] = {}
_MARK = "__epilogue_logged__"


def wait_for(id_: int, max_attempts: int) -> asyncio.Future[None]:
    """The future of the task with this number. It ends with the task's last attempt."""
    _attempts[id_] = max_attempts
    _futures[id_] = future = asyncio.get_running_loop().create_future()
    return future


def end(id_: int, error: Exception | None = None, attempt: int | None = None) -> None:
    """Ends the wait for a task that has succeeded, was cancelled, or has failed in its last attempt."""
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
    """Whether something waits for a task."""
    return bool(_futures)


def end_all() -> None:
    """Ends all waits. The tasks were skipped or discarded, or another instance runs them."""
    for id_ in list(_futures):
        end(id_)


def has_raised(error: BaseException) -> bool:
    """Whether the exception is that of a task, which has been logged."""
    return getattr(error, _MARK, False) is True
