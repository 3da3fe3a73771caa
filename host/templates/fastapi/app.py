"""Answers each request immediately, and runs tasks after the response."""

from collections.abc import AsyncIterator
from typing import Annotated

from epilogue import Backoff, TaskContext, on_teardown, task
from epilogue.asgi import serve
from fastapi import BackgroundTasks, Depends, FastAPI
from pydantic import BaseModel

app = FastAPI(title="my-app")


# ANCHOR: first
def write_log(message: str) -> None:
    """The host runs this task after it has sent the response."""
    print(message)


@app.post("/send-notification/{email}")
async def send_notification(email: str, background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(write_log, f"message to {email}")
    return {"message": "Notification sent"}
# ANCHOR_END: first


class Order(BaseModel):
    id: int
    email: str


# ANCHOR: dependency
async def order_book() -> AsyncIterator[list[Order]]:
    """Stands for a database session. FastAPI closes the session when the request's last task has ended."""
    book: list[Order] = []
    yield book
    print(f"order book closed with {len(book)} order")


async def write_order(book: list[Order], order: Order) -> None:
    """Uses the order book that the handler opened, because this task runs in the same instance."""
    book.append(order)
# ANCHOR_END: dependency


# ANCHOR: retry
@task(max_attempts=5, backoff=Backoff(1, 60))
async def reserve(order_id: int) -> None:
    """If an attempt fails, the host retries this task after at most 1 s, then 2 s, then 4 s, up to 1 minute."""
    context = TaskContext.current()
    assert context is not None
    if context.attempt == 1:
        raise ConnectionError("the warehouse does not answer")
    print(f"order {order_id}: reserved at attempt {context.attempt}")
# ANCHOR_END: retry


# ANCHOR: durable
@task(name="send_receipt", durable=True)
async def send_receipt(order: dict[str, object]) -> None:
    """The host stores this task before the response, so the task survives a crash."""
    print(f"order {order['id']}: receipt to {order['email']}")
# ANCHOR_END: durable


@app.post("/orders")
async def place_order(
    order: Order, book: Annotated[list[Order], Depends(order_book)], background_tasks: BackgroundTasks
) -> Order:
    # The host runs this function in the teardown, after the request's last task.
    on_teardown(lambda: print(f"order {order.id}: closed"))
    background_tasks.add_task(write_order, book, order)
    background_tasks.add_task(reserve, order.id)
    background_tasks.add_task(send_receipt, order.model_dump())
    return order


# ANCHOR: serve
# The host calls `Handler` for requests, and `Runner` for tasks. Under uvicorn, this line
# does nothing.
Handler, Runner = serve(app)
# ANCHOR_END: serve
