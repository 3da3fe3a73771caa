"""`epilogue.http`: the requests of apps to a real server, natively and composed."""

import socket
from collections.abc import Iterator

import httpx
import pytest
from conftest import App
from server import Server, running


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def test_requests_and_responses_arrive_whole(both: App, server: Server) -> None:
    assert both.text(f"/fetches?{server.url}").splitlines() == [
        "200 yes",
        "GET /echo?a=b%20c Value ",
        'POST /echo None {"a":1}',
        "PURGE /echo None ",
    ]
    assert both.text(f"/fetches_with_a_transport?{server.url}") == "GET /echo None "
    assert both.text(f"/uploads?{server.url}") == "1000000"


def test_httpx2_works_too(both: App, server: Server) -> None:
    assert both.text(f"/fetches_with_httpx2?{server.url}") == "POST /echo None body, http://127.0.0.1:1: connection refused"


def test_requests_run_at_the_same_time(both: App, server: Server) -> None:
    assert both.text(f"/at_the_same_time?{server.url}") == str(["together"] * 3)


def test_bodies_stream_in_both_directions(both: App, server: Server) -> None:
    url = httpx.URL(both.host.url)
    with socket.create_connection((url.host, url.port or 80), timeout=60) as connection:
        file = connection.makefile("rwb")
        head = f"POST /proxy?{server.url} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        file.write(head.encode() + b"5\r\nfirst\r\n")
        file.flush()
        received = b""
        while b"first" not in received:
            received += file.readline()
        file.write(b"6\r\nsecond\r\n0\r\n\r\n")
        file.flush()
        assert b"second" in file.read()


def test_an_upload_that_breaks_off_raises_the_app_s_exception(both: App, server: Server) -> None:
    assert both.text(f"/upload_breaks_off?{server.url}") == "ValueError: no more"


def test_the_timeouts_are_those_of_httpx(both: App, server: Server) -> None:
    """A server that does not answer a short and a long request, is silent in its body, and does not read."""
    assert both.text(f"/times_out?{server.url}") == "ReadTimeout ReadTimeout ReadTimeout WriteTimeout"


def test_errors_are_those_of_httpx(both: App, server: Server) -> None:
    refused, denied, broken = both.text(f"/fails?{server.url}").splitlines()
    assert refused == "ConnectError: http://127.0.0.1:1: connection refused"
    assert denied == (
        "ConnectError: requests to https://api.example.com are not allowed: add it to the component in the manifest, as "
        'allowed_outbound_hosts = ["https://api.example.com"]'
    )
    assert broken.startswith(("RemoteProtocolError: ", "ReadError: "))


def test_a_request_can_be_cancelled(both: App, server: Server) -> None:
    for _ in range(2):
        assert both.text(f"/gives_up?{server.url}") == "gave up, GET /echo None "


def test_a_task_sends_requests(both: App, server: Server) -> None:
    assert both.run(f"/reports?{server.url}")[1] == ["succeeded"]
    both.has_printed("reported POST /echo None report")


def test_what_cannot_be_says_so(plain: App) -> None:
    assert plain.text("/unsupported").splitlines() == [
        "a component cannot wait in a blocking call of httpx: use `AsyncClient`, and `await`",
        "httpx cannot have verify in a component: the host connects, and checks certificates",
        "httpx cannot have proxy in a component: the host connects, and checks certificates",
    ]
