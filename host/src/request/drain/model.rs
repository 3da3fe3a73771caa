//! Tests a model of how the host runs all tasks of a request, with every possible end of a task. `epilogue-rules` has a
//! separate model of the rules that decide whether the host runs a task.

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
    stop_on_failure: true,
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

/// A planned task: the condition under which the task runs, the state in which the task ends, and the number of tasks
/// that the task adds.
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

    /// Takes the same steps as [`Life::drain`], with planned tasks instead of a guest. First, the test adds some of the
    /// planned tasks, as a handler would. Then, each task that runs adds some of the remaining planned tasks.
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
            let situation = Situation { handler_failed, stop_on_failure: !goes_on, failed, ..NEVER };
            let verdict = situation.verdict(&facts(&task));
            let plan = accepted[task.id as usize - 1].clone();
            let state = verdict.map_or(plan.state, |(state, _)| state);
            if verdict.is_none() {
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
