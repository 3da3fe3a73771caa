from datetime import timedelta

import pytest

from epilogue import Backoff, TaskOptions
from epilogue._options import nanoseconds


def test_the_defaults_are_those_of_the_contract() -> None:
    options = TaskOptions()
    assert (options.run_when, options.timeout, options.max_attempts, options.backoff) == ("success", None, None, None)
    assert not options.cancel_on_disconnect
    assert not options.durable


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(0, 0), (0.001, 1_000_000), (5, 5_000_000_000), (timedelta(minutes=1), 60_000_000_000), (1e30, 2**64 - 1)],
)
def test_a_duration_is_seconds_or_a_timedelta(duration: float | timedelta, expected: int) -> None:
    assert nanoseconds(duration) == expected


@pytest.mark.parametrize("duration", [-1, float("nan"), timedelta(seconds=-1)])
def test_a_duration_is_not_negative(duration: float | timedelta) -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        TaskOptions(timeout=duration)
    with pytest.raises(ValueError, match="cannot be negative"):
        Backoff(first=duration, max=1)


def test_wrong_options_are_explained() -> None:
    with pytest.raises(ValueError, match='"success", "failure" or "always", not \'never\''):
        TaskOptions(run_when="never")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_attempts is between 1"):
        TaskOptions(max_attempts=-1)
    with pytest.raises(TypeError, match="Backoff"):
        TaskOptions(backoff=5)  # type: ignore[arg-type]
