//! Deadlines: a call that waits past its deadline is cancelled, and its instance serves further requests (S6, S10).

use epilogue::testing::ResponseOutcome;

use super::host::StockHost;
use crate::gate::Gate;
use crate::guests;
use crate::support::ends;

#[test]
fn s6_a_composed_handler_that_takes_too_long_has_failed_and_its_instance_serves_on() {
    let host = StockHost::with(guests::ENDS, &[("EPILOGUE_REQUEST_TIMEOUT", "200ms")]);
    let response = host.get("/hang");
    assert_eq!((response.status().as_u16(), &response.body()[..]), (504, &b"Gateway Timeout"[..]));

    let record = host.next_record();
    let ResponseOutcome::HandlerFailed(reason) = &record.outcome else { panic!("{record:?}") };
    assert_eq!(reason, "the handler was cut short: still running after 200ms");
    // The native host has to drop the instance; here the call is cancelled, and what is in its memory lives.
    let ended = ["on-success discarded", "on-failure succeeded", "always succeeded", "always-closure succeeded"];
    assert_eq!(ends(&record), ended);
    assert_eq!(record.teardowns, 1);

    assert_eq!(host.get("/200").status(), 200);
    assert_eq!(host.next_record().tasks.len(), 4);
    assert_eq!(host.instances(), 1);
}

#[test]
fn s10_a_composed_task_that_waits_is_cut_and_its_instance_serves_on() {
    let host = StockHost::start(guests::TASKS);
    host.get("/?run=sleep,ok,closure&within=200&on_failure=continue");
    let record = host.next_record();
    assert_eq!(ends(&record), ["sleep timed-out", "ok succeeded", "closure succeeded"]);
    assert_eq!(record.tasks[0].error.as_deref(), Some("still running after 200ms"));
    host.get("/?run=ok");
    assert_eq!(ends(&host.next_record()), ["ok succeeded"]);
    assert_eq!(host.instances(), 1);
}

#[test]
fn s10_the_time_for_all_composed_tasks_is_limited() {
    let host = StockHost::with(guests::TASKS, &[("EPILOGUE_DRAIN_TIMEOUT", "50ms")]);
    host.get("/?run=sleep,ok&on_failure=continue");
    let record = host.next_record();
    assert_eq!(ends(&record), ["sleep timed-out", "ok abandoned"]);
    assert_eq!(record.tasks[1].error.as_deref(), Some("the time for all tasks of the request was used up"));
}

#[test]
fn s10_a_composed_task_is_told_before_its_deadline() {
    let gate = Gate::new();
    let host = StockHost::with(guests::GATE, &[("EPILOGUE_TASK_TIMEOUT", "5s")]);
    host.get(&gate.path("stopping"));
    gate.wait().open();
    assert_eq!(ends(&host.next_record()), ["stopping succeeded", "second succeeded"]);
    assert!(host.stdout().contains("stopping: StopReason::Deadline"), "{}", host.stdout());
}
