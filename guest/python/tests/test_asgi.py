"""The ASGI bridge, with the app `plain` on a real host."""

import ast
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from conftest import App, serve


def test_the_scope(plain: App) -> None:
    response = plain.host.get("/show?a=b%20c", headers={"X-Case": "Value"})
    kind, version, method, scheme, path, raw_path, query, root_path, state, client, port, server, case = ast.literal_eval(
        response.text
    )
    assert (kind, version, method, scheme) == ("http", "1.1", "GET", "http")
    assert (path, raw_path, query, root_path) == ("/show", b"/show", b"a=b%20c", "")
    assert (client, port, server) == ("127.0.0.1", True, "127.0.0.1")
    assert (state, case) == ({"opened": "at startup"}, b"Value")


def test_the_path_contains_the_route_s_prefix(plain_wasm: Path, tmp_path: Path) -> None:
    with serve(plain_wasm, tmp_path, route="/api/...") as host:
        # An app without a framework looks at the whole path, as ASGI says.
        assert host.get("/api/show").status_code == 404


def test_duplicate_headers_stay_and_those_of_the_connection_go(plain: App) -> None:
    response = plain.host.get("/cookies")
    assert (response.status_code, response.text) == (201, "cookies")
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert (b"x-latin", "é".encode("latin-1")) in [(name.lower(), value) for name, value in response.headers.raw]
    assert "connection" not in response.headers


def test_request_and_response_stream_at_the_same_time(plain: App) -> None:
    url = urlsplit(plain.host.url)
    with socket.create_connection((url.hostname, url.port)) as connection:
        file = connection.makefile("rwb")
        file.write(
            b"POST /counts HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n"
        )
        file.flush()
        received = b""
        while b"3\n" not in received.partition(b"\r\n\r\n")[2]:
            received += file.readline()
        file.write(b"2\r\nde\r\n0\r\n\r\n")
        file.flush()
        assert b"2\n" in file.read()


def test_a_large_body_arrives_whole(plain: App) -> None:
    counts = plain.host.post("/counts", content=b"x" * 3_000_000).text.split()
    assert sum(map(int, counts)) == 3_000_000
    assert len(counts) > 10


def test_a_body_is_not_lost_if_the_app_gives_up_waiting(plain: App) -> None:
    def body() -> Iterator[bytes]:
        plain.host.printed("gave up")
        yield b"the body"

    assert plain.host.post("/gives_up_reading", content=body()).text == "the body"


def test_a_stream_that_fails_is_broken_off(plain: App) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        plain.host.get("/half")
    plain.host.logged("KeyError: 'half way'")


def test_an_app_without_an_answer_is_an_error(plain: App) -> None:
    assert plain.host.get("/silent").status_code == 500
    plain.host.logged("the app ended without a complete response")


def test_head_has_no_body(plain: App) -> None:
    response, states = plain.run("/order", "HEAD")
    assert (response.status_code, response.content, states) == (200, b"", ["succeeded"] * 3)
