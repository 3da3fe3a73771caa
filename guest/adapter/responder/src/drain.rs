//! The drain: a request's tasks, one after the other, each to exactly one final state, by the rules of the native host's
//! (`host/src/drain.rs`).

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;

use crate::bindings::epilogue::adapter::drain::{self, QueuedTask};
use crate::bindings::epilogue::background::runner;
use crate::bindings::epilogue::background::types::{Backoff, FailurePolicy, ResponseOutcome, RunWhen, Task, TaskError};
use crate::bindings::wasi::clocks::monotonic_clock::{now, wait_for};
use crate::bindings::wasi::random::random::get_random_u64;
use crate::clock::{Nanoseconds, show, within};
use crate::life::Life;
use crate::record::{TaskRecord, TaskState, quoted, will_be_retried};
use crate::settings::settings;

/// For a task that does not say how long it waits between two attempts.
const BACKOFF: Backoff = Backoff { first: 100_000_000, max: 10_000_000_000 };
const MILLISECOND: Nanoseconds = 1_000_000;

impl Life {
    /// Runs the tasks in the order of registration, those included that are added meanwhile, until none is left.
    pub(crate) async fn drain(&mut self) {
        let mut failed = false;
        while let Some(task) = drain::next() {
            let record = match self.verdict(&task, failed) {
                Some((state, reason)) => TaskRecord { state, attempt: 0, elapsed: 0, error: Some(reason.to_owned()) },
                None => self.run(&task).await,
            };
            record.emit(&self.identity, &task).await;
            failed |= record.state.is_failure();
            self.tasks += 1;
        }
    }

    /// The state of a task that is not to run, and why.
    fn verdict(&mut self, task: &QueuedTask, failed: bool) -> Option<(TaskState, &'static str)> {
        let handler_failed = matches!(self.outcome, ResponseOutcome::HandlerFailed(_));
        let client_gone = matches!(self.outcome, ResponseOutcome::ClientGone);
        if task.cancelled {
            Some((TaskState::Cancelled, "cancelled by the guest"))
        } else if task.run_when == RunWhen::Success && handler_failed {
            Some((TaskState::Discarded, "the handler failed"))
        } else if task.run_when == RunWhen::Failure && !handler_failed {
            Some((TaskState::Discarded, "the handler did not fail"))
        } else if task.cancel_on_disconnect && client_gone {
            Some((TaskState::Cancelled, "the client left"))
        } else if failed && drain::policy() == FailurePolicy::Stop {
            Some((TaskState::Skipped, "a task before it did not succeed"))
        } else if self.budget() == 0 {
            Some((TaskState::Abandoned, "the time for all tasks of the request was used up"))
        } else {
            None
        }
    }

    /// Runs a task, as often as it may be tried, and says how it ended.
    async fn run(&mut self, task: &QueuedTask) -> TaskRecord {
        let start = now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (state, error) = self.attempt(task, attempt).await;
            let pause = pause(task.backoff.unwrap_or(BACKOFF), attempt);
            if attempt >= task.max_attempts || !state.is_failure() || pause >= self.budget() {
                return TaskRecord { state, attempt, elapsed: now() - start, error };
            }
            will_be_retried(&self.identity, task, attempt, pause, error.as_ref()).await;
            wait_for(pause).await;
        }
    }

    async fn attempt(&mut self, task: &QueuedTask, attempt: u32) -> (TaskState, Option<String>) {
        let own = settings().task_timeout;
        let limit = task.timeout.map_or(own, |asked| asked.min(own)).min(self.budget());
        let call = Task {
            id: task.id,
            name: task.name.clone(),
            args: task.args.clone(),
            attempt,
            outcome: self.outcome.clone(),
        };
        drain::allow(Some(limit));
        match within(limit, runner::run(call)).await {
            Some(Ok(())) => (TaskState::Succeeded, None),
            Some(Err(error)) => (TaskState::Failed, Some(describe(error, &task.name))),
            None => (TaskState::TimedOut, Some(format!("still running after {}", show(limit)))),
        }
    }
}

/// The wait after this attempt: between half of what the backoff says and all of it.
fn pause(Backoff { first, max }: Backoff, attempt: u32) -> Nanoseconds {
    let first = first.max(MILLISECOND);
    let full = first.saturating_mul(1 << (attempt - 1).min(31)).min(max.max(first));
    let half = full / 2;
    full - get_random_u64() % (half + 1)
}

fn describe(error: TaskError, name: &str) -> String {
    match error {
        TaskError::Failed(error) => error,
        TaskError::UnknownTask => format!("the guest has no task named {}", quoted(name)),
        TaskError::BadArgs(error) => format!("bad arguments: {error}"),
    }
}
