"""An ASGI app without a framework."""

import asyncio
from typing import Any

from scenarios import answer, asgi, build, client, ends, loop, order, scenarios

from epilogue.asgi import serve

__all__ = ["Handler", "Runner", "asgi", "client", "ends", "loop", "order"]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif function := scenarios.get(scope["path"]):
        body = await function(scope, receive, send)
        if body is not None:
            await answer(send, body)
    elif scope["path"] == "/.epilogue":
        await answer(send, await build.in_the_build())
    else:
        await answer(send, "", 404)


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await asyncio.sleep(0.001)
    scope["state"]["opened"] = "at startup"
    await send({"type": "lifespan.startup.complete"})
    await receive()


Handler, Runner = serve(app)
