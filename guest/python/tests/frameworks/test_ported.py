"""Starlette's and FastAPI's own tests of background tasks, with an app in a component. Each is named after the original.
Where the original looks at the memory of the app, it looks at what the app prints.
"""

import httpx
import pytest

from epilogue.testing import Host


@pytest.fixture
def ends(ported: Host) -> "Ends":
    return Ends(ported)


class Ends:
    """Sends a request, and waits for the end of its tasks."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.seen = len(host.stdout())

    def get(self, path: str, lines: int = 1) -> tuple[str, list[str], list[str]]:
        """Returns the response's text, the tasks' states, and the lines that the app has printed: at least so many."""
        return self.of(self.host.get(path), lines)

    def post(self, path: str, lines: int = 1) -> tuple[str, list[str], list[str]]:
        return self.of(self.host.post(path), lines)

    def of(self, response: httpx.Response, lines: int) -> tuple[str, list[str], list[str]]:
        assert response.status_code == 200
        record = self.host.drained(response)
        return response.text, [task.state for task in record.tasks], self.host.stdout(self.seen + lines)[self.seen :]


# starlette: tests/test_background.py


def test_async_task(ends: Ends) -> None:
    assert ends.get("/async_task") == ("task initiated", ["succeeded"], ["async task"])


def test_sync_task(ends: Ends) -> None:
    assert ends.get("/sync_task") == ("task initiated", ["succeeded"], ["sync task"])


def test_multiple_tasks(ends: Ends) -> None:
    printed = ["counter 1", "counter 3", "counter 6"]
    assert ends.get("/multiple_tasks", 3) == ("tasks initiated", ["succeeded"] * 3, printed)


def test_multi_tasks_failure_avoids_next_execution(ends: Ends) -> None:
    """The original expects the exception in the client. Here the response is complete, and the host records the failure."""
    assert ends.get("/multi_tasks_failure") == ("tasks initiated", ["failed", "skipped"], ["counter 1"])
    assert ends.host.records()[-1].tasks[0].error == "Exception: task failed"


# starlette: tests/test_responses.py


def test_streaming_response(ends: Ends) -> None:
    text, states, printed = ends.get("/streaming_response")
    assert (text, states, printed) == ("1, 2, 3, 4, 5", ["succeeded"], ["filled: 6, 7, 8, 9"])


# starlette: tests/middleware/test_base.py


def test_do_not_block_on_background_tasks(ends: Ends) -> None:
    printed = ["task begins", "task ends"]
    assert ends.get("/base/do_not_block_on_background_tasks", 2) == ("Hello", ["succeeded"], printed)


def test_run_background_tasks_even_if_client_disconnects(ported: Host) -> None:
    with httpx.stream("GET", ported.url + "/base/even_if_the_client_disconnects") as response:
        next(response.iter_raw())
    ported.printed("ran after the client")


# fastapi: tests/test_tutorial/test_background_tasks/test_tutorial001.py and test_tutorial002.py


def test_tutorial001(ends: Ends) -> None:
    text, states, printed = ends.post("/tutorial/send-notification/foo@example.com")
    assert (text, states) == ('{"message":"Message sent"}', ["succeeded"])
    assert printed == ["message to foo@example.com"]


def test_tutorial002(ends: Ends) -> None:
    text, states, printed = ends.post("/tutorial/send-notification/foo@example.com?q=some-query", 2)
    assert (text, states) == ('{"message":"Message sent"}', ["succeeded", "succeeded"])
    assert printed == ["found query: some-query", "message to foo@example.com"]


# fastapi: tests/test_dependency_contextmanager.py


def test_background_tasks(ends: Ends) -> None:
    text, states, printed = ends.get("/tutorial/context_b_bg")
    assert (text, states) == ('{"a":"started a","b":"started b","bg":"not set"}', ["succeeded"])
    # The task runs before the dependencies close.
    background = "bg set - b: started b - a: started a"
    assert printed == [str({"a": "finished a", "b": "finished b with a: started a", "bg": background})]


def test_a_dependency_sees_the_exception_of_a_task(ends: Ends) -> None:
    text, states, printed = ends.get("/tutorial/failing_task", 2)
    assert (text, states) == ('"answered"', ["failed"])
    assert printed == ["session saw the task failed", "session closed"]


def test_a_dependency_sees_the_timeout_of_a_task(ends: Ends, request: pytest.FixtureRequest) -> None:
    """The host ends the instance of such a task, with the dependency. A composed component goes on."""
    if "native" in request.node.name:
        assert ends.get("/tutorial/slow_task", 0) == ('"answered"', ["timed-out"], [])
    else:
        printed = ["session saw the task 'asyncio.tasks:sleep' took longer than its timeout", "session closed"]
        assert ends.get("/tutorial/slow_task", 2) == ('"answered"', ["timed-out"], printed)
