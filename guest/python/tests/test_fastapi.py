"""An app of FastAPI on a real host."""

import socket
from pathlib import Path

import httpx
from conftest import App, serve


def test_the_tutorial_s_tasks_run_after_the_response_in_order(fastapi_app: App) -> None:
    response, states = fastapi_app.run("/send-notification/a@b.c?q=cats", "POST")
    assert (response.json(), states) == ({"message": "Message sent"}, ["succeeded"] * 2)
    fastapi_app.has_printed("found query: cats", "notification for a@b.c: some notification")


def test_a_dependency_closes_after_the_tasks(fastapi_app: App) -> None:
    response, states = fastapi_app.run("/session")
    assert (response.json(), states) == ("session", ["succeeded"] * 2)
    fastapi_app.has_printed("open", "use session", "use session", "close")


def test_a_dependency_sees_the_task_s_exception(fastapi_app: App) -> None:
    response, states = fastapi_app.run("/session/fails")
    assert (response.status_code, states) == (200, ["failed", "skipped"])
    fastapi_app.has_printed("open", "use session", "the session sees the task's error", "close")


def test_a_dependency_closes_after_the_tasks_behind_a_failed_one(fastapi_app: App) -> None:
    assert fastapi_app.run("/session/goes_on")[1] == ["failed", "succeeded"]
    fastapi_app.has_printed("open", "use session", "use session", "the session sees the task's error", "close")


def test_a_task_may_append_tasks(fastapi_app: App) -> None:
    assert fastapi_app.run("/append")[1] == ["succeeded"] * 2
    fastapi_app.has_printed("appended by a task")


def test_a_dependency_closes_after_the_last_attempt(fastapi_app: App) -> None:
    assert fastapi_app.run("/session/retries")[1] == ["succeeded"]
    fastapi_app.has_printed("open", "attempt 1", "attempt 2", "close")


def test_a_closure_runs_in_the_same_instance_before_the_teardown(fastapi_app: App) -> None:
    assert fastapi_app.run("/session/closure")[1] == ["succeeded"]
    fastapi_app.has_printed("open", "closure of session /session/closure", "close", "teardown")


def test_forgotten_work_goes_on_while_the_tasks_run(fastapi_app: App) -> None:
    assert fastapi_app.run("/forgotten")[1] == ["succeeded"]
    fastapi_app.has_printed("task", "late")


def test_models_are_validated_and_tasks_take_them(fastapi_app: App) -> None:
    item = {"name": "cup", "price": 3.5, "owner": "a@example.com"}
    response, states = fastapi_app.run("/items", "POST", json=item)
    assert (response.json(), states) == (item, ["succeeded"])
    fastapi_app.has_printed("created name='cup' price=3.5 owner='a@example.com'")
    response = fastapi_app.host.post("/items", json={"name": "c", "price": "dear", "owner": "nobody"})
    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["detail"]] == [["body", "name"], ["body", "price"], ["body", "owner"]]


def test_the_lifespan_s_state(fastapi_app: App) -> None:
    assert fastapi_app.host.get("/state").json() == "opened at startup"


def test_a_task_attached_to_the_response(fastapi_app: App) -> None:
    assert fastapi_app.host.get("/background").json() == {"a": 1}
    fastapi_app.has_printed("attached")


def test_middleware_keeps_the_length_and_the_headers(fastapi_app: App) -> None:
    response = fastapi_app.host.get("/search?limit=3")
    assert response.text == "3"
    assert (response.headers["x-stamp"], response.headers["content-length"]) == ("stamped", "1")
    assert fastapi_app.host.get("/search?limit=0").status_code == 422


def test_s8_tasks_run_after_the_end_of_the_stream(fastapi_app: App) -> None:
    response, states = fastapi_app.run("/stream")
    assert (response.text, states) == ("0\n1\n2\n", ["succeeded"])
    fastapi_app.has_printed("sent 0", "sent 1", "sent 2", "after the stream")


def test_s7_tasks_run_although_the_client_has_left(fastapi_app: App) -> None:
    with httpx.stream("GET", fastapi_app.host.url + "/endless") as response:
        next(response.iter_raw())
    fastapi_app.has_printed("the client is gone")


def test_a_refused_task_is_an_error_and_none_of_the_others_runs(fastapi_app: App) -> None:
    response, states = fastapi_app.run("/refused")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert states == ["cancelled"]
    fastapi_app.host.logged("larger than the limit for one background task")


def test_a_refused_task_is_an_error_even_if_the_app_catches_the_exception(fastapi_app: App) -> None:
    response, states = fastapi_app.run("/refused/caught")
    assert (response.status_code, states) == (500, ["cancelled"])


def test_a_middleware_that_buffers_makes_tasks_run_early_and_a_warning_says_so(fastapi_app: App) -> None:
    response, states = fastapi_app.run("/buffered")
    assert (response.json(), states) == ("buffered", ["succeeded"])
    fastapi_app.has_printed("before the response", "durable")
    fastapi_app.host.logged("the task 'fastapi_app:write_log' runs before the response, and the host does not record it")


def test_a_header_that_the_host_refuses_is_an_error_at_once(fastapi_app: App) -> None:
    assert fastapi_app.host.get("/header", params={"value": "fine"}).headers["x-value"] == "fine"
    assert fastapi_app.host.get("/header", params={"value": "two\nlines"}).status_code == 500


def test_a_request_body_that_breaks_off_is_no_whole_body(fastapi_app: App) -> None:
    assert fastapi_app.run("/size", "POST", content=b"x" * 100_000)[1] == ["succeeded"]
    url = httpx.URL(fastapi_app.host.url)
    with socket.create_connection((url.host, url.port or 80), timeout=60) as client:
        client.sendall(b"POST /size HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 100_000)
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(1000)
    assert not answer.startswith(b"HTTP/1.1 200"), answer


def test_durable_tasks_survive_a_kill(fastapi_wasm: Path, tmp_path: Path) -> None:
    engine = ("--engine", f"sqlite:{tmp_path / 'tasks.db'}")
    with serve(fastapi_wasm, tmp_path, *engine) as host:
        assert host.get("/durable").json() == "accepted"
        host.kill()
        assert host.stdout() == []
    with serve(fastapi_wasm, tmp_path, *engine, "--work") as host:
        host.printed("durable")


def test_exceptions_are_answered_as_fastapi_does(fastapi_app: App) -> None:
    response, states = fastapi_app.run("/raises")
    assert (response.status_code, response.text, states) == (500, "Internal Server Error", [])
    fastapi_app.host.logged("KeyError: 'raised'")
    assert fastapi_app.host.get("/teapot").json() == {"detail": "short and stout"}
    assert fastapi_app.host.get("/unicorn").json() == {"unicorn": "rainbow"}
    assert fastapi_app.host.get("/nowhere").json() == {"detail": "Not Found"}


def test_multipart_forms(fastapi_app: App) -> None:
    large = b"x" * 1_500_000
    response = fastapi_app.host.post("/upload", data={"name": "photo"}, files={"file": ("a.bin", large)})
    assert response.json() == {"name": "photo", "file": "a.bin", "size": len(large)}


def test_cookies(fastapi_app: App) -> None:
    response = fastapi_app.host.get("/cookies", headers={"cookie": "seen=yes"})
    assert response.json() == "yes"
    assert [value.partition(";")[0] for value in response.headers.get_list("set-cookie")] == ["a=1", "b=2"]


def test_the_docs(fastapi_app: App) -> None:
    assert "swagger" in fastapi_app.text("/docs")
    assert fastapi_app.host.get("/openapi.json").json()["paths"]["/items"]["post"]["responses"]["201"]


def test_the_route_s_prefix_is_the_root_path(fastapi_wasm: Path, tmp_path: Path) -> None:
    with serve(fastapi_wasm, tmp_path, route="/api/...") as host:
        assert host.get("/api/search?limit=3").text == "3"
        assert host.get("/api/openapi.json").json()["servers"] == [{"url": "/api"}]
