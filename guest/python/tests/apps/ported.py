"""Apps of Starlette's and FastAPI's own tests of background tasks, in other words. Each path is one test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import BackgroundTasks as FastAPIBackgroundTasks
from fastapi import Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from epilogue import with_options

# starlette: tests/test_background.py


async def async_task(_: Request) -> Response:
    async def task() -> None:
        print("async task")

    return PlainTextResponse("task initiated", background=BackgroundTask(task))


async def sync_task(_: Request) -> Response:
    def task() -> None:
        print("sync task")

    return PlainTextResponse("task initiated", background=BackgroundTask(task))


async def multiple_tasks(_: Request) -> Response:
    counter = 0

    def increment(amount: int) -> None:
        nonlocal counter
        counter += amount
        print("counter", counter)

    tasks = BackgroundTasks()
    for amount in (1, 2, 3):
        tasks.add_task(increment, amount=amount)
    return PlainTextResponse("tasks initiated", background=tasks)


async def multi_tasks_failure(_: Request) -> Response:
    counter = 0

    def increment() -> None:
        nonlocal counter
        counter += 1
        print("counter", counter)
        if counter == 1:
            raise Exception("task failed")

    tasks = BackgroundTasks()
    tasks.add_task(increment)
    tasks.add_task(increment)
    return PlainTextResponse("tasks initiated", background=tasks)


# starlette: tests/test_responses.py


async def streaming_response(_: Request) -> Response:
    filled_by_background = "filled: "

    async def numbers(minimum: int, maximum: int) -> AsyncIterator[str]:
        for number in range(minimum, maximum + 1):
            yield str(number)
            if number != maximum:
                yield ", "
            await asyncio.sleep(0)

    async def clean_up() -> None:
        nonlocal filled_by_background
        async for part in numbers(6, 9):
            filled_by_background += part
        print(filled_by_background)

    return StreamingResponse(numbers(1, 5), media_type="text/plain", background=BackgroundTask(clean_up))


# starlette: tests/middleware/test_base.py


async def pass_on(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    return await call_next(request)


async def do_not_block_on_background_tasks(_: Request) -> Response:
    async def task() -> None:
        print("task begins")
        await asyncio.sleep(0.01)
        print("task ends")

    return PlainTextResponse("Hello", background=BackgroundTask(task))


async def even_if_the_client_disconnects(_: Request) -> Response:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"chunk " * 1000
            await asyncio.sleep(0.001)

    async def task() -> None:
        print("ran after the client")

    return StreamingResponse(endless(), background=BackgroundTask(task))


# fastapi: docs_src/background_tasks, tests/test_tutorial/test_background_tasks

tutorial = FastAPI()


def write_log(message: str) -> None:
    print(message)


def get_query(background_tasks: FastAPIBackgroundTasks, q: str | None = None) -> str | None:
    if q:
        background_tasks.add_task(write_log, f"found query: {q}")
    return q


@tutorial.post("/send-notification/{email}")
async def send_notification(
    email: str, background_tasks: FastAPIBackgroundTasks, q: Annotated[str | None, Depends(get_query)]
) -> dict[str, str]:
    background_tasks.add_task(write_log, f"message to {email}")
    return {"message": "Message sent"}


# fastapi: tests/test_dependency_contextmanager.py


@tutorial.middleware("http")
async def with_state(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    request.state.log = {"a": "not started", "b": "not started", "bg": "not set"}
    return await call_next(request)


async def context_a(request: Request) -> AsyncIterator[str]:
    log = request.state.log
    log["a"] = "started a"
    yield log["a"]
    log["a"] = "finished a"
    print(log)


async def context_b(request: Request, a: Annotated[str, Depends(context_a)]) -> AsyncIterator[dict[str, str]]:
    log = request.state.log
    log["b"] = "started b"
    try:
        yield log
    finally:
        log["b"] = f"finished b with a: {a}"


@tutorial.get("/context_b_bg")
async def get_context_b_bg(
    background_tasks: FastAPIBackgroundTasks, log: Annotated[dict[str, str], Depends(context_b)]
) -> dict[str, str]:
    async def background() -> None:
        log["bg"] = f"bg set - b: {log['b']} - a: {log['a']}"

    background_tasks.add_task(background)
    return log


# fastapi: tests/test_dependency_after_yield_raise.py and discussions of it: an exception of a task


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[str]:
    try:
        yield "session"
    except (ValueError, TimeoutError) as error:
        print("session saw", error)
        raise
    finally:
        print("session closed")


async def get_session() -> AsyncIterator[str]:
    async with session() as opened:
        yield opened


@tutorial.get("/failing_task")
async def failing_task(background_tasks: FastAPIBackgroundTasks, _: Annotated[str, Depends(get_session)]) -> str:
    def fail() -> None:
        raise ValueError("the task failed")

    background_tasks.add_task(fail)
    return "answered"


@tutorial.get("/slow_task")
async def slow_task(background_tasks: FastAPIBackgroundTasks, _: Annotated[str, Depends(get_session)]) -> str:
    background_tasks.add_task(with_options(asyncio.sleep, timeout=0.05), 60)
    return "answered"


def _route(handler: Any) -> Route:
    return Route(f"/{handler.__name__}", handler)


app = Starlette(
    routes=[
        *map(_route, (async_task, sync_task, multiple_tasks, multi_tasks_failure, streaming_response)),
        Mount(
            "/base",
            routes=[_route(do_not_block_on_background_tasks), _route(even_if_the_client_disconnects)],
            middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)],
        ),
        Mount("/tutorial", tutorial),
    ]
)
