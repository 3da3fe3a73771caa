//! Kinds: a `fn` and an `async fn` are both tasks, and neither blocks anything but its own instance (S17).

use epilogue::testing::{TaskState, TestHost};

use crate::guests;
use crate::support::ends;

#[test]
fn s17_sync_and_async_functions_are_tasks() {
    let host = TestHost::start(guests::TASKS);
    let record = host.get("/?run=sync,slow,sync").drained();

    assert_eq!(ends(&record), ["sync succeeded", "slow succeeded", "sync succeeded"]);
    assert_eq!(host.stdout(), "sync\nslow begins\nslow ends\nsync\n");
}

#[test]
fn s17_a_task_that_computes_blocks_no_other_request() {
    others_go_on_beside("spin");
}

#[test]
fn s17_a_task_that_waits_without_yielding_blocks_no_other_request() {
    others_go_on_beside("block");
}

/// Has requests come and go, with their tasks, while the task of another goes on, on the same thread.
fn others_go_on_beside(task: &str) {
    let host = TestHost::component(guests::TASKS).workers(1).start();
    let busy = host.get(&format!("/?run={task}"));
    busy.response();

    let mut served = 0;
    // The last of them has begun after the task has.
    let mut begun = false;
    while !begun {
        begun = host.stdout().contains(task);
        assert_eq!(ends(&host.get("/?run=ok").drained()), ["ok succeeded"]);
        served += 1;
    }
    assert!(host.stdout().matches("ok\n").count() == served);

    // It would have gone on: nothing but the stop ends it.
    host.stop();
    let record = busy.drained();
    assert_eq!((record.tasks[0].state, record.tasks[0].attempt), (TaskState::Abandoned, 1));
    assert_eq!(record.tasks[0].error.as_deref(), Some("the host stopped"));
}
