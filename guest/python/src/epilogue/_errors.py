"""The reasons why the host or this package refuses a task."""

from enum import StrEnum
from typing import Any


class EnqueueErrorKind(StrEnum):
    """The reason of an EnqueueError, as a constant."""

    QUEUE_FULL = "queue-full"
    """The request already has the largest allowed number of tasks. The error's `limit` is the largest allowed
    number."""
    ARGS_TOO_LARGE = "args-too-large"
    """The task's arguments are too large. The error's `limit` is the limit for one task, in bytes."""
    REQUEST_ARGS_TOO_LARGE = "request-args-too-large"
    """The arguments of all tasks of the request would be too large together. The error's `limit` is the limit for all
    of them, in bytes."""
    BAD_ARGS = "bad-args"
    """The task is durable, and its function or its arguments cannot be stored as JSON."""
    NO_RUNNER = "no-runner"
    """The component cannot run tasks, because the app's module has no class `Runner`."""
    SHUTTING_DOWN = "shutting-down"
    """The host is shutting down and accepts no more tasks."""
    CLOSED = "closed"
    """There is no current request. The request has already ended with its teardown, or no request has begun."""
    UNSUPPORTED = "unsupported"
    """The host does not support an option of the task, such as `durable`. The message names the option and the
    reason."""
    TOO_MANY_GENERATIONS = "too-many-generations"
    """Durable tasks have added durable tasks in a chain that is longer than the limit. The error's `limit` is the
    largest length of the chain after the request's own task."""
    BACKLOG_FULL = "backlog-full"
    """The task is durable, but the task engine already holds the durable tasks of too many requests. The error's
    `limit` is the largest number of such requests."""
    OTHER = "other"
    """The host refuses the task for another reason. The message names the reason."""


_MESSAGES = {
    EnqueueErrorKind.QUEUE_FULL: "the request already has {value} background tasks, which is the limit",
    EnqueueErrorKind.ARGS_TOO_LARGE: "the arguments are larger than the limit for one background task, {value} bytes",
    EnqueueErrorKind.REQUEST_ARGS_TOO_LARGE: (
        "the arguments of all the request's background tasks are together larger than the limit, {value} bytes"
    ),
    EnqueueErrorKind.BAD_ARGS: "{value}",
    EnqueueErrorKind.NO_RUNNER: (
        "the component does not export `runner`, so no background task can run: add `Runner` from `epilogue` to the "
        "app's module"
    ),
    EnqueueErrorKind.SHUTTING_DOWN: "the host is shutting down and accepts no more background tasks",
    EnqueueErrorKind.CLOSED: "there is no open request to attach a background task to",
    EnqueueErrorKind.UNSUPPORTED: "the host cannot run the background task: {value}",
    EnqueueErrorKind.TOO_MANY_GENERATIONS: (
        "durable tasks have added durable tasks for {value} generations, which is the limit"
    ),
    EnqueueErrorKind.BACKLOG_FULL: (
        "the durable tasks of {value} requests are already waiting, which is the limit: try again later"
    ),
    EnqueueErrorKind.OTHER: "the host did not accept the background task: {value}",
}


class EnqueueError(Exception):
    """The error that `add_task` raises if the task is refused. A refused task never runs."""

    kind: EnqueueErrorKind
    """The reason for the refusal."""
    limit: int | None
    """The limit that the task would exceed. None if the task would not exceed a limit."""

    def __init__(self, kind: EnqueueErrorKind, value: int | str | None = None) -> None:
        super().__init__(_MESSAGES[kind].format(value=value))
        self.kind = kind
        self.limit = value if isinstance(value, int) else None

    @property
    def status(self) -> int:
        """The HTTP status of the response if the app does not catch this error. The status is 503 if the same request
        may succeed later, and otherwise 500."""
        later = (EnqueueErrorKind.SHUTTING_DOWN, EnqueueErrorKind.BACKLOG_FULL)
        return 503 if self.kind in later else 500

    @classmethod
    def from_wit(cls, error: Any) -> "EnqueueError":
        """Converts a value of the WIT's variant `enqueue-error`."""
        case = type(error).__name__.removeprefix("EnqueueError_")
        kind = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in case)[1:]
        return cls(EnqueueErrorKind(kind), getattr(error, "value", None))
