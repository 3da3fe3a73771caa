"""The options of a task."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypedDict

RunWhen = Literal["success", "failure", "always"]
"""When a task runs: `success` means after a response of any status, `failure` after a failure of the handler, and
`always` in both cases."""

FailurePolicy = Literal["stop", "continue"]
"""What happens to a request's remaining tasks after one task has failed: with `stop`, the host skips them, and with
`continue`, it runs them. A task also counts as failed if it traps or times out."""

Seconds = float | timedelta
"""A duration, as a number of seconds or a `timedelta`."""

_LONGEST = 2**64 - 1


def nanoseconds(duration: Seconds) -> int:
    """Converts a duration to nanoseconds. The result is at most 584 years, because it must fit into 64 bits."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if not seconds >= 0:
        raise ValueError(f"a duration cannot be negative or NaN: {duration!r}")
    return _LONGEST if seconds * 1e9 >= _LONGEST else round(seconds * 1e9)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pauses between the attempts of a task. Each pause is twice as long as the previous pause, up to `max`.

    The host shortens each pause at random, by up to half. So if many tasks fail at the same time, their next attempts
    do not all begin at the same time.
    """

    first: Seconds
    """The pause after the first failed attempt. A value below one millisecond counts as one millisecond."""
    max: Seconds
    """The longest pause between two attempts. If `max` is shorter than `first`, every pause is `first`."""

    def __post_init__(self) -> None:
        nanoseconds(self.first)
        nanoseconds(self.max)


class Options(TypedDict, total=False):
    """The type of the options that `@task` and `with_options` take as keyword arguments. `TaskOptions` describes each
    option."""

    run_when: RunWhen
    timeout: Seconds | None
    max_attempts: int | None
    backoff: Backoff | None
    cancel_on_disconnect: bool
    durable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """The options of one task, which say when, how often and how long the task runs."""

    run_when: RunWhen = "success"
    """When the task runs: `"success"` means after a response of any status, `"failure"` after a failure of the handler,
    and `"always"` in both cases."""
    timeout: Seconds | None = None
    """The time limit for one attempt. The default is the operator's setting `task-timeout`, which is 30 s. A longer
    timeout than `task-timeout` has no effect."""
    max_attempts: int | None = None
    """The largest number of attempts. The default is one attempt. For a durable task, the default is the operator's
    setting `durable-attempts`, which is 10."""
    backoff: Backoff | None = None
    """The pauses between attempts. The default is 100 ms to 10 s. For a durable task, the default is given by the
    operator's settings `durable-backoff` (15 s) and `durable-max-backoff` (1 h)."""
    cancel_on_disconnect: bool = False
    """If true, the host cancels the task if the client leaves before the response is complete."""
    durable: bool = False
    """If true, the host stores the task in the task engine, so that the task survives a crash of the host. A durable
    task runs at least once, on this host or in a worker. The function of a durable task must be a function of a module.
    The arguments of a durable task must be JSON: str, int, float, bool, None, list, dict."""

    def __post_init__(self) -> None:
        if self.run_when not in ("success", "failure", "always"):
            raise ValueError(f'run_when is "success", "failure" or "always", not {self.run_when!r}')
        if self.timeout is not None:
            nanoseconds(self.timeout)
        if self.max_attempts is not None and not 0 <= self.max_attempts < 2**32:
            raise ValueError(f"max_attempts is between 1 and 2**32 - 1, not {self.max_attempts!r}")
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            raise TypeError(f"backoff is a Backoff(first, max), not {self.backoff!r}")
