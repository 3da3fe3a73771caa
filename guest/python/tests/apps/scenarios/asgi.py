"""ASGI."""

import asyncio
from typing import Any

from epilogue import with_options
from scenarios import say, scenario, tasks


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
