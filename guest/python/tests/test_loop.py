"""asyncio in a component, with the app `plain` on a real host."""

import pytest
from conftest import Host


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/timers", "['soon', 'sooner', 'later'] True"),
        ("/waits", "[True, 'wait_for', True, 'timeout'] [3, 1]"),
        ("/groups", "[2, 1] (ValueError('it broke'),) True"),
        ("/context_variables", "handler handler"),
        ("/busy", "busy"),
        ("/nested_run", "asyncio.run() cannot be called from a running event loop"),
        (
            "/connects",
            "asyncio in a component has no sockets, pipes, signals or processes: call other services with wasi:http",
        ),
        ("/threads", "a component has no threads, so counter cannot start: use asyncio, or a background task"),
        ("/tls", "a component has no `ssl`: call https services with wasi:http, where the host does TLS"),
    ],
)
def test_asyncio(plain: Host, path: str, answer: str) -> None:
    assert plain.get(path).text == answer


def test_a_forgotten_exception_is_logged(plain: Host) -> None:
    assert plain.get("/forgotten_error").text == "forgotten"
    plain.logged("Task exception was never retrieved")
    plain.logged("KeyError: 'forgotten'")


def test_a_closure_sees_the_context_variables_of_no_request(plain: Host) -> None:
    plain.get("/context_variables")
    plain.line_with("in a task: unset")


def test_an_exit_is_a_typed_error(plain: Host) -> None:
    assert plain.get("/exits").status_code == 500
    plain.logged("SystemExit: 3")
    assert "trap" not in str(plain.events)


def test_the_environment_is_that_of_the_manifest(plain: Host) -> None:
    assert plain.get("/environment").text.startswith("hello ")


def test_an_instance_serves_on_after_its_awaits_were_cancelled(plain: Host) -> None:
    for _ in range(3):
        assert plain.get("/waits").status_code == 200
    assert "trap" not in str(plain.events)
