//! What is kept of each task and request: exactly one final state per accepted task (S3).

use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::{self as engines, Batch};
use epilogue_rules::duration::Shown;
use epilogue_rules::words;
use http::StatusCode;

pub use epilogue_rules::state::TaskState;

use crate::contract::bindings::{ResponseOutcome, TaskId};

/// One task's end, or what made it dead.
#[derive(Debug, Clone)]
pub struct TaskRecord {
    /// The task's number within the request, from 1.
    pub id: TaskId,
    /// The name that the task was registered under.
    pub name: String,
    /// The manifest's id of the component that added the task and ran it: the one that handled the request, or a
    /// middleware.
    pub component: Arc<str>,
    /// How the task ended or, if it is dead, how its last attempt ended.
    pub state: TaskState,
    /// Whether the task is dead: it is durable, has failed for good, and waits in the dead letter until an operator
    /// retries or drops it. A dead task has not ended. With the failure policy `stop`, the tasks behind it wait there
    /// too.
    pub dead: bool,
    /// The number of the last attempt; 0 if the task never started.
    pub attempt: u32,
    /// The time from the start of the first attempt to the task's end; zero if the task never started.
    pub elapsed: Duration,
    /// Why the task did not succeed. A panic in Rust reads `panicked at src/lib.rs:1:2: message`. For another trap it
    /// is wasm's reason and what the task wrote to stderr last.
    pub error: Option<String>,
}

impl TaskRecord {
    /// The record of a stored task that took no time in this process.
    pub(crate) fn of_stored(batch: &Batch, task: &engines::Task, state: TaskState) -> Self {
        Self {
            id: task.id,
            name: task.name.clone(),
            component: task.layer.as_ref().unwrap_or(&batch.component).as_str().into(),
            state,
            dead: false,
            attempt: 0,
            elapsed: Duration::ZERO,
            error: None,
        }
    }

    /// Announces the task's end: one event and one count (S3). A dead task has an event and a count of their own.
    pub(crate) fn announce(&self, request: &str) {
        let (state, cause) = if self.dead { ("dead", Some(self.state.as_str())) } else { (self.state.as_str(), None) };
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(
                    target: "epilogue::task",
                    $level,
                    request,
                    component = &*self.component,
                    task = self.id,
                    name = self.name,
                    state,
                    cause,
                    attempt = self.attempt,
                    elapsed_us = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX),
                    error = self.error,
                )
            };
        }
        // Whoever logs warnings only is told of each task that did not do its work, for whatever reason.
        if self.state == TaskState::Succeeded {
            event!(tracing::Level::INFO);
        } else {
            event!(tracing::Level::WARN);
        }
        let component = self.component.clone();
        match cause {
            Some(cause) => {
                metrics::counter!("epilogue_tasks_dead_total", "component" => component, "cause" => cause).increment(1);
            }
            None => {
                metrics::counter!("epilogue_tasks_total", "component" => component, "state" => state).increment(1);
            }
        }
    }
}

/// Announces with an event that a dead task waits again.
pub(crate) fn announce_retried(batch: &Batch, task: &engines::Task) {
    tracing::info!(
        target: "epilogue::task",
        request = batch.request_id,
        component = task.layer.as_ref().unwrap_or(&batch.component),
        task = task.id,
        name = task.name,
        state = "retried",
    );
}

/// A failed attempt that another one follows.
pub(crate) struct Retry<'a> {
    pub(crate) request: &'a str,
    pub(crate) component: &'a str,
    pub(crate) task: TaskId,
    pub(crate) name: &'a str,
    pub(crate) attempt: u32,
    pub(crate) error: Option<&'a str>,
    /// The time until the next attempt.
    pub(crate) pause: Duration,
}

impl Retry<'_> {
    /// Announces the retry: one event.
    pub(crate) fn announce(&self) {
        // Whole milliseconds are as much as anybody wants to read.
        let pause = Duration::from_millis(u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX));
        let what = words::WILL_BE_RETRIED;
        tracing::info!(
            target: "epilogue::task",
            request = self.request,
            component = self.component,
            task = self.task,
            name = self.name,
            attempt = self.attempt,
            retry_in = Shown(pause).to_string(),
            error = self.error,
            "{what}"
        );
    }
}

/// A task that was handed over to the task engine. The worker that runs it records its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTask {
    /// The task's number within the request, from 1.
    pub id: TaskId,
    /// The name that the task was registered under.
    pub name: String,
    /// The manifest's id of the component that added the task and will run it.
    pub component: Arc<str>,
}

impl StoredTask {
    /// Announces that the task is stored: one event and one count.
    pub(crate) fn announce(&self, request: &str) {
        tracing::info!(
            target: "epilogue::task",
            request,
            component = &*self.component,
            task = self.id,
            name = self.name,
            "stored"
        );
        metrics::counter!("epilogue_tasks_stored_total", "component" => self.component.clone()).increment(1);
    }
}

/// One request's end, after its teardown.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// The request's id, which its tasks and events carry.
    pub id: String,
    /// The id of the trace that the request belongs to: the client's, or one made for it.
    pub trace_id: String,
    /// The manifest's id of the component that handled the request.
    pub component: String,
    /// The status that was sent.
    pub status: StatusCode,
    /// How the response ended.
    pub outcome: ResponseOutcome,
    /// The tasks that were accepted and not stored, in the order in which they ended.
    pub tasks: Vec<TaskRecord>,
    /// The tasks that were stored, in the order of their storing. They end later, on a worker.
    pub stored: Vec<StoredTask>,
    /// How often the scope was torn down (S9): 0 if there was nothing to tear down or the instance had died; more than
    /// once if tasks that a teardown added asked for another.
    pub teardowns: u32,
    /// What went wrong outside any task: in the teardown, or in work that the guest had spawned.
    pub errors: Vec<String>,
    /// How many more of the guest's handles the host holds than before the request (S9). It should be 0, except for an
    /// instance's first request, which opens what the guest then keeps, such as its stdout.
    pub leaked: isize,
}

impl RequestRecord {
    /// Announces why the handler's response is not sent. A mistake of the client is no error of the host's.
    pub(crate) fn announce_failure(&self, reason: &str, client_mistake: bool) {
        let (request, component, what) = (&self.id, &self.component, words::REQUEST_FAILED);
        if client_mistake {
            tracing::debug!(target: "epilogue::connection", request, error = reason, "{what}");
        } else {
            tracing::error!(target: "epilogue::request", request, component, error = reason, "{what}");
        }
    }

    /// Announces why a response did not end whole. A client that leaves is no error.
    pub(crate) fn announce_outcome(&self, outcome: &ResponseOutcome) {
        let (request, component) = (&self.id, &self.component);
        match outcome {
            ResponseOutcome::ResponseFailed(reason) => {
                let what = words::RESPONSE_FAILED;
                tracing::error!(target: "epilogue::request", request, component, error = reason, "{what}");
            }
            ResponseOutcome::ClientGone => {
                tracing::debug!(target: "epilogue::request", request, component, "the client left before the response's end");
            }
            _ => {}
        }
    }

    /// Makes the record of a request that has only begun.
    pub(crate) fn new(id: String, trace_id: String, component: String) -> Self {
        Self {
            id,
            trace_id,
            component,
            status: StatusCode::OK,
            outcome: ResponseOutcome::Delivered,
            tasks: Vec::new(),
            stored: Vec::new(),
            teardowns: 0,
            errors: Vec::new(),
            leaked: 0,
        }
    }
}
