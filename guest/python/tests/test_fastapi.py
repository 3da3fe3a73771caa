"""An app of FastAPI on a real host. EPILOGUE_GUEST_PACKAGES is a folder with FastAPI, and pydantic-core for wasm."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import Host, binary, build

pytestmark = pytest.mark.skipif("EPILOGUE_GUEST_PACKAGES" not in os.environ, reason="EPILOGUE_GUEST_PACKAGES is not set")


@pytest.fixture(scope="module")
def fastapi_wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary()
    return build("fastapi_app", tmp_path_factory.mktemp("fastapi"))


@pytest.fixture(scope="module")
def shared(fastapi_wasm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("host"), fastapi_wasm)
    yield host
    assert host.stop() == 0


@pytest.fixture
def host(shared: Host) -> Host:
    return shared.fresh()


def test_the_tutorial_s_tasks_run_after_the_response_in_order(host: Host) -> None:
    response = host.request("POST", "/send-notification/a@b.c?q=cats")
    assert response.json() == {"message": "Message sent"}
    assert host.states(1, 2) == ["succeeded"] * 2
    host.line_with("notification")
    assert host.output == ["found query: cats", "notification for a@b.c: some notification"]


def test_a_dependency_closes_after_the_tasks(host: Host) -> None:
    assert host.get("/session").json() == "session"
    host.line_with("close")
    assert host.output == ["open", "use session", "use session", "close"]


def test_a_dependency_sees_the_task_s_exception(host: Host) -> None:
    assert host.get("/session/fails").status_code == 200
    assert host.states(1, 2) == ["failed", "skipped"]
    host.line_with("close")
    assert host.output == ["open", "use session", "the session sees the task's error", "close"]


def test_a_dependency_closes_after_the_last_attempt(host: Host) -> None:
    host.get("/session/retries")
    host.line_with("close")
    assert host.output == ["open", "attempt 1", "attempt 2", "close"]
    assert host.states(1) == ["succeeded"]


def test_a_closure_runs_in_the_same_instance_before_the_teardown(host: Host) -> None:
    host.get("/session/closure")
    host.line_with("teardown")
    assert host.output == ["open", "closure of session /session/closure", "close", "teardown"]


def test_models_are_validated_and_tasks_take_them(host: Host) -> None:
    item = {"name": "cup", "price": 3.5, "owner": "a@example.com"}
    assert host.request("POST", "/items", json=item).json() == item
    assert host.states(1) == ["succeeded"]
    host.line_with("created name='cup'")
    response = host.request("POST", "/items", json={"name": "c", "price": "dear", "owner": "nobody"})
    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["detail"]] == [["body", "name"], ["body", "price"], ["body", "owner"]]


def test_the_lifespan_s_state(host: Host) -> None:
    assert host.get("/state").json() == "opened at startup"


def test_a_task_attached_to_the_response(host: Host) -> None:
    assert host.get("/background").json() == {"a": 1}
    host.line_with("attached")


def test_middleware_keeps_the_length_and_the_headers(host: Host) -> None:
    response = host.get("/search?limit=3")
    assert response.text == "3"
    assert (response.headers["x-stamp"], response.headers["content-length"]) == ("stamped", "1")
    assert host.get("/search?limit=0").status_code == 422


def test_tasks_of_a_stream_run_after_its_end(host: Host) -> None:
    assert host.get("/stream").text == "0\n1\n2\n"
    host.line_with("after the stream")
    assert host.output == ["sent 0", "sent 1", "sent 2", "after the stream"]


def test_tasks_run_although_the_client_has_left(host: Host) -> None:
    with httpx.stream("GET", host.url + "/endless") as response:
        next(response.iter_raw())
    assert host.states(1) == ["succeeded"]
    host.line_with("the client is gone")


def test_a_refused_task_is_an_error_and_none_of_the_others_runs(host: Host) -> None:
    response = host.get("/durable")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert host.states(1) == ["cancelled"]
    host.logged("durable tasks need a store")


def test_durable_tasks_of_fastapi_survive_a_kill(fastapi_wasm: Path, tmp_path: Path) -> None:
    engine = ("--engine", f"sqlite:{tmp_path / 'tasks.db'}")
    host = Host(tmp_path, fastapi_wasm, "/...", *engine)
    assert host.get("/durable").json() == "accepted"
    host.kill()
    worker = Host(tmp_path, fastapi_wasm, "/...", *engine, command="worker")
    worker.line_with("durable")
    assert worker.stop() == 0


def test_exceptions_are_answered_as_fastapi_does(host: Host) -> None:
    response = host.get("/raises")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    host.logged("KeyError: 'raised'")
    assert host.get("/teapot").json() == {"detail": "short and stout"}
    assert host.get("/unicorn").json() == {"unicorn": "rainbow"}
    assert host.get("/nowhere").json() == {"detail": "Not Found"}
    assert "never" not in host.output


def test_multipart_forms(host: Host) -> None:
    large = b"x" * 1_500_000
    response = host.request("POST", "/upload", data={"name": "photo"}, files={"file": ("a.bin", large)})
    assert response.json() == {"name": "photo", "file": "a.bin", "size": len(large)}


def test_cookies(host: Host) -> None:
    response = host.get("/cookies", headers={"cookie": "seen=yes"})
    assert response.json() == "yes"
    assert [value.partition(";")[0] for value in response.headers.get_list("set-cookie")] == ["a=1", "b=2"]


def test_the_docs(host: Host) -> None:
    assert "swagger" in host.get("/docs").text
    assert host.get("/openapi.json").json()["paths"]["/items"]["post"]["responses"]["201"]


def test_the_route_s_prefix_is_the_root_path(fastapi_wasm: Path, tmp_path: Path) -> None:
    host = Host(tmp_path, fastapi_wasm, "/api/...")
    assert host.get("/api/search?limit=3").text == "3"
    assert host.get("/api/openapi.json").json()["servers"] == [{"url": "/api"}]
    assert host.stop() == 0
