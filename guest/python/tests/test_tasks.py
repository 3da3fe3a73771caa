"""The rules of tasks, with the app `plain` on a real host. The numbers are those of ARCHITECTURE.md."""

from pathlib import Path

from conftest import App, serve


def test_s1_tasks_run_in_order(plain: App) -> None:
    response, states = plain.run("/order")
    assert (response.text, states) == ("order", ["succeeded"] * 3)
    plain.has_printed("first of 3", "second", "third")


def test_s3_a_task_has_the_name_of_its_function(plain: App) -> None:
    record = plain.host.drained(plain.host.get("/order"))
    assert [task.name for task in record.tasks] == ["plain:say_later", "plain:order.<locals>.<lambda>", "plain:say"]


def test_s4_tasks_behind_a_failed_one_are_skipped(plain: App) -> None:
    record = plain.host.drained(plain.host.get("/failing"))
    assert [(task.state, task.error) for task in record.tasks] == [
        ("failed", "ValueError: it broke"),
        ("skipped", "a task before it did not succeed"),
    ]
    plain.host.logged("in fail")


def test_s4_tasks_behind_a_failed_one_run_if_the_policy_says_so(plain: App) -> None:
    assert plain.run("/going_on")[1] == ["failed", "succeeded"]


def test_a_task_is_retried_and_knows_its_attempt(plain: App) -> None:
    assert plain.run("/retries")[1] == ["succeeded"]
    plain.has_printed(*(f"attempt {n} delivered True" for n in (1, 2, 3)))


def test_s10_a_task_that_takes_too_long_is_stopped(plain: App) -> None:
    assert plain.run("/too_slow")[1] == ["timed-out"]


def test_s10_a_task_is_told_that_its_deadline_is_near(plain: App) -> None:
    assert plain.run("/deadline")[1] == ["succeeded"]
    plain.has_printed("deadline True")


def test_a_task_is_cancelled_once(plain: App) -> None:
    response, states = plain.run("/cancels")
    assert (response.text, states) == ("True False False", ["cancelled"])


def test_arguments_that_do_not_fit_are_explained(plain: App) -> None:
    [task] = plain.host.drained(plain.host.get("/bad_args")).tasks
    assert task.state == "failed"
    assert "takes 0 positional arguments" in str(task.error)


def test_s9_teardowns_run_after_the_tasks_in_reverse_order(plain: App) -> None:
    plain.run("/teardowns")
    plain.has_printed("task", "teardown 3", "teardown 1", "teardown 0")
    plain.host.logged("ValueError: it broke")


def test_s16_a_task_knows_its_request(plain: App) -> None:
    response = plain.host.get("/contexts")
    assert plain.host.drained(response).id == response.text
    plain.has_printed("1 True True")


def test_s11_a_refused_task_is_an_error_with_a_limit(plain: App) -> None:
    assert plain.host.get("/refused_task").status_code == 500
    plain.host.logged("larger than the limit for one background task")


def test_s6_tasks_for_a_failed_handler_run(plain: App) -> None:
    response, states = plain.run("/raises")
    assert (response.status_code, states) == (500, ["succeeded", "discarded"])
    plain.host.logged("KeyError: 'raised'")


def test_s18_forgotten_work_ends_before_the_teardown(plain: App) -> None:
    assert plain.text("/forgotten_work") == "working"
    plain.has_printed("forgotten work", "teardown")


def test_a_durable_lambda_is_refused(plain: App) -> None:
    answer = plain.text("/durable_lambda")
    assert answer.startswith(
        "bad-args: the durable task 'plain:durable_lambda.<locals>.<lambda>' cannot be stored: its function"
    )


def test_s12_a_request_takes_one_of_the_instances(plain_wasm: Path, tmp_path: Path) -> None:
    with serve(plain_wasm, tmp_path, "--max-instances", "4", "--threads", "1") as host:
        assert [host.get("/held").status_code for _ in range(5)] == [200] * 4 + [503]


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
