//! Kinds of tasks. Both a `fn` and an `async fn` can be a task, and each blocks only its own instance (S17). A task
//! gets exactly the arguments that were enqueued, of any type.

use epilogue::testing::{TaskState, TestHost};

use crate::durable::only_in_process;
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
    only_in_process!(RunsElsewhere);
    others_go_on_beside("spin");
}

#[test]
fn s17_a_task_that_waits_without_yielding_blocks_no_other_request() {
    only_in_process!(RunsElsewhere);
    others_go_on_beside("block");
}

/// The output of the guest `values`: each bit of the values that it enqueued.
pub(crate) const VALUES: &str = "[3ff93e93e93e863b, 8000000000000000, 1, 7fefffffffffffff] [3dcccccd, 800000]\n\
    -170141183460469231731687303715884105728 340282366920938463463374607431768211455 18446744073709551615 \
    -9223372036854775808 '\\u{10ffff}'\n\
    Circle { radius: 0.9146155235219107, at: Some(1.0) }\nNone\n";

#[test]
fn arguments_arrive_as_they_were_enqueued() {
    let host = TestHost::start(guests::VALUES);
    let record = host.get("/").drained();
    assert!(record.tasks.iter().all(|task| task.state == TaskState::Succeeded), "{record:?}");
    assert_eq!(host.stdout(), VALUES);
}

#[test]
fn arguments_that_no_task_could_take_are_refused_when_they_are_enqueued() {
    let host = TestHost::start(guests::VALUES);
    let exchange = host.get("/refused");
    let answer = exchange.text();
    let lines: Vec<_> = answer.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "take_floats: JSON has no number for NaN",
            "take_floats: JSON has no number for inf",
            "take_nest: they are nested more than 127 deep",
        ]
    );
    assert!(lines[3].starts_with("take_option: the task would get another value"), "{answer}");
    assert!(lines[4].starts_with("take_skips: the task could not read them"), "{answer}");
    assert!(lines[5].starts_with("take_flat: the task could not read them"), "{answer}");
    assert!(exchange.drained().tasks.is_empty());
}

/// Checks that requests come and go with their tasks while another request's task runs on the same thread.
fn others_go_on_beside(task: &str) {
    let host = TestHost::component(guests::TASKS).threads(1).start();
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
