"""The rules S1 to S18 by a guest in Python, natively and composed. The numbers are those of ARCHITECTURE.md. The guide shows
these tests in its page about languages.
"""

import time
from pathlib import Path

import httpx
import pytest
from conftest import App, serve

MIB = 1 << 20
SIZE = 64 * MIB
# More bytes than the buffers of a connection on Linux, and those of a composed component.
BUFFERS = 17 * MIB


def test_s1_s15_s17_tasks_of_each_kind_run_in_order(both: App) -> None:
    """The first is an `async def`, the second a closure, and the third a `def`."""
    response, states = both.run("/order")
    assert (response.text, states) == ("order", ["succeeded"] * 3)
    both.has_printed("first of 3", "second", "third")


def test_s2_a_task_waits_for_a_slow_client(both: App) -> None:
    with httpx.stream("GET", both.host.url + f"/large?{SIZE // 65536}", timeout=60) as response:
        nearly, count = 0.0, 0
        for part in response.iter_raw():
            count += len(part)
            if not nearly and count > SIZE - BUFFERS:
                nearly = time.time()
    assert count == SIZE
    assert float(both.host.printed("after ").split()[1]) > nearly


def test_s3_a_task_has_the_name_of_its_function(both: App) -> None:
    record = both.host.drained(both.host.get("/order"))
    names = [task.name for task in record.tasks]
    assert names == ["scenarios.order:say_later", "scenarios.order:order.<locals>.<lambda>", "scenarios:say"]


def test_s3_a_task_is_cancelled_once(both: App) -> None:
    response, states = both.run("/cancels")
    assert (response.text, states) == ("True False False", ["cancelled"])


def test_s3_a_task_is_retried_and_knows_its_attempt(both: App) -> None:
    assert both.run("/retries")[1] == ["succeeded"]
    both.has_printed(*(f"attempt {n} delivered True" for n in (1, 2, 3)))


def test_s4_tasks_behind_a_failed_one_are_skipped(both: App) -> None:
    record = both.host.drained(both.host.get("/failing"))
    assert [(task.state, task.error) for task in record.tasks] == [
        ("failed", "ValueError: it broke"),
        ("skipped", "a task before it did not succeed"),
    ]
    both.host.logged("in fail")


def test_s4_tasks_behind_a_failed_one_run_if_the_policy_says_so(both: App) -> None:
    assert both.run("/going_on")[1] == ["failed", "succeeded"]


def test_s5_tasks_and_teardowns_add_to_the_same_queue(both: App) -> None:
    assert both.run("/adds")[1] == ["succeeded"] * 4
    both.has_printed("first", "second", "added by the first", "teardown", "added by the teardown")


@pytest.mark.parametrize("status", [204, 404, 500])
def test_s6_tasks_run_after_a_response_of_any_status(both: App, status: int) -> None:
    response, states = both.run(f"/status?{status}")
    assert (response.status_code, states) == (status, ["succeeded", "discarded"])


def test_s6_tasks_for_a_failed_handler_run(both: App) -> None:
    response, states = both.run("/raises")
    assert (response.status_code, states) == (500, ["succeeded", "discarded"])
    both.host.logged("KeyError: 'raised'")


def test_s7_tasks_run_although_the_client_has_left(both: App) -> None:
    with httpx.stream("GET", both.host.url + "/until_gone") as response:
        next(response.iter_raw())
    both.has_printed("disconnected", "the client is gone")
    assert both.host.logged("'state': 'cancelled'")


def test_s8_tasks_run_after_the_end_of_the_stream(both: App) -> None:
    response, states = both.run("/ticks")
    assert (response.text, states) == ("0\n1\n2\n", ["succeeded"])
    both.has_printed("sent 0", "sent 1", "sent 2", "after the stream")


def test_s9_teardowns_run_after_the_tasks_in_reverse_order(both: App) -> None:
    both.run("/teardowns")
    both.has_printed("task", "teardown 3", "teardown 1", "teardown 0")
    both.host.logged("ValueError: it broke")


def test_s9_nothing_of_a_request_is_left_to_the_next(both: App) -> None:
    for _ in range(3):
        both.begin()
        both.run("/teardowns")
        both.has_printed("task", "teardown 3", "teardown 1", "teardown 0")
        assert both.run("/raises")[1] == ["succeeded", "discarded"]


def test_s10_a_task_that_waits_past_its_timeout_is_stopped(both: App, request: pytest.FixtureRequest) -> None:
    """The host drops the instance and its closures. A composed component cancels the call, and the instance goes on."""
    is_native = "native" in request.node.name
    assert both.run("/too_slow")[1] == ["timed-out", "abandoned" if is_native else "succeeded"]


def test_s10_a_task_is_told_that_its_deadline_is_near(both: App) -> None:
    assert both.run("/deadline")[1] == ["succeeded"]
    both.has_printed("waits", "deadline True")


def test_s11_a_refused_task_is_an_error_with_a_limit(both: App) -> None:
    assert both.host.get("/refused_task").status_code == 500
    both.host.logged("larger than the limit for one background task")
    response, states = both.run("/many")
    assert (response.text, states) == ("queue-full True", ["succeeded"] * 1000)


def test_s16_handlers_tasks_and_teardowns_know_their_request(both: App) -> None:
    response = both.host.get("/contexts")
    assert both.host.drained(response).id == response.text
    both.has_printed(f"1 True {response.request.headers['traceparent']}", "teardown True")


def test_s18_forgotten_work_ends_before_the_teardown(both: App) -> None:
    assert both.text("/forgotten_work") == "working"
    both.has_printed("forgotten work", "teardown")


def test_s18_a_teardown_runs_although_forgotten_work_never_ends(plain_wasm: Path, tmp_path: Path) -> None:
    with serve(plain_wasm, tmp_path, "--drain-timeout", "100ms") as host:
        host.drained(host.get("/endless_work"))
        assert host.stdout() == ["teardown"]


def test_s10_a_composed_task_that_computes_past_its_timeout_is_not_stopped(composed: App) -> None:
    assert composed.run("/computes")[1] == ["succeeded"] * 3
    composed.has_printed("computes", "a closure of the same instance", "a function")


# Natively only.


def test_s10_s14_s15_a_task_that_computes_past_its_timeout_ends_alone(plain: App) -> None:
    assert plain.run("/computes")[1] == ["timed-out", "abandoned", "succeeded"]
    plain.has_printed("computes", "a function")


def test_s12_a_request_takes_one_of_the_instances(plain_wasm: Path, tmp_path: Path) -> None:
    with serve(plain_wasm, tmp_path, "--max-instances", "4", "--threads", "1") as host:
        assert [host.get("/held").status_code for _ in range(5)] == [200] * 4 + [503]


def test_s13_a_shutdown_waits_for_tasks_and_tells_them(plain_wasm: Path, tmp_path: Path) -> None:
    with serve(plain_wasm, tmp_path) as host:
        response = host.get("/until_shutdown")
        host.printed("waits")
        assert host.stop() == 0
        assert host.stdout() == ["waits", "shutdown True"]
        assert [task.state for task in host.drained(response).tasks] == ["succeeded"]


def test_s13_tasks_are_abandoned_after_the_grace(plain_wasm: Path, tmp_path: Path) -> None:
    with serve(plain_wasm, tmp_path, "--grace", "100ms") as host:
        response = host.get("/held")
        assert host.stop() == 3
        assert [task.state for task in host.drained(response).tasks] == ["abandoned"]


def test_s14_s15_an_exit_ends_one_instance_and_its_closures(plain_wasm: Path, tmp_path: Path) -> None:
    with serve(plain_wasm, tmp_path) as host:
        record = host.drained(host.get("/dies"))
        assert [task.state for task in record.tasks] == ["trapped", "abandoned", "succeeded"]
        host.printed("in a fresh instance")


def test_s17_a_task_that_computes_holds_up_no_other_request(plain_wasm: Path, tmp_path: Path) -> None:
    with serve(plain_wasm, tmp_path, "--threads", "1") as host:
        response = host.get("/computes")
        host.printed("computes")
        host.get("/order")
        host.printed("third")
        host.drained(response)
        assert host.stdout()[-1] == "a function"
