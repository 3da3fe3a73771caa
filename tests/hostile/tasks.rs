//! A guest misbehaves in a task. The task's state shows it, and the tasks behind it run in a fresh instance. Another
//! guest adds more tasks than it may.

use epilogue::testing::{TaskState, TestHost};

use super::{Hostile, STUCK, TRAPS};
use crate::guests;
use crate::support::ends;

#[test]
fn s14_a_task_that_traps_takes_no_other_with_it() {
    let hostile = Hostile::with(|host| host);
    for what in TRAPS {
        let record = hostile.misbehave(what, "task");
        assert_eq!(ends(&record), ["deed trapped", "after succeeded"], "{what}");
    }
}

#[test]
fn s10_a_task_that_does_not_end_is_stopped() {
    let hostile = Hostile::start("task-timeout");
    for what in STUCK {
        let record = hostile.misbehave(what, "task");
        assert_eq!(ends(&record), ["deed timed-out", "after succeeded"], "{what}");
    }
}

#[test]
fn s11_of_a_million_tasks_a_thousand_are_accepted_and_run() {
    let host = TestHost::start(guests::EXCESS);
    let exchange = host.get("/tasks?1000000");
    assert_eq!(exchange.text(), "1000");
    let record = exchange.drained();
    assert_eq!(record.tasks.len(), 1_000);
    assert!(record.tasks.iter().all(|task| task.state == TaskState::Succeeded));
}
