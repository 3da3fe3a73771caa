"""asyncio in a component, with the app `plain` on a real host."""

from collections.abc import Iterator

import pytest
from conftest import App


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/timers", "['soon', 'sooner', 'later'] True"),
        ("/waits", "[True, 'wait_for', True, 'timeout'] [3, 1]"),
        ("/cancels_all", "True"),
        ("/groups", "[2, 1] (ValueError('it broke'),) True"),
        ("/context_variables", "handler handler"),
        ("/yields", "yields"),
        ("/nested_run", "asyncio.run() cannot be called from a running event loop"),
        (
            "/connects",
            "asyncio in a component has no sockets, pipes, signals or processes: call other services with httpx.AsyncClient",
        ),
        ("/threads", "a component has no threads, so counter cannot start: use asyncio, or a background task"),
        ("/tls", "a component has no `ssl`: use httpx.AsyncClient, whose requests the host sends, with TLS"),
    ],
)
def test_asyncio(plain: App, path: str, answer: str) -> None:
    assert plain.text(path) == answer


def test_a_loop_that_never_waits_lets_the_host_deliver_events(plain: App) -> None:
    def body() -> Iterator[bytes]:
        plain.host.printed("busy")
        yield b"the body"

    assert plain.host.post("/busy", content=body()).text == "b'the body'"


def test_a_forgotten_exception_is_logged(plain: App) -> None:
    assert plain.text("/forgotten_error") == "forgotten"
    plain.host.logged("Task exception was never retrieved")
    plain.host.logged("KeyError: 'forgotten'")


def test_a_task_sees_the_context_variables_of_no_request(plain: App) -> None:
    plain.run("/context_variables")
    plain.has_printed("in a task: unset")


def test_an_exit_is_a_typed_error(plain: App) -> None:
    assert plain.host.get("/exits").status_code == 500
    plain.host.logged("SystemExit: 3")


def test_the_environment_is_that_of_the_manifest(plain: App) -> None:
    assert plain.text("/environment") == "hello"


def test_each_instance_has_random_numbers_of_its_own(plain: App) -> None:
    # A task that is stopped takes its instance with it, so the next request is the first one of an instance.
    numbers = []
    for _ in range(3):
        plain.run("/too_slow")
        numbers.append(plain.text("/random_number"))
    assert len(set(numbers)) == 3


def test_the_result_of_a_cancelled_wait_is_dropped(plain: App) -> None:
    assert plain.run("/changes_its_mind")[1] == ["succeeded"]
    plain.has_printed("stopped once")


def test_an_instance_serves_on_after_its_awaits_were_cancelled(plain: App) -> None:
    for _ in range(3):
        assert plain.host.get("/waits").status_code == 200
