"""The shop in a component answers as it does under uvicorn, byte by byte."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from epilogue.testing import SECONDS, Host

# Headers that are the server's and not the app's.
SERVERS = {"connection", "date", "server", "transfer-encoding", "x-request-id"}
BEARER = {"Authorization": "Bearer secret"}
ORDER = {"items": [{"name": " Emma ", "price": "9.50", "tags": ["a"]}], "payment": {"kind": "card", "number": "1234"}}
COSTLY = {"items": [{"name": "Gold", "price": 2000}], "payment": {"kind": "invoice", "address": "x"}}
ITEM = {"name": "Emma", "price": 9.5, "category": "record", "tags": ["one"]}
ORIGIN = {"Origin": "https://a.example"}

Call = tuple[str, str, dict[str, Any]]
CALLS: dict[str, Call] = {
    "home": ("GET", "/", {}),
    "head": ("HEAD", "/text", {}),
    "a list": ("GET", "/items", {}),
    "a page": ("GET", "/items?start=3&limit=2", {}),
    "the last page": ("GET", "/items?start=5&limit=5&category=book", {}),
    "invalid query": ("GET", "/items?start=-1&limit=six&category=car", {}),
    "one item": ("GET", "/items/2", {"headers": {"Accept-Language": "de,en"}}),
    "no such item": ("GET", "/items/99", {}),
    "an exception with a handler": ("GET", "/items/6", {}),
    "a path that is no number": ("GET", "/items/two", {}),
    "a trailing slash": ("GET", "/items/", {}),
    "put": ("PUT", "/items/1", {"json": {"item": ITEM, "importance": 3}}),
    "put with an unknown field": ("PUT", "/items/1", {"json": {"item": ITEM | {"more": 1}, "importance": 3}}),
    "put with errors": ("PUT", "/items/1", {"json": {"item": {"name": "\t", "price": -1}, "importance": 0}}),
    "put without a body": ("PUT", "/items/1", {}),
    "put what is not JSON": ("PUT", "/items/1", {"content": b"{", "headers": {"Content-Type": "application/json"}}),
    "delete": ("DELETE", "/items/1", {"auth": ("root", "x")}),
    "delete as another": ("DELETE", "/items/1", {"auth": ("ada", "x")}),
    "delete without a password": ("DELETE", "/items/1", {}),
    "an order": ("POST", "/orders", {"json": ORDER, "headers": BEARER}),
    "a gift": ("POST", "/orders", {"json": ORDER | {"giftWrapped": True}, "headers": BEARER}),
    "an order that costs too much": ("POST", "/orders", {"json": COSTLY, "headers": BEARER}),
    "an order paid with shells": ("POST", "/orders", {"json": ORDER | {"payment": {"kind": "shells"}}, "headers": BEARER}),
    "an order without a token": ("POST", "/orders", {"json": ORDER}),
    "an order with a wrong token": ("POST", "/orders", {"json": ORDER, "headers": {"Authorization": "Bearer x"}}),
    "a cookie": ("GET", "/orders/mine", {"headers": BEARER | {"Cookie": 'seen="a b"; x=1'}}),
    "a form": ("POST", "/files/form", {"data": {"name": "Ada & Emma ü", "amount": "3"}}),
    "a form with errors": ("POST", "/files/form", {"data": {"amount": "0"}}),
    "an upload": ("POST", "/files/upload", {"data": {"note": "n"}, "files": {"upload": ("ä.bin", bytes(70_000), "x/y")}}),
    "two uploads": ("POST", "/files/upload", {"data": {"note": ""}, "files": {"upload": ("a", b"1"), "more": b"2"}}),
    "a stream": ("GET", "/files/numbers?up_to=300", {}),
    "a stream of text": ("GET", "/files/letters", {}),
    "a body in parts": ("POST", "/files/echo", {"content": iter([b"one", b"two"])}),
    "a large body": ("POST", "/files/echo", {"content": bytes(range(256)) * 4000}),
    "compressed": ("GET", "/text", {"headers": {"Accept-Encoding": "gzip"}}),
    "a redirect": ("GET", "/old", {}),
    "an exception of Python": ("GET", "/divide/0", {}),
    "a float": ("GET", "/divide/3", {}),
    "an invalid answer": ("GET", "/invalid", {}),
    "queries": ("GET", "/query?q=a&q=b%26c&flag=on&empty=&plus=a+b&%C3%A4=%FF", {}),
    "a path with escapes": ("GET", "/%71uery", {}),
    "another method": ("PATCH", "/method", {}),
    "a method that is not allowed": ("POST", "/method", {}),
    "not found": ("GET", "/nowhere", {}),
    "a preflight": ("OPTIONS", "/items", {"headers": ORIGIN | {"Access-Control-Request-Method": "PUT"}}),
    "a preflight of another": ("OPTIONS", "/items", {"headers": {"Origin": "x", "Access-Control-Request-Method": "PUT"}}),
    "another origin": ("GET", "/items/1", {"headers": ORIGIN}),
    "openapi": ("GET", "/openapi.json", {}),
    "docs": ("GET", "/docs", {}),
    "redoc": ("GET", "/redoc", {}),
}


@pytest.fixture(scope="session")
def uvicorn(project: Path) -> Iterator[str]:
    """The URL of the shop under uvicorn."""
    command = [sys.executable, "-m", "uvicorn", "world:app", "--port", "0", "--no-access-log"]
    environment = os.environ | {"APP": "shop"}
    with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stderr
        lines = iter(server.stderr.readline, "")
        url = next((line.split()[4] for line in lines if "running on" in line), None)
        assert url, "uvicorn did not start"
        # It may log more, and waits if nobody reads it.
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield url
        server.kill()


def answer(url: str, call: Call) -> tuple[int, list[tuple[str, str]], bytes]:
    method, path, options = call
    # One name for both, because redirects have it.
    headers = options.get("headers", {}) | {"Host": "shop.example"}
    options = {"timeout": SECONDS} | options | {"headers": headers}
    with httpx.stream(method, url + path, **options) as response:
        body = b"".join(response.iter_raw())
        kept = sorted((name, value) for name, value in response.headers.multi_items() if name not in SERVERS)
        return response.status_code, kept, body


@pytest.mark.parametrize("name", CALLS)
def test_the_answer_is_that_of_uvicorn(name: str, shop: Host, uvicorn: str) -> None:
    method, path, options = CALLS[name]
    if not isinstance(options.get("content"), bytes | None):
        # An iterator is read once.
        parts = list(options["content"])
        expected = answer(uvicorn, (method, path, options | {"content": iter(parts)}))
        assert answer(shop.url, (method, path, options | {"content": iter(parts)})) == expected
        return
    expected = answer(uvicorn, (method, path, options))
    assert answer(shop.url, (method, path, options)) == expected
