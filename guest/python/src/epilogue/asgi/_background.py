"""Makes Starlette's and FastAPI's `BackgroundTasks` tasks of the host."""

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
    # A class of the app keeps its own method, which in the end calls a method of Starlette or FastAPI.
    if "__call__" in vars(kind) and kind.__module__.partition(".")[0] in ("starlette", "fastapi"):
        kind.__call__ = _after_response(kind.__call__)
    for subclass in kind.__subclasses__():
        _replace(subclass)


def _after_response(run_now: Any) -> Any:
    async def call(self: Any) -> None:
        """Enqueues the tasks, sends the last part of the response, and waits for the tasks.

        A dependency with `yield` and other code around the response stay open until the last task has ended. As in
        Starlette, this code sees the exception of the first task that fails.
        """
        exchange = current.get()
        if exchange is None:
            await run_now(self)
            return
        tasks, done = getattr(self, "tasks", [self]), 0
        if not exchange.is_complete:
            # The original method of several tasks calls the method of each task.
            if tasks != [self] or not _enqueue_before_the_response(self):
                await run_now(self)
            return
        first: BaseException | None = None
        # A running task may append further tasks.
        while new := tasks[done:]:
            done += len(new)
            try:
                futures = _enqueue_all(new)
            except Exception as error:
                # The app may catch the exception. The client must not be told that the tasks were accepted.
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
    """Enqueues a durable task, although the response is not complete. Returns False for other tasks, which must run
    now.

    A middleware waits for the end of the app, and the app waits for its tasks. So the host cannot run the tasks after
    the response.
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
    """Enqueues all tasks, and returns the futures of the tasks that are not durable. If the host refuses a task, no
    task is enqueued."""
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
