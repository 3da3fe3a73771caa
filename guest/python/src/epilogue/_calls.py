"""Serves the calls in which the host runs the component's exports. This module replaces componentize-py's own code for
such calls.

componentize-py's own code has no timers. It traps if the result of a cancelled `await` comes, or if an exception leaves
a call. In this module, one event loop serves all calls of the instance. When the host enters a call, this call runs the
loop, also for the work of other calls.

A waitable is an object, such as a future or a stream, about which the host reports events. The host reports events only
to open calls, so each waitable is joined to an open call. When a call ends, its waitables are joined to another open
call. If no other call is open, the next call takes the waitables."""

import asyncio
import contextvars
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import componentize_py_async_support as support
import componentize_py_runtime as runtime
from componentize_py_types import Err, Ok

from epilogue import _host, _loop, bindings
from epilogue.bindings.imports import monotonic_clock
from epilogue.bindings.imports import wasi_http_types as http

loop = _loop.Loop()

_open: list["Call"] = []
_driver: "Call | None" = None
# The waitables that wait for an event. For each waitable: its future, and the promise from which the answer is read.
_pending: dict[int, tuple[asyncio.Future[Any], Any]] = {}
# The waitables that wait for the next call, because no call was open.
_orphans: set[int] = set()
# The times at which the host will wake the loop for its timers.
_alarms: list[float] = []


class Call:
    """One call of an export. The call ends when its coroutine and all tasks that the call has created have ended."""

    def __init__(self, export: int, borrows: int, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.is_open = True
        self.tasks: set[asyncio.Task[Any]] = set()
        self.has_returned = False
        self.parted: asyncio.Future[None] = loop.create_future()
        self._export, self._borrows, self._name = export, borrows, getattr(coroutine, "__name__", "")
        self._set: int | None = None
        self._waitables: set[int] = set()
        context = contextvars.Context()
        context.run(_loop._owner.set, self)
        self.main: asyncio.Task[Any] = _loop.hide(context.run(asyncio.Task, coroutine, loop=loop))
        # The coroutine of the new call runs before all callbacks that are already ready. So these callbacks cannot add
        # a task between the host's last check of the queue and the start of the teardown.
        loop._ready.rotate(1)

    def part(self) -> None:
        """Allows the call to end although some of its asyncio tasks are unfinished. Later calls run the unfinished
        tasks, and the teardown waits for them."""
        if not self.parted.done():
            self.parted.set_result(None)

    @property
    def is_over(self) -> bool:
        """Returns whether the call's coroutine and all its asyncio tasks have ended."""
        return self.main.done() and (self.parted.done() or not self.tasks)

    def drive(self) -> int:
        """Runs the loop. Returns the code with which this call tells the host to wait, or that the call has ended."""
        global _driver
        _driver = self
        try:
            while _orphans:
                self.join(_orphans.pop())
            is_idle = self._run()
            while is_idle and not self.is_over and not _set_alarm():
                is_idle = self._run()
            if self.is_over:
                self._end()
                return int(support._CallbackCode.EXIT)
            for other in _open:
                if other is not self and other.is_over:
                    other.wake()
            if not is_idle:
                # The host wakes the loop after a short pause. Without the pause, other events might never come, because
                # the host delivers the event with the lowest handle first.
                _wake_at(loop.time() + 0.001)
        finally:
            _driver = None
        runtime.context_set(self)
        return int(support._CallbackCode.WAIT | (self._waitable_set() << 4))

    def _run(self) -> bool:
        """Runs the loop, and passes the call's result to the host as soon as there is a result. Returns False if
        further callbacks are ready to run."""
        is_idle = loop.run_ready()
        if self.main.done() and not self.has_returned:
            self._return()
            is_idle = loop.run_ready()
        return is_idle

    def join(self, waitable: int) -> None:
        """Makes the host report this waitable's event to this call."""
        self._waitables.add(waitable)
        runtime.waitable_join(waitable, self._waitable_set())

    def leave(self, waitable: int) -> None:
        """Removes a waitable from this call, because the waitable's event has come."""
        self._waitables.discard(waitable)
        runtime.waitable_join(waitable, 0)

    def wake(self) -> None:
        """Sends this call an event, because a call can end only when the host enters it."""
        writer, reader = bindings.byte_stream()
        answer = runtime.stream_read(reader.type_, reader.handle, 1)
        waitable, promise = answer.value
        future = loop.create_future()
        _pending[waitable] = (future, promise)
        future.add_done_callback(lambda _: (reader.__exit__(None, None, None), writer.__exit__(None, None, None)))
        self.join(waitable)
        runtime.stream_write(writer.type_, writer.handle, b"\0")

    def _waitable_set(self) -> int:
        if self._set is None:
            self._set = runtime.waitable_set_new()
        return self._set

    def _return(self) -> None:
        self.has_returned = True
        error = asyncio.CancelledError() if self.main.cancelled() else self.main.exception()
        result = Ok(self.main.result()) if error is None else _as_err(self._name, error)
        runtime.call_task_return(self._export, self._borrows, result)

    def _end(self) -> None:
        self.is_open = False
        _open.remove(self)
        for task in self.tasks:
            _loop.loose.add(task)
            task.add_done_callback(_loop.loose.discard)
        if self.tasks:
            _host.queue.needs_teardown()
        heir = _open[0] if _open else None
        for waitable in self._waitables:
            runtime.waitable_join(waitable, 0)
            if heir is None:
                _orphans.add(waitable)
            else:
                heir.join(waitable)
        if self._set is not None:
            runtime.waitable_set_drop(self._set)


def _as_err(export: str, error: BaseException) -> Any:
    """Converts an exception to the error type of an export. If an export returns a value of another type or raises an
    exception, the component traps."""
    types = _host.types
    kinds, wrap = {
        "handle": (http.ErrorCode, http.ErrorCode_InternalError),
        "run": (types.TaskError, types.TaskError_Failed),
        "teardown": (str, str),
    }[export]
    if isinstance(error, Err) and isinstance(error.value, kinds):
        return error
    if isinstance(error, asyncio.CancelledError):
        return Err(wrap("the host cancelled the call"))
    traceback.print_exception(error)
    return Err(wrap(describe(error)))


def describe(error: BaseException) -> str:
    """Returns the text of an exception in one line. The host records this text as the task's error."""
    return "".join(traceback.format_exception_only(error)).strip()


def current() -> Call:
    """Returns the call that the host has entered."""
    if _driver is None:
        raise RuntimeError("this runs in the build, outside a call of the host's")
    return _driver


def unfinished() -> set[asyncio.Future[Any]]:
    """Returns the futures for which the other open calls wait: their asyncio tasks, and their futures `parted`."""
    here = current()
    calls = [call for call in _open if call is not here and call.tasks and not call.parted.done()]
    return {future for call in calls for future in (call.parted, *call.tasks)}


def first_poll(export: int, borrows: int, coroutine: Coroutine[Any, Any, Any]) -> int:
    """Begins a call of an export. The generated code calls this function."""
    _host.is_there = True
    call = Call(export, borrows, coroutine)
    _open.append(call)
    return call.drive()


def callback(event: int, waitable: int, result: int) -> int:
    """Continues a call after an event. The generated code calls this function."""
    call: Call = runtime.context_get()
    runtime.context_set(None)
    kinds, statuses = support._Event, support._Status
    if event == kinds.CANCELLED:
        call.main.cancel()
        for task in call.tasks:
            task.cancel()
    elif event != kinds.NONE and not (event == kinds.SUBTASK and result == statuses.STARTED):
        call.leave(waitable)
        if event == kinds.SUBTASK:
            runtime.subtask_drop(waitable)
        future, promise = _pending.pop(waitable)
        if future.done():
            # The app has cancelled the wait. This code still reads the answer, because reading frees the answer's
            # memory.
            runtime.promise_get_result(result, promise)
        else:
            future.set_result(result)
    return call.drive()


async def await_result(answer: Any) -> Any:
    """Waits for the host's answer to a call of an import. The generated code calls this function."""
    if isinstance(answer, Ok):
        return answer.value
    waitable, promise = answer.value
    future = loop.create_future()
    _pending[waitable] = (future, promise)
    if _driver is None:
        raise RuntimeError("this waits for the host, and there is none in the build")
    _driver.join(waitable)
    return runtime.promise_get_result(await future, promise)


def spawn(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Runs a coroutine as a part of the current call. The generated code calls this function."""
    loop.create_task(coroutine)


def _set_alarm() -> bool:
    """Asks the host to wake the loop when the earliest timer is due. Returns False if the timer is already due."""
    when = loop.next_timer()
    return when is None or _wake_at(when)


def _wake_at(when: float) -> bool:
    """Asks the host to wake the loop at the time `when`. Returns False if this time has already passed.

    The loop cannot cancel a wait at the host. If the host will already wake the loop at an earlier time, this function
    starts no second wait.
    """
    if any(alarm <= when for alarm in _alarms):
        return True
    with _loop.owned_by(None):
        alarm: asyncio.Task[None] = asyncio.Task(_alarm(when), loop=loop, eager_start=True)  # type: ignore[call-arg]
    _loop.hide(alarm)
    return not alarm.done()


async def _alarm(when: float) -> None:
    _alarms.append(when)
    try:
        await monotonic_clock.wait_for(max(0, int((when - loop.time()) * 1e9)))
    finally:
        # This line also runs if the app cancels all asyncio tasks. The next timer then starts a new wait.
        _alarms.remove(when)


def run_in_build(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine during the build. The build has no host, so the coroutine must not wait for the host."""
    task = loop.create_task(coroutine)
    loop.run_ready()
    if not task.done():
        task.cancel()
        loop.run_ready()
    loop.forget_timers()
    return task.result()


def install() -> None:
    """Replaces componentize-py's event loop, and its functions that serve calls."""
    replaced: dict[str, Callable[..., Any] | _loop.Loop] = {
        "_loop": loop,
        "first_poll": first_poll,
        "callback": callback,
        "await_result": await_result,
        "spawn": spawn,
    }
    for name, value in replaced.items():
        setattr(support, name, value)
    asyncio.set_event_loop(loop)
    sys.set_asyncgen_hooks(firstiter=loop._asyncgen_firstiter_hook, finalizer=loop._asyncgen_finalizer_hook)
    asyncio.events._set_running_loop(loop)
