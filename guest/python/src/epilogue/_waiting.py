"""Futures of tasks. Code in this instance waits for these futures, for example FastAPI's dependencies, which close
after the tasks."""

import asyncio

_futures: dict[int, asyncio.Future[None]] = {}
_attempts: dict[int, int] = {}
_MARK = "__epilogue_logged__"


def wait_for(id_: int, max_attempts: int) -> asyncio.Future[None]:
    """Returns a future that ends with the last attempt of the task with this number."""
    _attempts[id_] = max_attempts
    _futures[id_] = future = asyncio.get_running_loop().create_future()
    return future


def end(id_: int, error: Exception | None = None, attempt: int | None = None) -> None:
    """Ends the wait for a task that has succeeded, has been cancelled, or has failed in its last attempt."""
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
    """Whether any code waits for a task."""
    return bool(_futures)


def end_all() -> None:
    """Ends all waits. The remaining tasks were skipped or discarded, or another instance runs them."""
    for id_ in list(_futures):
        end(id_)


def has_raised(error: BaseException) -> bool:
    """Whether a task has raised this exception. The exceptions of tasks have been logged."""
    return getattr(error, _MARK, False) is True
