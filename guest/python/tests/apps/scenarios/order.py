"""Tasks in order: what adds them, what they get, and what comes after them."""

import asyncio
import time
import urllib.parse
from typing import Any

from epilogue import BackgroundTasks, EnqueueError, RequestContext, TaskContext, on_teardown, with_options
from scenarios import answer, fail, say, scenario, tasks

_CHUNK = 64 * 1024


async def say_later(*words: object) -> None:
    await asyncio.sleep(0.01)
    print(*words)


@scenario
async def marker(scope: dict[str, Any], *_: Any) -> str:
    text: str = urllib.parse.parse_qs(scope["query_string"].decode())["text"][0]
    print(text)
    return text


@scenario
async def order(*_: Any) -> str:
    tasks.add_task(say_later, "first", "of", 3)
    tasks.add_task(lambda: say("second"))
    tasks.add_task(with_options(say, timeout=1), "third")
    return "order"


@scenario
async def large(scope: dict[str, Any], _: Any, send: Any) -> None:
    """A body of so many chunks as the query says. The task prints the time at which it runs."""
    tasks.add_task(lambda: print("after", time.time()))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _chunk in range(int(scope["query_string"])):
        await send({"type": "http.response.body", "body": b"x" * _CHUNK, "more_body": True})
    await send({"type": "http.response.body"})


def adds_more() -> None:
    print("first")
    BackgroundTasks().add_task(say, "added by the first")


@scenario
async def adds(*_: Any) -> str:
    def tear_down() -> None:
        print("teardown")
        tasks.add_task(say, "added by the teardown")

    on_teardown(tear_down)
    tasks.add_task(adds_more)
    tasks.add_task(say, "second")
    return "adds"


@scenario
async def cancels(*_: Any) -> str:
    number = tasks.add_task(say, "never")
    return f"{tasks.cancel(number)} {tasks.cancel(number)} {tasks.cancel(99)}"


@scenario
async def many(*_: Any) -> str:
    accepted = 0
    try:
        while True:
            tasks.add_task(len, "")
            accepted += 1
    except EnqueueError as error:
        return f"{error.kind} {error.limit == accepted}"


@scenario
async def refused_task(*_: Any) -> str:
    tasks.add_task(say, "x" * 1_100_000)
    return "accepted"


@scenario
async def teardowns(*_: Any) -> str:
    async def closes() -> None:
        await asyncio.sleep(0.001)
        print("teardown 1")
        on_teardown(lambda: print("teardown 0"))

    on_teardown(closes)
    on_teardown(fail)
    on_teardown(lambda: print("teardown 3"))
    tasks.add_task(say, "task")
    return "teardowns"


@scenario
async def contexts(*_: Any) -> str:
    request = RequestContext.current()
    assert request
    assert TaskContext.current() is None

    def compare() -> None:
        context = TaskContext.current()
        assert context
        print(context.id, context.request == request, request.trace_context.traceparent)

    on_teardown(lambda: print("teardown", RequestContext.current() == request))
    tasks.add_task(compare)
    return request.id


@scenario
async def status(scope: dict[str, Any], _: Any, send: Any) -> None:
    tasks.add_task(say, "any status")
    tasks.add_task(with_options(say, run_when="failure"), "never")
    await answer(send, "status", int(scope["query_string"]))


@scenario
async def raises(*_: Any) -> None:
    tasks.add_task(with_options(say, run_when="failure"), "the handler failed")
    tasks.add_task(say, "never")
    raise KeyError("raised")
