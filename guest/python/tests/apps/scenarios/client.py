"""HTTP requests of handlers and tasks, to the server whose URL is the query."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2

from epilogue.http import HTTPTransport
from scenarios import scenario, tasks


def client_of(scope: dict[str, Any], seconds: float = 60) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=scope["query_string"].decode(), timeout=seconds)


@scenario
async def fetches(scope: dict[str, Any], *_: Any) -> str:
    async with client_of(scope) as client:
        got = await client.get("/echo?a=b%20c", headers={"x-case": "Value", "connection": "close"})
        posted = await client.post("/echo", json={"a": 1})
        deleted = await client.request("PURGE", "/echo")
    return "\n".join([f"{got.status_code} {got.headers['x-answer']}", got.text, posted.text, deleted.text])


@scenario
async def fetches_with_a_transport(scope: dict[str, Any], *_: Any) -> str:
    async with httpx.AsyncClient(transport=HTTPTransport()) as client:
        return (await client.get(scope["query_string"].decode() + "/echo")).text


@scenario
async def fetches_with_httpx2(scope: dict[str, Any], *_: Any) -> str:
    async with httpx2.AsyncClient(base_url=scope["query_string"].decode()) as client:
        posted = await client.post("/echo", content=b"body")
        try:
            await client.get("http://127.0.0.1:1")
        except httpx2.ConnectError as error:
            return f"{posted.text}, {error}"
    return "connected"


@scenario
async def at_the_same_time(scope: dict[str, Any], *_: Any) -> str:
    """The server answers when all three are there."""
    async with client_of(scope) as client:
        responses = await asyncio.gather(*(client.get("/together") for _ in range(3)))
    return str([response.text for response in responses])


@scenario
async def proxy(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Streams the request's body to the server, and the server's answer back."""

    async def parts() -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            yield message["body"]

    async with client_of(scope) as client, client.stream("POST", "/stream", content=parts()) as response:
        await send({"type": "http.response.start", "status": response.status_code, "headers": []})
        async for part in response.aiter_raw():
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})


@scenario
async def uploads(scope: dict[str, Any], *_: Any) -> str:
    """A body of bytes that is longer than what is sent at once."""
    async with client_of(scope) as client:
        return (await client.post("/length", content=b"x" * 1_000_000)).text


@scenario
async def upload_breaks_off(scope: dict[str, Any], *_: Any) -> str:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        raise ValueError("no more")

    async with client_of(scope) as client:
        try:
            await client.post("/stream", content=parts())
        except ValueError as error:
            return f"ValueError: {error}"
    return "sent"


async def outcome(request: Any) -> str:
    try:
        response: httpx.Response = await request
        return response.text
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"


@scenario
async def times_out(scope: dict[str, Any], *_: Any) -> str:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async with client_of(scope, 0.2) as client:
        outcomes = [
            await outcome(client.get("/silent")),
            await outcome(client.post("/silent", content=b"x" * 100_000)),
            await outcome(client.get("/half")),
            await outcome(client.post("/unread", content=endless())),
        ]
    return " ".join(outcome.partition(":")[0] for outcome in outcomes)


@scenario
async def fails(scope: dict[str, Any], *_: Any) -> str:
    """A port where nothing listens, a server that is not allowed, and a body that breaks off."""
    async with client_of(scope) as client:
        outcomes = [await outcome(client.get(url)) for url in ("http://127.0.0.1:1", "https://api.example.com/", "/broken")]
    return "\n".join(outcomes)


@scenario
async def gives_up(scope: dict[str, Any], *_: Any) -> str:
    """A request that the app cancels, and then another one."""
    async with client_of(scope) as client:
        try:
            async with asyncio.timeout(0.05):
                await client.get("/silent")
        except TimeoutError:
            return "gave up, " + (await client.get("/echo")).text
    return "answered"


async def report(url: str) -> None:
    async with httpx.AsyncClient() as client:
        print("reported", (await client.post(url + "/echo", content=b"report")).text)


@scenario
async def reports(scope: dict[str, Any], *_: Any) -> str:
    tasks.add_task(report, scope["query_string"].decode())
    return "reports"


@scenario
async def unsupported(*_: Any) -> str:
    messages = []
    for make in (httpx.Client, lambda: httpx.AsyncClient(verify=False), lambda: httpx.AsyncClient(proxy="http://a")):  # noqa: S501
        try:
            make()
        except NotImplementedError as error:
            messages.append(str(error))
    return "\n".join(messages)
