//! What is kept of each task and request: exactly one final state per accepted task (S3).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::{self as engines, Batch};
use http::StatusCode;

use crate::contract::bindings::{ResponseOutcome, TaskId};

/// How a task ended. Every accepted task ends in exactly one of these (S3), be it after an operator has retried it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// The task returned without an error.
    Succeeded,
    /// The task returned an error, or the guest had no such task, or the arguments did not fit it.
    Failed,
    /// The task trapped, as a panic does, and its instance ended.
    Trapped,
    /// The task was stopped at its deadline, and its instance ended (S10).
    TimedOut,
    /// The task did not run, because one before it did not succeed and the policy is `stop` (S4).
    Skipped,
    /// The task did not run, because the handler ended in a way that it does not run after (S6), or because it is
    /// durable and could not be stored.
    Discarded,
    /// The task was cancelled before it started: by the guest, or because the client had left (S7).
    Cancelled,
    /// The task did not run to its end, because the host stopped, the drain's budget was used up, or the instance that
    /// its closure lived in had died (S13, S10, S15).
    Abandoned,
    /// The task was durable, and an operator removed it before it ended.
    Dropped,
}

impl TaskState {
    /// The state's name in events, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Trapped => "trapped",
            Self::TimedOut => "timed-out",
            Self::Skipped => "skipped",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
            Self::Dropped => "dropped",
        }
    }

    /// Whether the failure policy applies (S4): the task was tried, and did not succeed.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Trapped | Self::TimedOut)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
        tracing::info!(
            target: "epilogue::task",
            request = self.request,
            component = self.component,
            task = self.task,
            name = self.name,
            attempt = self.attempt,
            retry_in = humantime::format_duration(pause).to_string(),
            error = self.error,
            "will be retried"
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

/// How many bytes of an error's text are kept. A guest may write a text of any length.
const MAX_ERROR: usize = 4096;

/// Cuts a text to [`MAX_ERROR`] bytes, and appends how many are missing.
pub(crate) fn cut(mut text: String) -> String {
    let end = text.floor_char_boundary(MAX_ERROR);
    let missing = text.len() - end;
    if missing > 0 {
        text.truncate(end);
        text.push_str(&format!(" … ({missing} more bytes)"));
        text.shrink_to_fit();
    }
    text
}

impl RequestRecord {
    /// Announces why the handler's response is not sent. A mistake of the client is no error of the host's.
    pub(crate) fn announce_failure(&self, reason: &str, client_mistake: bool) {
        let (request, component) = (&self.id, &self.component);
        if client_mistake {
            tracing::debug!(target: "epilogue::connection", request, error = reason, "the request failed");
        } else {
            tracing::error!(target: "epilogue::request", request, component, error = reason, "the request failed");
        }
    }

    /// Announces why a response did not end whole. A client that leaves is no error.
    pub(crate) fn announce_outcome(&self, outcome: &ResponseOutcome) {
        let (request, component) = (&self.id, &self.component);
        match outcome {
            ResponseOutcome::ResponseFailed(reason) => {
                tracing::error!(target: "epilogue::request", request, component, error = reason, "the response failed");
            }
            ResponseOutcome::ClientGone => {
                tracing::debug!(target: "epilogue::request", request, component, "the client left before the response's end");
            }
            _ => {}
        }
    }

    /// The record of a request that has only begun.
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
