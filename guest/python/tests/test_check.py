from typing import Any

import pytest

from epilogue.asgi import AppError
from epilogue.asgi._check import check

pytest.importorskip("fastapi")

from fastapi import APIRouter, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute


async def chat(websocket: WebSocket) -> None: ...


def fastapi_with_a_router() -> Any:
    router = APIRouter(prefix="/chats")
    router.websocket("/{room}")(chat)
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    return app


def starlette_with_a_mount() -> Any:
    return Starlette(
        routes=[Mount("/v1", routes=[Mount("/chats", app=Starlette(routes=[WebSocketRoute("/{room}", chat)]))])]
    )


@pytest.mark.parametrize("app", [fastapi_with_a_router(), starlette_with_a_mount()])
def test_a_websocket_route_is_named(app: Any) -> None:
    with pytest.raises(AppError, match=r"the WebSocket route /v1/chats/\{room\}, and WASI HTTP has no WebSockets"):
        check(app)


def test_other_apps_pass() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    check(app)
    check(FastAPI())
