//! Tests `Situation::verdict` for every possible task in every possible situation.

use std::vec::Vec;

use super::*;

/// Returns every possible task in every possible situation: 6,144 pairs.
fn all() -> Vec<(Task, Situation<'static>)> {
    let mut all = Vec::new();
    for bits in 0..1_u32 << 11 {
        let bit = |place: u32| bits >> place & 1 == 1;
        for run_when in [RunWhen::Success, RunWhen::Failure, RunWhen::Always] {
            let (cancelled, cancel_on_disconnect, orphaned, durable) = (bit(0), bit(1), bit(2), bit(9));
            let situation = Situation {
                handler_failed: bit(3),
                client_gone: bit(4),
                failed: bit(5),
                stop_on_failure: bit(6),
                stopped: bit(7),
                late: bit(8),
                not_stored: bit(10).then_some("not stored: no disk"),
            };
            all.push((Task { cancelled, cancel_on_disconnect, orphaned, durable, run_when }, situation));
        }
    }
    all
}

/// If the task must not run, returns the task's final state. If the task runs, returns `None`.
fn state(task: &Task, situation: &Situation<'_>) -> Option<TaskState> {
    situation.verdict(task).map(|(state, _)| state)
}

#[test]
fn s3_a_task_that_does_not_run_was_not_tried() {
    for (task, situation) in all() {
        assert!(state(&task, &situation).is_none_or(|state| !state.is_failure() && state != TaskState::Succeeded));
    }
}

#[test]
fn s4_a_failure_skips_only_under_the_policy_stop() {
    for (task, situation) in all() {
        let skipped = state(&task, &situation) == Some(TaskState::Skipped);
        let calm = Situation { failed: false, ..situation };
        if !situation.stop_on_failure {
            assert_eq!(state(&task, &situation), state(&task, &calm), "{task:?} {situation:?}");
        } else if situation.failed {
            // Only tasks that would otherwise run, or would otherwise be abandoned, are skipped.
            let would_run = state(&task, &calm).is_none_or(|state| state == TaskState::Abandoned);
            assert_eq!(skipped, would_run, "{task:?} {situation:?}");
        }
    }
}

#[test]
fn s6_after_the_handlers_end_those_are_discarded_that_do_not_run_on_it() {
    for (task, situation) in all().into_iter().filter(|(task, _)| !task.cancelled) {
        // If the host could not store the durable tasks, it does not send the response. In this case, the handler
        // counts as failed.
        let failed = situation.handler_failed || situation.not_stored.is_some();
        let unwanted = match task.run_when {
            // The host removes stored tasks from the queue, so the host has not stored a durable task that is still in
            // the queue.
            _ if task.durable => true,
            RunWhen::Success => failed,
            RunWhen::Failure => !failed,
            RunWhen::Always => false,
        };
        assert_eq!(state(&task, &situation) == Some(TaskState::Discarded), unwanted, "{task:?} {situation:?}");
    }
}

#[test]
fn s6_a_discarded_task_is_told_the_true_reason() {
    for (task, situation) in all() {
        let Some((TaskState::Discarded, why)) = situation.verdict(&task) else { continue };
        let is_true = match why {
            "the handler failed" => situation.handler_failed && task.run_when == RunWhen::Success,
            "the handler did not fail" => !situation.handler_failed && task.run_when == RunWhen::Failure,
            "not stored: no disk" => situation.not_stored.is_some() && task.durable,
            "not stored" => situation.not_stored.is_none() && task.durable,
            _ => situation.not_stored.is_some() && !task.durable && !situation.handler_failed,
        };
        assert!(is_true, "{why}: {task:?} {situation:?}");
    }
}

#[test]
fn s7_a_client_that_leaves_changes_nothing_for_a_task_that_did_not_ask() {
    for (task, situation) in all() {
        let left = state(&task, &Situation { client_gone: true, ..situation });
        let stayed = state(&task, &Situation { client_gone: false, ..situation });
        if task.cancel_on_disconnect {
            assert!(left == Some(TaskState::Cancelled) || left == Some(TaskState::Discarded));
        } else {
            assert_eq!(left, stayed, "{task:?} {situation:?}");
        }
    }
}

#[test]
fn s10_s13_s15_a_task_is_abandoned_only_for_want_of_a_host_an_instance_or_time() {
    for (task, situation) in all() {
        let lost = situation.stopped || task.orphaned || situation.late;
        assert!(lost || state(&task, &situation) != Some(TaskState::Abandoned), "{task:?} {situation:?}");
        assert!(!lost || state(&task, &situation).is_some(), "{task:?} {situation:?}");
    }
}
