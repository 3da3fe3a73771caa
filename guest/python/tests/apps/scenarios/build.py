"""What an app may do in the request of the build, in which there is no host."""

from typing import Any

import httpx

from epilogue import EnqueueError, RequestContext, on_teardown
from scenarios import say, scenario, tasks

_outcomes: list[str] = []


async def in_the_build() -> str:
    on_teardown(lambda: None)
    _outcomes.append(f"{RequestContext.current()} {tasks.cancel(1)}")
    try:
        tasks.add_task(say)
    except EnqueueError as error:
        _outcomes.append(error.kind)
    try:
        async with httpx.AsyncClient() as client:
            await client.get("http://127.0.0.1/")
    except httpx.ConnectError as error:
        _outcomes.append(str(error))
    return "built"


@scenario
async def was_built(*_: Any) -> str:
    return "\n".join(_outcomes)
