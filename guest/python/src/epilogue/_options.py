"""The options of a task."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypedDict

RunWhen = Literal["success", "failure", "always"]
"""The results of the handler after which a task runs: a response of any status, a failure, or both."""

FailurePolicy = Literal["stop", "continue"]
"""Whether a request's remaining tasks run after one did not succeed."""

Seconds = float | timedelta
"""A duration: a number of seconds or a `timedelta`."""

_LONGEST = 2**64 - 1


def nanoseconds(duration: Seconds) -> int:
    """Converts a duration to nanoseconds. More than 584 years become 584 years."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if not seconds >= 0:
        raise ValueError(f"a duration cannot be negative or NaN: {duration!r}")
    return _LONGEST if seconds * 1e9 >= _LONGEST else round(seconds * 1e9)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits between the attempts of a task. The wait doubles after each failed attempt.

    The host shortens each wait at random, by up to half, so that tasks that failed together do not all retry together.
    """

    first: Seconds
    """The wait after the first failed attempt. A value below one millisecond counts as one millisecond."""
    max: Seconds
    """The longest wait. A value below `first` counts as `first`."""

    def __post_init__(self) -> None:
        nanoseconds(self.first)
        nanoseconds(self.max)


class Options(TypedDict, total=False):
    """The options as keyword arguments. `TaskOptions` describes each."""

    run_when: RunWhen
    timeout: Seconds | None
    max_attempts: int | None
    backoff: Backoff | None
    cancel_on_disconnect: bool
    durable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """The options of one task: when it runs, how often, and for how long."""

    run_when: RunWhen = "success"
    """The results of the handler after which the task runs. `"success"` is a response of any status."""
    timeout: Seconds | None = None
    """The timeout of one attempt. Default, and upper bound: the host's setting `task-timeout`, 30 s unless changed."""
    max_attempts: int | None = None
    """The largest number of attempts. Default: one or, for a durable task, the host's setting `durable-attempts`."""
    backoff: Backoff | None = None
    """The waits between attempts. Default: 100 ms to 10 s or, for a durable task, the host's settings."""
    cancel_on_disconnect: bool = False
    """Cancel the task if the client leaves before the response is complete."""
    durable: bool = False
    """Store the task where it survives the host. The task then runs at least once, on this host or in a worker. Its
    function must be a function of a module, and its arguments must be JSON: str, int, float, bool, None, list, dict."""

    def __post_init__(self) -> None:
        if self.run_when not in ("success", "failure", "always"):
            raise ValueError(f'run_when is "success", "failure" or "always", not {self.run_when!r}')
        if self.timeout is not None:
            nanoseconds(self.timeout)
        if self.max_attempts is not None and not 0 <= self.max_attempts < 2**32:
            raise ValueError(f"max_attempts is between 1 and 2**32 - 1, not {self.max_attempts!r}")
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            raise TypeError(f"backoff is a Backoff(first, max), not {self.backoff!r}")
