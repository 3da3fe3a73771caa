"""Tasks that Python has in its own way, and durable ones, with the app `plain` on a real host."""

from pathlib import Path

from conftest import App, serve


def test_arguments_that_do_not_fit_are_explained(plain: App) -> None:
    [task] = plain.host.drained(plain.host.get("/bad_args")).tasks
    assert task.state == "failed"
    assert "takes 0 positional arguments" in str(task.error)


def test_the_request_of_the_build_has_no_host(plain: App) -> None:
    assert plain.text("/was_built").splitlines() == [
        "None False",
        "closed",
        "there is no host in the build that could send requests",
    ]


def test_a_durable_lambda_is_refused(plain: App) -> None:
    answer = plain.text("/durable_lambda")
    assert answer.startswith(
        "bad-args: the durable task 'scenarios.ends:durable_lambda.<locals>.<lambda>' cannot be stored: its function"
    )


def test_durable_tasks_survive_a_kill(plain_wasm: Path, tmp_path: Path) -> None:
    engine = ("--engine", f"sqlite:{tmp_path / 'tasks.db'}")
    with serve(plain_wasm, tmp_path, *engine) as host:
        for number in (1, 2, 3):
            assert host.get(f"/durable?{number}").text == "durable"
        host.kill()
        assert host.stdout() == []
    with serve(plain_wasm, tmp_path, *engine, "--work") as host:
        for number in (1, 2, 3):
            host.printed(f"durable {number}")
