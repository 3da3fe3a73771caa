"""How tasks end: failures, retries, deadlines and traps."""

import asyncio
import os
import time
from typing import Any

from epilogue import Backoff, EnqueueError, TaskContext, stopping, task, with_options
from scenarios import fail, say, scenario, tasks


@task(name="flaky", max_attempts=3, backoff=Backoff(0.001, 0.001))
async def flaky() -> None:
    context = TaskContext.current()
    assert context
    print(f"attempt {context.attempt} {context.outcome.kind} {len(context.idempotency_key) > 8}")
    if context.attempt < 3:
        raise ValueError("not yet")


@scenario
async def failing(*_: Any) -> str:
    tasks.add_task(fail)
    tasks.add_task(say, "never")
    return "failing"


@scenario
async def going_on(*_: Any) -> str:
    tasks.on_failure("continue")
    tasks.add_task(fail)
    tasks.add_task(say, "still")
    return "going on"


@scenario
async def retries(*_: Any) -> str:
    tasks.add_task(flaky)
    return "retries"


@scenario
async def bad_args(*_: Any) -> str:
    tasks.add_task(fail, 1, 2)  # type: ignore[call-arg]
    return "bad args"


@scenario
async def durable(scope: dict[str, Any], *_: Any) -> str:
    tasks.add_task(with_options(say, durable=True), "durable", scope["query_string"].decode())
    return "durable"


@scenario
async def durable_lambda(*_: Any) -> str:
    try:
        tasks.add_task(with_options(lambda: None, durable=True))
    except EnqueueError as error:
        return f"{error.kind}: {error}"
    return "accepted"


# Deadlines.


@scenario
async def too_slow(*_: Any) -> str:
    tasks.on_failure("continue")
    tasks.add_task(with_options(asyncio.sleep, timeout=0.05), 60)
    tasks.add_task(lambda: say("a closure of the same instance"))
    return "too slow"


@scenario
async def computes(*_: Any) -> str:
    """A task that computes past its deadline, with a closure and a function behind it."""
    tasks.on_failure("continue")
    tasks.add_task(with_options(compute, timeout=0.2), 1)
    tasks.add_task(lambda: say("a closure of the same instance"))
    tasks.add_task(say, "a function")
    return "computes"


def compute(seconds: float) -> None:
    print("computes")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@scenario
async def deadline(*_: Any) -> str:
    tasks.add_task(with_options(until_stopped, timeout=1))
    return "deadline"


@scenario
async def until_shutdown(*_: Any) -> str:
    tasks.add_task(until_stopped)
    return "until the shutdown"


async def until_stopped() -> None:
    waiting = asyncio.create_task(stopping())
    print("waits")
    stop = await waiting
    print(stop.reason, stop.grace.total_seconds() < 30)


@scenario
async def changes_its_mind(*_: Any) -> str:
    async def wait_twice() -> None:
        first = asyncio.create_task(stopping())
        await asyncio.sleep(0)
        first.cancel()
        await stopping()
        print("stopped once")

    tasks.add_task(with_options(wait_twice, timeout=1))
    return "changes its mind"


@scenario
async def held(*_: Any) -> str:
    async def hold() -> None:
        await asyncio.sleep(3600)

    tasks.add_task(hold)
    return "held"


# Traps.


@scenario
async def dies(*_: Any) -> str:
    """A task that ends its instance, with a closure and a function behind it."""
    tasks.on_failure("continue")
    tasks.add_task(os._exit, 3)
    tasks.add_task(lambda: say("never"))
    tasks.add_task(say, "in a fresh instance")
    return "dies"
