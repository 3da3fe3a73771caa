"""An ASGI app without a framework. The app answers immediately, and runs tasks after the response."""

from collections.abc import Awaitable, Callable
from typing import Any

from epilogue import BackgroundTasks, Backoff, TaskContext, on_teardown, task
from epilogue.asgi import serve

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

tasks = BackgroundTasks()


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    match scope["method"], scope["path"].strip("/").split("/"):
        case "POST", ["send-notification", email]:
            tasks.add_task(write_log, f"message to {email}")
            await answer(send, 200, "Notification sent\n")
        case "POST", ["orders", order]:
            # The host runs this function in the teardown, after the request's last task.
            on_teardown(lambda: print(f"order {order}: closed"))
            tasks.add_task(reserve, order)
            tasks.add_task(send_receipt, order)
            await answer(send, 200, f"order {order}\n")
        case _:
            await answer(send, 404, "not found\n")


async def answer(send: Send, status: int, text: str) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})


def write_log(message: str) -> None:
    """The host runs this task after it has sent the response."""
    print(message)


@task(max_attempts=5, backoff=Backoff(1, 60))
async def reserve(order: str) -> None:
    """If an attempt fails, the host retries this task after at most 1 s, then 2 s, then 4 s, up to 1 minute."""
    context = TaskContext.current()
    assert context is not None
    if context.attempt == 1:
        raise ConnectionError("the warehouse does not answer")
    print(f"order {order}: reserved at attempt {context.attempt}")


@task(name="send_receipt", durable=True)
async def send_receipt(order: str) -> None:
    """The host stores this task before the response, so the task survives a crash."""
    print(f"order {order}: receipt")


# The host calls `Handler` for requests, and `Runner` for tasks. Under uvicorn, this line
# does nothing.
Handler, Runner = serve(app)
