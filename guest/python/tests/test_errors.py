import re
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import pytest

import epilogue
from epilogue import EnqueueError, EnqueueErrorKind

WIT = Path(epilogue.__file__).parent / "wit" / "types.wit"


def from_wit(case: str, *value: Any) -> EnqueueError:
    """An error of componentize-py's generated class for this case."""
    generated = make_dataclass(f"EnqueueError_{case}", ["value"] if value else [])
    return EnqueueError.from_wit(generated(*value))


def test_the_kinds_are_those_of_the_wit() -> None:
    variant = re.search(r"variant enqueue-error \{(.*?)\n  \}", WIT.read_text(), re.DOTALL)
    assert variant
    cases = re.findall(r"^    ([a-z-]+)", variant[1], re.MULTILINE)
    assert sorted([*cases, "bad-args"]) == sorted(EnqueueErrorKind)


def test_the_message_names_the_limit() -> None:
    error = from_wit("QueueFull", 1000)
    assert error.kind is EnqueueErrorKind.QUEUE_FULL
    assert error.limit == 1000
    assert str(error) == "the request already has 1000 background tasks, which is the limit"
    assert "4096 bytes" in str(from_wit("RequestArgsTooLarge", 4096))
    assert "100 generations" in str(from_wit("TooManyGenerations", 100))


def test_the_reason_is_in_the_message() -> None:
    error = from_wit("Unsupported", "durable: no store")
    assert str(error).endswith("durable: no store")
    assert error.limit is None
    assert "Runner" in str(from_wit("NoRunner"))


@pytest.mark.parametrize("kind", EnqueueErrorKind)
def test_only_what_passes_is_worth_another_try(kind: EnqueueErrorKind) -> None:
    passes = kind in (EnqueueErrorKind.SHUTTING_DOWN, EnqueueErrorKind.BACKLOG_FULL)
    assert EnqueueError(kind, 1).status == (503 if passes else 500)
