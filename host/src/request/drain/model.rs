//! The verdicts, in every situation there is; and whole drains of a queue, whatever their tasks come to and add.

use epilogue_manifest::settings::Settings;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::contract::bindings::TaskOptions;
use crate::tasks::backlog::Backlog;
use crate::tasks::queue::Queue;

const NEVER: Situation<'_> = Situation {
    handler_failed: false,
    not_stored: None,
    client_gone: false,
    failed: false,
    policy: FailurePolicy::Stop,
    stopped: false,
    late: false,
};

fn options(run_when: RunWhen) -> TaskOptions {
    let (timeout, max_attempts, backoff) = (None, None, None);
    TaskOptions {
        run_when,
        timeout,
        max_attempts,
        backoff,
        cancel_on_disconnect: false,
        instance_bound: false,
        durable: false,
    }
}

/// Every task in every situation: some thousand pairs.
fn all() -> Vec<(Task, Situation<'static>)> {
    let mut queue = Queue::new(&Settings::default(), false, Backlog::default());
    let task = queue.accept(0, "task".to_owned(), Vec::new(), options(RunWhen::Always)).unwrap();
    let mut all = Vec::new();
    for bits in 0..1_u32 << 11 {
        let bit = |place: u32| bits >> place & 1 == 1;
        for run_when in [RunWhen::Success, RunWhen::Failure, RunWhen::Always] {
            let (cancelled, cancel_on_disconnect, orphaned, durable) = (bit(0), bit(1), bit(2), bit(9));
            let situation = Situation {
                handler_failed: bit(3),
                client_gone: bit(4),
                failed: bit(5),
                policy: if bit(6) { FailurePolicy::Stop } else { FailurePolicy::Continue },
                stopped: bit(7),
                late: bit(8),
                not_stored: bit(10).then_some("not stored: no disk"),
            };
            let task = Task { cancelled, cancel_on_disconnect, orphaned, durable, run_when, ..task.clone() };
            all.push((task, situation));
        }
    }
    all
}

/// The state that the verdict names, if the task is not to run.
fn state(task: &Task, situation: Situation<'_>) -> Option<TaskState> {
    situation.verdict(task).map(|(state, _)| state)
}

#[test]
fn s3_a_task_that_does_not_run_was_not_tried() {
    for (task, situation) in all() {
        assert!(state(&task, situation).is_none_or(|state| !state.is_failure() && state != TaskState::Succeeded));
    }
}

#[test]
fn s4_a_failure_skips_only_under_the_policy_stop() {
    for (task, situation) in all() {
        let skipped = state(&task, situation) == Some(TaskState::Skipped);
        let calm = Situation { failed: false, ..situation };
        if situation.policy == FailurePolicy::Continue {
            assert_eq!(state(&task, situation), state(&task, calm), "{task:?} {situation:?}");
        } else if situation.failed {
            // Those that would have run, or been abandoned, are skipped.
            let would_run = state(&task, calm).is_none_or(|state| state == TaskState::Abandoned);
            assert_eq!(skipped, would_run, "{task:?} {situation:?}");
        }
    }
}

#[test]
fn s6_after_the_handlers_end_those_are_discarded_that_do_not_run_on_it() {
    for (task, situation) in all().into_iter().filter(|(task, _)| !task.cancelled) {
        // If the durable ones were not stored, nothing of the response is sent: that is no success either.
        let failed = situation.handler_failed || situation.not_stored.is_some();
        let unwanted = match task.run_when {
            // What is stored is not here any more.
            _ if task.durable => true,
            RunWhen::Success => failed,
            RunWhen::Failure => !failed,
            RunWhen::Always => false,
        };
        assert_eq!(state(&task, situation) == Some(TaskState::Discarded), unwanted, "{task:?} {situation:?}");
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
        let left = state(&task, Situation { client_gone: true, ..situation });
        let stayed = state(&task, Situation { client_gone: false, ..situation });
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
        assert!(lost || state(&task, situation) != Some(TaskState::Abandoned), "{task:?} {situation:?}");
        assert!(!lost || state(&task, situation).is_some(), "{task:?} {situation:?}");
    }
}

/// A task that will be drained: what it runs on, what it comes to, whether its instance dies, and what it adds.
#[derive(Debug, Clone)]
struct Plan {
    run_when: RunWhen,
    instance_bound: bool,
    state: TaskState,
    adds: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    use TaskState::{Failed, Succeeded, TimedOut, Trapped};
    let run_when = prop::sample::select(vec![RunWhen::Success, RunWhen::Failure, RunWhen::Always]);
    let state = prop::sample::select(vec![Succeeded, Succeeded, Succeeded, Failed, Trapped, TimedOut]);
    (run_when, any::<bool>(), state, 0..3_usize).prop_map(|(run_when, instance_bound, state, adds)| Plan {
        run_when,
        instance_bound,
        state,
        adds,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same steps as [`Life::drain`], with plans instead of a guest. Those that the handler does not add are added by
    /// tasks that run, as far as they go.
    #[test]
    fn s1_s3_every_accepted_task_ends_once_and_in_order(
        plans in vec(plan(), 1..24), first in 1..8_usize, handler_failed: bool, goes_on: bool
    ) {
        let policy = if goes_on { FailurePolicy::Continue } else { FailurePolicy::Stop };
        let mut queue = Queue::new(&Settings { max_tasks: 16, ..Settings::default() }, false, Backlog::default());
        queue.set_policy(policy);
        let mut accepted = Vec::new();
        let mut rest = plans.into_iter();
        let mut add = |queue: &mut Queue, accepted: &mut Vec<Plan>, count| {
            for plan in rest.by_ref().take(count) {
                let options = TaskOptions { instance_bound: plan.instance_bound, ..options(plan.run_when) };
                if let Ok(task) = queue.accept(0, "task".to_owned(), Vec::new(), options) {
                    queue.push(task);
                    accepted.push(plan);
                }
            }
        };
        add(&mut queue, &mut accepted, first);
        let (mut ended, mut failed) = (Vec::new(), false);
        while let Some(task) = queue.next() {
            let situation = Situation { handler_failed, policy, failed, ..NEVER };
            let plan = accepted[task.id as usize - 1].clone();
            let state = situation.verdict(&task).map_or(plan.state, |(state, _)| state);
            if situation.verdict(&task).is_none() {
                add(&mut queue, &mut accepted, plan.adds);
                if matches!(state, TaskState::Trapped | TaskState::TimedOut) {
                    queue.orphan();
                }
            }
            failed |= state.is_failure();
            ended.push((task.id, state));
        }
        prop_assert!(ended.iter().map(|(id, _)| *id).eq(1..=accepted.len() as u64));
        let first_failure = ended.iter().position(|(_, state)| state.is_failure()).unwrap_or(ended.len());
        let ran_after = ended.iter().skip(first_failure + 1).any(|(_, state)| *state == TaskState::Succeeded);
        prop_assert!(goes_on || !ran_after);
        prop_assert!(!goes_on || ended.iter().all(|(_, state)| *state != TaskState::Skipped));
        prop_assert!(ended.len() <= 16);
    }
}
