//! The drain, which runs a request's tasks after the response, one at a time. The drain records exactly one final state
//! for each task. The drain of Epilogue's host (`host/src/request/drain.rs`) follows the same rules.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::time::Duration;

use epilogue_rules::backoff::Backoff;
use epilogue_rules::limits::cut;
use epilogue_rules::state::TaskState;
use epilogue_rules::verdict::{self, Situation};
use epilogue_rules::words;

use crate::bindings::epilogue::adapter::drain::{self, QueuedTask};
use crate::bindings::epilogue::background::runner;
use crate::bindings::epilogue::background::types::{FailurePolicy, ResponseOutcome, RunWhen, Task, TaskError};
use crate::bindings::wasi::clocks::monotonic_clock::{now, wait_for};
use crate::bindings::wasi::random::random::get_random_u64;
use crate::clock::{nanoseconds, within};
use crate::life::Life;
use crate::record::{TaskRecord, will_be_retried};
use crate::settings::settings;

impl Life {
    /// Runs the request's tasks in the order in which the guest added them, until the queue is empty. If a running task
    /// adds tasks, this function runs the added tasks, too.
    pub(crate) async fn drain(&mut self) {
        let mut failed = false;
        while let Some(task) = next().await {
            let record = match self.verdict(&task, failed) {
                Some((state, reason)) => TaskRecord { state, attempt: 0, elapsed: 0, error: Some(reason.to_owned()) },
                None => self.run(&task).await,
            };
            record.emit(&self.identity, &task).await;
            failed |= record.state.is_failure();
            self.tasks += 1;
        }
    }

    /// If the task must not run, returns the task's final state and the reason. If the task must run, returns `None`.
    fn verdict(&mut self, task: &QueuedTask, failed: bool) -> Option<(TaskState, &'static str)> {
        let situation = Situation {
            handler_failed: matches!(self.outcome, ResponseOutcome::HandlerFailed(_)),
            client_gone: matches!(self.outcome, ResponseOutcome::ClientGone),
            failed,
            // The drain asks the adapter `queue` for the policy only after a failure, because each call of another
            // component takes time.
            stop_on_failure: failed && drain::policy() == FailurePolicy::Stop,
            late: self.budget() == 0,
            // These two cases cannot occur: the adapters refuse durable tasks, and if the host stops, the adapters
            // stop, too.
            not_stored: None,
            stopped: false,
        };
        situation.verdict(&verdict::Task {
            run_when: match task.run_when {
                RunWhen::Success => verdict::RunWhen::Success,
                RunWhen::Failure => verdict::RunWhen::Failure,
                RunWhen::Always => verdict::RunWhen::Always,
            },
            cancelled: task.cancelled,
            cancel_on_disconnect: task.cancel_on_disconnect,
            durable: false,
            orphaned: false,
        })
    }

    /// Runs a task, and returns the record of how the task ended. If an attempt fails and the task has another attempt
    /// and enough time left, this function pauses and runs the task again.
    async fn run(&mut self, task: &QueuedTask) -> TaskRecord {
        let start = now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (state, error) = self.attempt(task, attempt).await;
            let pause = nanoseconds(backoff(task).pause(attempt, get_random_u64() as u32));
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
            Some(Err(error)) => (TaskState::Failed, Some(cut(describe(error, &task.name)))),
            None => (TaskState::TimedOut, Some(words::still_running(Duration::from_nanos(limit)))),
        }
    }
}

/// Takes the next task from the queue. If the queue is empty, this function pauses briefly, and then checks the queue
/// once more. During the pause, the guest can handle events. For example, a guest may add a task when it learns that
/// the client has left. If the added task is a closure, the closure must be in the queue before the teardown begins,
/// because the teardown drops all closures that have not run.
async fn next() -> Option<QueuedTask> {
    if let Some(task) = drain::next() {
        return Some(task);
    }
    wit_bindgen::yield_async().await;
    drain::next()
}

fn backoff(task: &QueuedTask) -> Backoff {
    task.backoff.map_or(Backoff::IN_PROCESS, |own| Backoff {
        first: Duration::from_nanos(own.first),
        max: Duration::from_nanos(own.max),
    })
}

fn describe(error: TaskError, name: &str) -> String {
    match error {
        TaskError::Failed(error) => error,
        TaskError::UnknownTask => words::unknown_task(name),
        TaskError::BadArgs(error) => words::bad_arguments(&error),
    }
}
