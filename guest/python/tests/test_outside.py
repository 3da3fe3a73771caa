"""Outside a component the package is harmless: the same app runs under uvicorn, pytest and editors."""

import asyncio

import pytest

import epilogue
import epilogue.asgi
from epilogue import BackgroundTasks, EnqueueError, EnqueueErrorKind, RequestContext, TaskContext


def test_there_is_no_request() -> None:
    assert RequestContext.current() is None
    assert TaskContext.current() is None
    with pytest.raises(EnqueueError) as raised:
        BackgroundTasks().add_task(print, "a")
    assert raised.value.kind is EnqueueErrorKind.CLOSED
    assert BackgroundTasks().cancel(1) is False
    BackgroundTasks().on_failure("continue")
    epilogue.on_teardown(print)


def test_a_wrong_policy_is_refused() -> None:
    with pytest.raises(ValueError, match='"stop" or "continue"'):
        BackgroundTasks().on_failure("perhaps")  # type: ignore[arg-type]


def test_nothing_stops() -> None:
    async def wait() -> None:
        await asyncio.wait_for(epilogue.stopping(), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(wait())


def test_fastapi_has_its_own_behavior() -> None:
    pytest.importorskip("fastapi")
    import fastapi
    from fastapi.testclient import TestClient

    ran = []

    async def write(message: str) -> None:
        ran.append(message)

    app = fastapi.FastAPI()

    def send(email: str, background_tasks: fastapi.BackgroundTasks) -> str:
        background_tasks.add_task(epilogue.with_options(write, durable=True), email)
        return "sent"

    app.post("/send/{email}")(send)
    handler, runner = epilogue.asgi.serve(app)
    assert (handler.__name__, runner.__name__) == ("Handler", "Runner")
    assert TestClient(app).post("/send/a@b.c").json() == "sent"
    assert ran == ["a@b.c"]
