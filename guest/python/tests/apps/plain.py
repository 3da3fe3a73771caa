"""An ASGI app without a framework. Each path is one scenario: `GET /NAME` calls the function NAME."""

import asyncio
import contextvars
import os
import random
import threading
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

from epilogue import (
    BackgroundTasks,
    Backoff,
    EnqueueError,
    RequestContext,
    TaskContext,
    on_teardown,
    stopping,
    task,
    with_options,
)
from epilogue.asgi import serve

Scenario = Callable[[dict[str, Any], Any, Any], Awaitable[str | None]]
scenarios: dict[str, Scenario] = {}
tasks = BackgroundTasks()
var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


def scenario(function: Scenario) -> Scenario:
    scenarios[f"/{function.__name__}"] = function
    return function


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif function := scenarios.get(scope["path"]):
        body = await function(scope, receive, send)
        if body is not None:
            await answer(send, body)
    else:
        await answer(send, "", 404)


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await asyncio.sleep(0.001)
    scope["state"]["opened"] = "at startup"
    await send({"type": "lifespan.startup.complete"})
    await receive()


async def answer(send: Any, body: str, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})


# Tasks.


def say(*words: object) -> None:
    print(*words)


async def say_later(*words: object) -> None:
    await asyncio.sleep(0.01)
    print(*words)


def fail() -> None:
    raise ValueError("it broke")


@task(name="flaky", max_attempts=3, backoff=Backoff(0.001, 0.001))
async def flaky() -> None:
    context = TaskContext.current()
    assert context
    print(f"attempt {context.attempt} {context.outcome.kind} {len(context.idempotency_key) > 8}")
    if context.attempt < 3:
        raise ValueError("not yet")


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
async def too_slow(*_: Any) -> str:
    tasks.add_task(with_options(asyncio.sleep, timeout=0.05), 60)
    return "too slow"


@scenario
async def cancels(*_: Any) -> str:
    number = tasks.add_task(say, "never")
    return f"{tasks.cancel(number)} {tasks.cancel(number)} {tasks.cancel(99)}"


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


@scenario
async def bad_args(*_: Any) -> str:
    tasks.add_task(fail, 1, 2)  # type: ignore[call-arg]
    return "bad args"


@scenario
async def contexts(*_: Any) -> str:
    request = RequestContext.current()
    assert request
    assert TaskContext.current() is None

    def compare() -> None:
        context = TaskContext.current()
        assert context
        print(context.id, context.request == request, request.trace_context.traceparent.startswith("00-"))

    tasks.add_task(compare)
    return request.id


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
async def deadline(*_: Any) -> str:
    async def until_stopped() -> None:
        stop = await stopping()
        print(f"{stop.reason} {stop.grace.total_seconds() < 1}")

    tasks.add_task(with_options(until_stopped, timeout=1))
    return "stopping"


@scenario
async def held(*_: Any) -> str:
    async def hold() -> None:
        await asyncio.sleep(3600)

    tasks.add_task(hold)
    return "held"


# The event loop.


async def number(value: int) -> int:
    await asyncio.sleep(0.001 * value)
    return value


@scenario
async def timers(*_: Any) -> str:
    loop = asyncio.get_running_loop()
    fired: list[str] = []
    loop.call_later(0.004, fired.append, "later")
    loop.call_later(0.002, fired.append, "sooner")
    loop.call_later(0.001, fired.append, "cancelled").cancel()
    loop.call_soon(fired.append, "soon")
    begin = loop.time()
    await asyncio.sleep(0.01)
    return f"{fired} {loop.time() - begin >= 0.01}"


@scenario
async def waits(*_: Any) -> str:
    cancelled: list[object] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    try:
        await asyncio.wait_for(endless(), 0.001)
    except TimeoutError:
        cancelled.append("wait_for")
    try:
        async with asyncio.timeout(0.001):
            await endless()
    except TimeoutError:
        cancelled.append("timeout")
    return f"{cancelled} {await asyncio.gather(number(3), number(1))}"


@scenario
async def groups(*_: Any) -> str:
    async with asyncio.TaskGroup() as group:
        results = [group.create_task(number(n)) for n in (2, 1)]
    try:
        async with asyncio.TaskGroup() as group:
            sleeper = group.create_task(number(60_000))
            group.create_task(asyncio.to_thread(fail))
    except* ValueError as errors:
        failed = errors.exceptions
    return f"{[result.result() for result in results]} {failed} {sleeper.cancelled()}"


@scenario
async def context_variables(*_: Any) -> str:
    async def child() -> str:
        seen = var.get()
        var.set("child")
        return seen

    var.set("handler")
    seen = await asyncio.create_task(child())
    tasks.add_task(lambda: print("in a task:", var.get()))
    return f"{seen} {var.get()}"


@scenario
async def forgotten_error(*_: Any) -> str:
    async def breaks() -> None:
        raise KeyError("forgotten")

    asyncio.get_running_loop().create_task(breaks())
    await asyncio.sleep(0)
    return "forgotten"


@scenario
async def forgotten_work(*_: Any) -> str:
    async def work() -> None:
        await asyncio.sleep(0.05)
        print("forgotten work")

    asyncio.get_running_loop().create_task(work())
    on_teardown(lambda: print("teardown"))
    return "working"


@scenario
async def yields(*_: Any) -> str:
    for _round in range(5000):
        await asyncio.sleep(0)
    return "yields"


@scenario
async def busy(_: Any, receive: Any, __: Any) -> str:
    print("busy")
    body = asyncio.create_task(receive())
    while not body.done():  # noqa: ASYNC110
        await asyncio.sleep(0)
    return str(body.result()["body"])


@scenario
async def nested_run(*_: Any) -> str:
    coroutine = number(1)
    try:
        asyncio.run(coroutine)
    except RuntimeError as error:
        coroutine.close()
        return str(error)
    return "ran"


@scenario
async def connects(*_: Any) -> str:
    try:
        await asyncio.open_connection("localhost", 80)
    except NotImplementedError as error:
        return str(error)
    return "connected"


@scenario
async def tls(*_: Any) -> str:
    import ssl

    try:
        ssl.create_default_context()
    except OSError as error:
        return str(error)
    return "made"


@scenario
async def threads(*_: Any) -> str:
    try:
        threading.Thread(target=print, name="counter").start()
    except RuntimeError as error:
        return str(error)
    return "started"


@scenario
async def exits(*_: Any) -> None:
    raise SystemExit(3)


@scenario
async def environment(*_: Any) -> str:
    return str(os.environ.get("GREETING"))


@scenario
async def random_number(*_: Any) -> str:
    return str(random.random())  # noqa: S311


# ASGI.


@scenario
async def show(scope: dict[str, Any], *_: Any) -> str:
    keys = ("type", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path", "state")
    client, server = scope["client"], scope["server"]
    return repr([scope[key] for key in keys] + [client[0], client[1] > 0, server[0], dict(scope["headers"])[b"x-case"]])


@scenario
async def cookies(_: Any, __: Any, send: Any) -> None:
    headers = [
        (b"set-cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"connection", b"close"),
        (b"x-latin", "é".encode("latin-1")),
    ]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": b"cookies"})


@scenario
async def counts(_: Any, receive: Any, send: Any) -> None:
    """Answers each part of the body with its length, so the request and the response stream at the same time."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send({"type": "http.response.body", "body": b"%d\n" % len(message["body"]), "more_body": True})
    await send({"type": "http.response.body"})


@scenario
async def gives_up_reading(_: Any, receive: Any, __: Any) -> str:
    try:
        await asyncio.wait_for(receive(), 0.001)
    except TimeoutError:
        print("gave up")
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    return body.decode()


@scenario
async def ticks(_: Any, __: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    tasks.add_task(say, "after the stream")
    for tick in range(3):
        await send({"type": "http.response.body", "body": b"%d\n" % tick, "more_body": True})
        print("sent", tick)
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body"})


@scenario
async def until_gone(_: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    tasks.add_task(say, "the client is gone")
    tasks.add_task(with_options(say, cancel_on_disconnect=True), "never")

    async def disconnect() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.create_task(disconnect())
    while not gone.done():
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
    print("disconnected")


@scenario
async def half(_: Any, __: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise KeyError("half way")


@scenario
async def silent(*_: Any) -> None:
    """Sends nothing."""


@scenario
async def raises(*_: Any) -> None:
    tasks.add_task(with_options(say, run_when="failure"), "the handler failed")
    tasks.add_task(say, "never")
    raise KeyError("raised")


@scenario
async def refused_task(*_: Any) -> str:
    tasks.add_task(say, "x" * 1_100_000)
    return "accepted"


Handler, Runner = serve(app)
