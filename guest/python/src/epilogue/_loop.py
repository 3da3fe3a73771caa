"""The event loop, which is asyncio's loop without a selector. The loop runs during the host's calls, as `_calls`
describes."""

import asyncio
import contextvars
import heapq
import threading
from asyncio import base_events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol, TypeVar

_T = TypeVar("_T")
# The largest number of rounds that the loop runs before it returns to the host. The host can then deliver events, even
# if the app never waits, as in `while True: await asyncio.sleep(0)`.
_ROUNDS = 1000


class Owner(Protocol):
    """A call in which the host runs an export. The call ends when all asyncio tasks that it has created have ended."""

    is_open: bool
    tasks: set[asyncio.Task[Any]]


_owner: contextvars.ContextVar[Owner | None] = contextvars.ContextVar("epilogue_owner", default=None)

loose: set[asyncio.Task[Any]] = set()
"""The asyncio tasks that were still running when their call ended. The teardown waits for these tasks."""


@contextmanager
def owned_by(owner: Owner | None) -> Iterator[None]:
    """Makes the call `owner` wait for all asyncio tasks that the code in the `with` block creates. If `owner` is None,
    no call waits for these tasks."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def hide(task: asyncio.Task[_T]) -> asyncio.Task[_T]:
    """Removes an asyncio task of this package from `asyncio.all_tasks()`, because some apps cancel all tasks that
    `asyncio.all_tasks()` returns."""
    asyncio._unregister_task(task)
    return task


class Loop(base_events.BaseEventLoop):
    """The instance's event loop. The loop is always running, so `asyncio.run` raises RuntimeError."""

    # asyncio has these attributes, but declares no types for them.
    _ready: deque[asyncio.Handle]
    _scheduled: list[Any]
    _timer_cancelled_count: int
    _asyncgen_firstiter_hook: Any
    _asyncgen_finalizer_hook: Any

    def __init__(self) -> None:
        super().__init__()
        self._thread_id = threading.get_ident()
        self._clock_resolution = 1e-6

    def run_ready(self) -> bool:
        """Runs callbacks until no callback is ready. Returns False if callbacks are still ready after the largest
        number of rounds."""
        for _ in range(_ROUNDS):
            self._queue_due_timers()
            if not self._ready:
                return True
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle._cancelled:
                    try:
                        handle._run()
                    except (SystemExit, KeyboardInterrupt) as error:
                        # If a task calls `sys.exit`, asyncio stores this error as the task's result. The instance goes
                        # on.
                        self.call_exception_handler({"message": "a task tried to exit", "exception": error})
        return False

    def next_timer(self) -> float | None:
        """Returns the time of the earliest timer. Returns None if the loop has no timer."""
        while self._scheduled and self._scheduled[0]._cancelled:
            self._pop_timer()
        return self._scheduled[0].when() if self._scheduled else None

    def forget_timers(self) -> None:
        """Drops all timers."""
        while self._scheduled:
            self._pop_timer()
        self._timer_cancelled_count = 0

    def _queue_due_timers(self) -> None:
        when = self.next_timer()
        if when is None:
            return
        now = self.time()
        while when is not None and when <= now:
            self._ready.append(self._pop_timer())
            when = self.next_timer()

    def _pop_timer(self) -> Any:
        handle = heapq.heappop(self._scheduled)
        if handle._cancelled:
            self._timer_cancelled_count -= 1
        handle._scheduled = False
        return handle

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        context = options.get("context")
        owner = _owner.get() if context is None else context.get(_owner)
        task = super().create_task(coro, **options)
        if owner is not None and not task.done():
            tasks = owner.tasks if owner.is_open else loose
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Calls the function at once, because a component has no threads."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _write_to_self(self) -> None:
        """Does nothing. asyncio calls this method to wake the loop from other threads, but a component has no other
        threads."""


def _unsupported(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError(
        "asyncio in a component has no sockets, pipes, signals or processes: call other services with httpx.AsyncClient"
    )


_UNSUPPORTED = """
add_reader add_writer add_signal_handler remove_signal_handler connect_accepted_socket connect_read_pipe connect_write_pipe
create_connection create_datagram_endpoint create_server create_unix_connection create_unix_server getaddrinfo getnameinfo
sendfile sock_accept sock_connect sock_recv sock_sendall start_tls subprocess_exec subprocess_shell
"""
for _name in _UNSUPPORTED.split():
    setattr(Loop, _name, _unsupported)
