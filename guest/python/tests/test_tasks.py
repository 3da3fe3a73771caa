"""The rules of tasks, with the app `plain` on a real host. The numbers are those of ARCHITECTURE.md."""

import re
from pathlib import Path

from conftest import Host


def test_s1_tasks_run_in_order(plain: Host) -> None:
    assert plain.get("/order").text == "order"
    assert plain.states(1, 2, 3) == ["succeeded"] * 3
    plain.line_with("third")
    assert plain.output == ["first of 3", "second", "third"]


def test_s3_a_task_has_the_name_of_its_function(plain: Host) -> None:
    plain.get("/order")
    plain.states(3)
    assert [e["name"] for e in plain.events] == ["plain:say_later", "plain:order.<locals>.<lambda>", "plain:say"]


def test_s4_tasks_behind_a_failed_one_are_skipped(plain: Host) -> None:
    assert plain.get("/failing").status_code == 200
    assert plain.states(1, 2) == ["failed", "skipped"]
    assert any(e.get("error") == "ValueError: it broke" for e in plain.events)
    plain.logged("in fail")


def test_s4_tasks_behind_a_failed_one_run_if_the_policy_says_so(plain: Host) -> None:
    plain.get("/going_on")
    assert plain.states(1, 2) == ["failed", "succeeded"]
    plain.line_with("still")


def test_a_task_is_retried_and_knows_its_attempt(plain: Host) -> None:
    plain.get("/retries")
    assert plain.states(1) == ["succeeded"]
    plain.line_with("attempt 3")
    assert plain.output == [f"attempt {n} delivered True" for n in (1, 2, 3)]


def test_s10_a_task_that_takes_too_long_is_stopped(plain: Host) -> None:
    plain.get("/too_slow")
    assert plain.states(1) == ["timed-out"]


def test_s10_a_task_is_told_that_its_deadline_is_near(plain: Host) -> None:
    plain.get("/shutdown_signal")
    assert plain.states(1) == ["succeeded"]
    plain.line_with("deadline True")


def test_a_task_is_cancelled_once(plain: Host) -> None:
    assert plain.get("/cancels").text == "True False False"
    assert plain.states(1) == ["cancelled"]


def test_arguments_that_do_not_fit_are_explained(plain: Host) -> None:
    plain.get("/bad_args")
    assert plain.states(1) == ["failed"]
    assert any("takes 0 positional arguments" in str(e.get("error")) for e in plain.events)


def test_s9_teardowns_run_after_the_tasks_in_reverse_order(plain: Host) -> None:
    plain.get("/teardowns")
    plain.line_with("teardown 0")
    assert plain.output == ["task", "teardown 3", "teardown 1", "teardown 0"]
    plain.logged("ValueError: it broke")


def test_s16_a_task_knows_its_request(plain: Host) -> None:
    request = plain.get("/contexts").text
    assert plain.states(1) == ["succeeded"]
    plain.line_with("1 True True")
    assert request in [e["request"] for e in plain.events if e.get("state") == "succeeded"]


def test_s11_a_refused_task_is_an_error_with_a_limit(plain: Host) -> None:
    response = plain.get("/refused_task")
    assert response.status_code == 500
    plain.logged("larger than the limit for one background task")


def test_s6_tasks_for_a_failed_handler_run(plain: Host) -> None:
    assert plain.get("/raises").status_code == 500
    assert plain.states(1, 2) == ["succeeded", "discarded"]
    plain.logged("KeyError: 'raised'")


def test_s18_forgotten_work_ends_before_the_teardown(plain: Host) -> None:
    assert plain.get("/forgotten_work").text == "working"
    plain.line_with("teardown")
    assert plain.output == ["forgotten work", "teardown"]


def test_a_durable_lambda_is_refused(plain: Host) -> None:
    assert re.match(r"bad-args: the durable task .* must be a function of a module", plain.get("/durable_lambda").text)


def test_a_durable_task_needs_a_task_engine(plain: Host) -> None:
    assert plain.get("/durable").status_code == 500
    plain.logged("durable tasks need a store")


def test_durable_tasks_survive_a_kill(plain_wasm: Path, tmp_path: Path) -> None:
    engine = ("--engine", f"sqlite:{tmp_path / 'tasks.db'}")
    host = Host(tmp_path, plain_wasm, "/...", *engine)
    for _ in range(3):
        assert host.get("/durable").text == "durable"
    host.kill()
    assert "durable" not in host.output

    worker = Host(tmp_path, plain_wasm, "/...", *engine, command="worker")
    worker.wait_for(lambda: len([line for line in worker.output if line == "durable"]) == 3 or None, "three tasks")
    assert worker.stop() == 0
