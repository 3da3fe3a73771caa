"""The functions that the host calls to run a task or the teardown."""

import asyncio
import inspect
import sys
import traceback
from collections.abc import Callable
from typing import Any

from componentize_py_types import Err

from epilogue import _args, _calls, _context, _host, _instance, _loop, _task, _teardown, _waiting
from epilogue.bindings import exports

# The longest time, in seconds, for which a teardown waits for unfinished work of the handler and the tasks.
_PATIENCE = 5.0


class Runner(exports.Runner):  # type: ignore[misc]
    """Runs the tasks. The app's module must have this class under the name `Runner`."""

    async def run(self, task: Any) -> None:
        """Runs one task."""
        await _instance.start()
        function, args, kwargs = _resolve(task)
        _context.running.set(task)
        try:
            await _call(function, *args, **kwargs)
        except asyncio.CancelledError:
            # In a composed component, the adapter cancels the call at the task's deadline.
            _waiting.end(task.id, TimeoutError(f"the task {task.name!r} took longer than its timeout"), task.attempt)
            raise
        except Exception as error:
            _waiting.end(task.id, error, task.attempt)
            if _is_of_the_call(error, function, args, kwargs):
                raise Err(_host.types.TaskError_BadArgs(str(error))) from None
            print(f"the task {task.name!r} failed:", file=sys.stderr)
            traceback.print_exception(error)
            raise Err(_host.types.TaskError_Failed(_calls.describe(error))) from None
        _waiting.end(task.id)
        _args.forget(task.args)

    async def teardown(self, outcome: Any) -> None:
        """Runs the callbacks that were registered with `on_teardown`."""
        _waiting.end_all()
        _args.forget()
        await _wait_for_work()
        if _waiting.is_any():
            # The app has added tasks during the wait. The host runs these tasks first, and then calls the teardown
            # again.
            _host.queue.needs_teardown()
            return
        errors = await _teardown.close(_call)
        for error in errors:
            traceback.print_exception(error)
        if errors:
            raise Err("; ".join(map(_calls.describe, errors)))


async def _wait_for_work() -> None:
    """Waits until the asyncio tasks of earlier calls have ended, but leaves enough time for the callbacks.

    `epilogue up` has already waited for the open calls, but a stock host has not.
    """
    end = _calls.loop.time() + _PATIENCE
    while (work := _loop.loose | _calls.unfinished()) and _calls.loop.time() < end:
        # Each wait is short, because this code cannot cancel a timer at the host. If no call is open, the wait needs no
        # timer.
        step = 0.1 if _calls.unfinished() else None
        await asyncio.wait(work, timeout=step, return_when=asyncio.FIRST_COMPLETED)


def _resolve(task: Any) -> tuple[Callable[..., Any], Any, dict[str, Any]]:
    if _args.is_closure(task.args):
        closure = _args.kept(task.args)
        if closure is None:
            raise Err(_host.types.TaskError_BadArgs(f"the arguments of {task.name!r} are not in this instance"))
        return closure
    function = _task.find(task.name)
    if function is None:
        raise Err(_host.types.TaskError_UnknownTask())
    try:
        args, kwargs = _args.read(task.args)
    except ValueError as error:
        raise Err(_host.types.TaskError_BadArgs(str(error))) from None
    return function, args, kwargs


async def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    result = function(*args, **kwargs)
    if inspect.isawaitable(result):
        await result


def _is_of_the_call(error: Exception, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> bool:
    """Returns whether the error says that the function cannot be called with these arguments."""
    if not isinstance(error, TypeError):
        return False
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return True
    return False
