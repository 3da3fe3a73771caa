"""The context of running code: its request, its task, and the host's signal to stop."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from epilogue import _host


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The request's position in a distributed trace, as defined by W3C Trace Context."""

    traceparent: str
    """The `traceparent` header that the client sent. If the client sent none, the host creates one."""
    tracestate: str | None
    """The `tracestate` header, if the client sent one."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The identity of the current request, for a handler, a task or a teardown."""

    id: str
    """The request's identifier. All of the request's tasks and the host's events use it."""
    trace_context: TraceContext
    """The request's position in a distributed trace. Send it with requests to other services."""

    @staticmethod
    def current() -> "RequestContext | None":
        """Asks the host for the current request. None outside a request, and outside a component."""
        request = _host.context.request() if _host.is_there else None
        if request is None:
            return None
        trace = request.trace_context
        return RequestContext(request.request_id, TraceContext(trace.traceparent, trace.tracestate))


@dataclass(frozen=True, slots=True)
class ResponseOutcome:
    """The outcome of the request's response."""

    kind: Literal["delivered", "client-gone", "response-failed", "handler-failed"]
    """`delivered`: the operating system has the last byte. `client-gone`: the client left before. `response-failed`:
    the response was not sent completely. `handler-failed`: there was no response."""
    reason: str | None = None
    """The reason of a failure."""

    @staticmethod
    def from_wit(outcome: Any) -> "ResponseOutcome":
        """Converts a value of the WIT's variant `response-outcome`."""
        return ResponseOutcome(_KINDS[type(outcome).__name__], getattr(outcome, "value", None))


_KINDS: dict[str, Literal["delivered", "client-gone", "response-failed", "handler-failed"]] = {
    "ResponseOutcome_Delivered": "delivered",
    "ResponseOutcome_ClientGone": "client-gone",
    "ResponseOutcome_ResponseFailed": "response-failed",
    "ResponseOutcome_HandlerFailed": "handler-failed",
}


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The context of the running task: its number, name, attempt and request."""

    id: int
    """The task's number within its request: 1, 2, 3 … in the order of registration."""
    name: str
    """The name under which the host knows the task."""
    attempt: int
    """The number of the running attempt: 1 for the first, 2 for the second."""
    outcome: ResponseOutcome
    """The outcome of the response."""
    idempotency_key: str
    """A key that is the same for every attempt of this task. No other task anywhere has it. Pass it on to systems that
    deduplicate."""
    request: RequestContext = field(repr=False)
    """The request that added the task."""

    @staticmethod
    def current() -> "TaskContext | None":
        """Returns the running task. None in a handler or a teardown, and outside a component."""
        task = running.get()
        if task is None:
            return None
        key, request = _host.context.idempotency_key(task.id), RequestContext.current()
        if key is None or request is None:
            return None
        return TaskContext(task.id, task.name, task.attempt, ResponseOutcome.from_wit(task.outcome), key, request)


running: ContextVar[Any] = ContextVar("epilogue_task", default=None)
"""The task that runs, as the host has passed it."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The host's signal that the running handler, task or teardown should stop."""

    reason: Literal["deadline", "shutdown"]
    """Why: the deadline is near, or the host is shutting down."""
    grace: timedelta
    """The time until the host stops the instance by force."""


async def stopping() -> Stop:
    """Returns when the running handler, task or teardown should stop, and not earlier.

    Race it against the work:

        work, stop = asyncio.create_task(copy_rows()), asyncio.create_task(stopping())
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()

    Outside a component it never returns.
    """
    if not _host.is_there:
        await asyncio.Event().wait()
    stop = await _host.stopping()
    return Stop(stop.reason.name.lower(), timedelta(microseconds=stop.grace / 1000))
