"""The current request, the running task, and the host's warning before it stops the instance."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from epilogue import _host


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The request's position in a distributed trace, in the format of W3C Trace Context."""

    traceparent: str
    """The value of the header `traceparent` for requests to other services. If the client sent a valid `traceparent`,
    this value has the same trace id as the client's header. Otherwise, the value has a new trace id."""
    tracestate: str | None
    """The value of the client's header `tracestate`. None if the client sent no `tracestate`, or no valid
    `traceparent`."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The identifier and the trace context of the current request. Handlers, tasks and teardowns can read them."""

    id: str
    """The request's identifier. The host writes the identifier into every event about the request and its tasks."""
    trace_context: TraceContext
    """The request's position in a distributed trace. Send it as headers with requests to other services."""

    @staticmethod
    def current() -> "RequestContext | None":
        """Asks the host for the current request. Returns None outside a request and outside a component."""
        request = _host.context.request() if _host.is_there else None
        if request is None:
            return None
        trace = request.trace_context
        return RequestContext(request.request_id, TraceContext(trace.traceparent, trace.tracestate))


@dataclass(frozen=True, slots=True)
class ResponseOutcome:
    """Says how the response to the request ended."""

    kind: Literal["delivered", "client-gone", "response-failed", "handler-failed"]
    """`delivered`: the operating system has the response's last byte. `client-gone`: the client left before the end of
    the response. `response-failed`: the host did not send the whole response. `handler-failed`: the handler returned no
    response."""
    reason: str | None = None
    """The reason why the response or the handler failed. None if neither failed."""

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
    """The task's number within its request. The numbers are 1, 2, 3 and so on, in the order of registration."""
    name: str
    """The name under which the host knows the task."""
    attempt: int
    """The number of the running attempt. The first attempt has the number 1."""
    outcome: ResponseOutcome
    """Says how the response to the request ended."""
    idempotency_key: str
    """A key that is the same for every attempt of this task. Two tasks never have the same key. Send the key with a
    request to another service, so that the service can ignore the request of a second attempt."""
    request: RequestContext = field(repr=False)
    """The identifier and the trace context of the request to which the task belongs."""

    @staticmethod
    def current() -> "TaskContext | None":
        """Returns the context of the running task. Returns None in a handler, in a teardown and outside a component."""
        task = running.get()
        if task is None:
            return None
        key, request = _host.context.idempotency_key(task.id), RequestContext.current()
        if key is None or request is None:
            return None
        return TaskContext(task.id, task.name, task.attempt, ResponseOutcome.from_wit(task.outcome), key, request)


running: ContextVar[Any] = ContextVar("epilogue_task", default=None)
"""The running task, as the value that the host has passed. None in a handler and in a teardown."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The host's warning that the running handler, task or teardown should stop soon."""

    reason: Literal["deadline", "shutdown"]
    """The reason for the warning: the deadline is near, or the host is shutting down."""
    grace: timedelta
    """The time from now until the host stops the instance by force."""


async def stopping() -> Stop:
    """Waits until the host warns the running handler, task or teardown that it should stop. Returns this warning.

    Wait for this function and for your own work at the same time:

        work, stop = asyncio.create_task(copy_rows()), asyncio.create_task(stopping())
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()

    Outside a component, this function never returns.
    """
    if not _host.is_there:
        await asyncio.Event().wait()
    stop = await _host.stopping()
    return Stop(stop.reason.name.lower(), timedelta(microseconds=stop.grace / 1000))
