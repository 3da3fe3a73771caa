"""asyncio in a component."""

import asyncio
import contextvars
import os
import random
import threading
from typing import Any

from epilogue import on_teardown
from scenarios import fail, scenario, tasks

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


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
async def cancels_all(*_: Any) -> str:
    sleeper = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0.001)
    return str(sleeper.cancelled())


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
async def endless_work(*_: Any) -> str:
    async def work() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

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
