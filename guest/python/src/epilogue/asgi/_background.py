"""Adds the tasks in Starlette's and FastAPI's `BackgroundTasks` to the host's queue."""

import asyncio
import sys
from typing import Any

from epilogue import _waiting
from epilogue._queue import BackgroundTasks, enqueue
from epilogue._task import definition_of
from epilogue.asgi._exchange import current


def install() -> None:
    """Replaces the methods with which Starlette and FastAPI run background tasks after the response."""
    background = sys.modules.get("starlette.background")
    if background is not None:
        _replace(background.BackgroundTask)


def _replace(kind: Any) -> None:
    # If the app has a subclass with its own method, that method stays. It calls the replaced method of its base class.
    if "__call__" in vars(kind) and kind.__module__.partition(".")[0] in ("starlette", "fastapi"):
        kind.__call__ = _after_response(kind.__call__)
    for subclass in kind.__subclasses__():
        _replace(subclass)


def _after_response(run_now: Any) -> Any:
    async def call(self: Any) -> None:
        """Adds the tasks to the host's queue, sends the last part of the response, and waits for the end of the tasks.

        A dependency with `yield` and other code around the response stay open until the last task has ended. As in
        Starlette, this code sees the exception of the first task that fails.
        """
        exchange = current.get()
        if exchange is None:
            await run_now(self)
            return
        tasks, done = getattr(self, "tasks", [self]), 0
        if not exchange.is_complete:
            # The original method of `BackgroundTasks` calls the original method of each task.
            if tasks != [self] or not _enqueue_before_the_response(self):
                await run_now(self)
            return
        first: BaseException | None = None
        # A running task may append further tasks to this object.
        while new := tasks[done:]:
            done += len(new)
            try:
                futures = _enqueue_all(new)
            except Exception as error:
                # The app may catch the exception and go on. The client must still get an error, because a task was
                # refused.
                exchange.refuse(error)
                raise
            await asyncio.shield(exchange.release())
            if futures:
                exchange.call.part()
            for future in futures:
                await asyncio.wait([future])
                if first is None:
                    first = future.exception()
        if first is not None:
            raise first

    return call


def _enqueue_before_the_response(task: Any) -> bool:
    """If the task is durable, adds it to the host's queue before the response is complete. Returns False for other
    tasks, which must run now.

    This function is for apps with a middleware that sends the response only after the app has returned. The app returns
    after its tasks, so these tasks cannot run after the response.
    """
    definition = definition_of(task.func)
    if definition.options.durable:
        enqueue(definition, task.args, task.kwargs)
        return True
    print(
        f"epilogue: the task {definition.name!r} runs before the response, and the host does not record it. A "
        "middleware holds the response back until the app has returned: use Starlette's BaseHTTPMiddleware, or add the task "
        "with `BackgroundTasks` of epilogue",
        file=sys.stderr,
    )
    return False


def _enqueue_all(tasks: list[Any]) -> list[Any]:
    """Adds all tasks to the host's queue, and returns the futures of the tasks that are not durable. If the host
    refuses one task, none of the tasks stays in the queue."""
    ids, futures = [], []
    try:
        for task in tasks:
            definition = definition_of(task.func)
            id_ = enqueue(definition, task.args, task.kwargs)
            ids.append(id_)
            if not definition.options.durable:
                futures.append(_waiting.wait_for(id_, definition.options.max_attempts or 1))
    except BaseException:
        for id_ in ids:
            BackgroundTasks().cancel(id_)
        raise
    return futures
