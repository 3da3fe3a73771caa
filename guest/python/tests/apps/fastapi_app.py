"""FastAPI's tutorial on background tasks, and what else an app has. Only the last two lines are not FastAPI's."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import (
    BackgroundTasks,
    Cookie,
    Depends,
    FastAPI,
    File,
    Form,
    HTTPException,
    Query,
    Request,
    Response,
    UploadFile,
)
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, EmailStr, Field
from starlette.background import BackgroundTask
from starlette.middleware.base import RequestResponseEndpoint

from epilogue import BackgroundTasks as HostTasks
from epilogue import on_teardown, with_options
from epilogue.asgi import serve


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"name": "opened at startup"}
    print("never printed: the host ends an instance without a call")


app = FastAPI(lifespan=lifespan)


@app.middleware("http")
async def stamp(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers["x-stamp"] = "stamped"
    return response


@app.get("/marker")
async def marker(text: str) -> str:
    print(text)
    return text


def write_notification(email: str, message: str = "") -> None:
    print(f"notification for {email}: {message}")


def write_log(message: str) -> None:
    print(message)


def get_query(background_tasks: BackgroundTasks, q: str | None = None) -> str | None:
    if q:
        background_tasks.add_task(write_log, f"found query: {q}")
    return q


@app.post("/send-notification/{email}")
async def send_notification(
    email: str, background_tasks: BackgroundTasks, q: Annotated[str | None, Depends(get_query)]
) -> dict[str, str]:
    background_tasks.add_task(write_notification, email, message="some notification")
    return {"message": "Message sent"}


def session() -> Iterator[str]:
    print("open")
    try:
        yield "session"
    except ValueError as error:
        print("the session sees", error)
        raise
    finally:
        print("close")


Session = Annotated[str, Depends(session)]


async def use(name: str, error: str | None = None) -> None:
    await asyncio.sleep(0.01)
    print("use", name)
    if error:
        raise ValueError(error)


@app.get("/session")
def with_session(name: Session, background_tasks: BackgroundTasks) -> str:
    background_tasks.add_task(use, name)
    background_tasks.add_task(use, name)
    return name


@app.get("/session/fails")
def with_failing_session(name: Session, background_tasks: BackgroundTasks) -> str:
    background_tasks.add_task(use, name, error="the task's error")
    background_tasks.add_task(use, "never")
    return name


@app.get("/session/goes_on")
def with_session_that_goes_on(name: Session, background_tasks: BackgroundTasks) -> str:
    HostTasks().on_failure("continue")
    background_tasks.add_task(use, name, error="the task's error")
    background_tasks.add_task(use, name)
    return name


attempts: list[int] = []


def second_time() -> None:
    attempts.append(1)
    print("attempt", len(attempts))
    if len(attempts) < 2:
        raise ValueError("first")


@app.get("/session/retries")
def with_retries(_: Session, background_tasks: BackgroundTasks) -> str:
    attempts.clear()
    background_tasks.add_task(with_options(second_time, max_attempts=2))
    return "retries"


@app.get("/session/closure")
def with_closure(name: Session, background_tasks: BackgroundTasks, request: Request) -> str:
    background_tasks.add_task(lambda: print("closure of", name, request.url.path))
    on_teardown(lambda: print("teardown"))
    return name


@app.get("/forgotten")
async def forgotten(background_tasks: BackgroundTasks) -> str:
    async def late() -> None:
        await asyncio.sleep(0.05)
        print("late")

    asyncio.get_running_loop().create_task(late())
    background_tasks.add_task(write_log, "task")
    return "forgotten"


class Item(BaseModel):
    name: str = Field(min_length=2)
    price: float
    owner: EmailStr | None = None


@app.post("/items", status_code=201)
async def create_item(item: Item, background_tasks: BackgroundTasks) -> Item:
    background_tasks.add_task(lambda kept: print("created", kept), item)
    return item


@app.get("/state")
async def state(request: Request) -> str:
    return str(request.state.name)


@app.get("/background")
async def background() -> JSONResponse:
    return JSONResponse({"a": 1}, background=BackgroundTask(write_log, "attached"))


@app.get("/durable")
async def durable(background_tasks: BackgroundTasks) -> str:
    background_tasks.add_task(with_options(write_log, durable=True), "durable")
    return "accepted"


@app.get("/refused")
async def refused(background_tasks: BackgroundTasks) -> str:
    background_tasks.add_task(write_log, "never")
    background_tasks.add_task(write_log, "x" * 1_100_000)
    return "accepted"


def catch() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise HTTPException(400) from error


@app.get("/refused/caught")
async def refused_and_caught(_: Annotated[None, Depends(catch)], background_tasks: BackgroundTasks) -> str:
    return await refused(background_tasks)


@app.get("/append")
async def append(background_tasks: BackgroundTasks) -> str:
    background_tasks.add_task(lambda: background_tasks.add_task(write_log, "appended by a task"))
    return "accepted"


@app.get("/header")
async def header(value: str, response: Response) -> str:
    response.headers["x-value"] = value
    return "sent"


@app.post("/size")
async def size(request: Request, background_tasks: BackgroundTasks) -> int:
    body = await request.body()
    background_tasks.add_task(write_log, f"stored {len(body)}")
    return len(body)


@app.get("/stream")
async def stream(background_tasks: BackgroundTasks) -> StreamingResponse:
    async def ticks() -> AsyncIterator[str]:
        for tick in range(3):
            print("sent", tick)
            yield f"{tick}\n"
            await asyncio.sleep(0.01)

    background_tasks.add_task(write_log, "after the stream")
    return StreamingResponse(ticks(), background=background_tasks)


@app.get("/endless")
async def endless(background_tasks: BackgroundTasks) -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    background_tasks.add_task(write_log, "the client is gone")
    return StreamingResponse(chunks(), background=background_tasks)


@app.get("/raises")
async def raises(background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(write_log, "never")
    raise KeyError("raised")


@app.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418, "short and stout")


class UnicornError(Exception):
    pass


@app.exception_handler(UnicornError)
async def handle_unicorn(_: Request, error: UnicornError) -> JSONResponse:
    return JSONResponse({"unicorn": str(error)}, 420)


@app.get("/unicorn")
async def unicorn() -> None:
    raise UnicornError("rainbow")


@app.post("/upload")
async def upload(name: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    return {"name": name, "file": file.filename, "size": len(await file.read())}


@app.get("/cookies")
async def cookies(response: Response, seen: Annotated[str | None, Cookie()] = None) -> str | None:
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return seen


@app.get("/search")
def search(limit: Annotated[int, Query(ge=1)] = 10) -> int:
    return limit


class Buffering:
    """A middleware that sends the response when the app has returned."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        messages: list[Any] = []

        async def keep(message: Any) -> None:
            messages.append(message)

        await self.app(scope, receive, keep if scope["type"] == "http" and scope["path"] == "/buffered" else send)
        for message in messages:
            await send(message)


@app.get("/buffered")
async def buffered(background_tasks: BackgroundTasks) -> str:
    background_tasks.add_task(write_log, "before the response")
    background_tasks.add_task(with_options(write_log, durable=True), "durable")
    return "buffered"


app.add_middleware(Buffering)
Handler, Runner = serve(app)
