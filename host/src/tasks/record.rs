//! The records of tasks and requests. Each accepted task has exactly one final state (promise S3).

use std::sync::Arc;
use std::time::Duration;

use epilogue_engines::{self as engines, Batch};
use epilogue_rules::duration::Shown;
use epilogue_rules::words;
use http::StatusCode;
use tokio::time::Instant;

pub use epilogue_rules::state::TaskState;

use crate::contract::bindings::{ResponseOutcome, TaskId};
use crate::tasks::ids::RequestIds;

/// The record of a task that has ended, or that is dead because all attempts have failed.
#[derive(Debug, Clone)]
pub struct TaskRecord {
    /// The task's number within the request. The first task has number 1.
    pub id: TaskId,
    /// The name under which the guest has registered the task.
    pub name: String,
    /// The id of the component that has added the task and has run the task. This component is the component that has
    /// handled the request, or a middleware.
    pub component: Arc<str>,
    /// The final state of the task. If the task is dead, this is the state of the task's last attempt.
    pub state: TaskState,
    /// True if the task is dead, which means that a durable task has failed for good. A dead task has not ended: the
    /// task waits in the dead letter until an operator retries or drops the task. With the failure policy `stop`, the
    /// tasks behind a dead task wait in the dead letter too.
    pub dead: bool,
    /// The number of the last attempt, or 0 if the task never started.
    pub attempt: u32,
    /// The time from the start of the first attempt to the task's end, or zero if the task never started.
    pub elapsed: Duration,
    /// The time at which the task ended. The value is `None` if the task ended when the host made this record.
    pub ended: Option<Instant>,
    /// The reason why the task did not succeed. If Rust code has panicked, the reason looks like `panicked at
    /// src/lib.rs:1:2: message`. After any other trap, the text contains the trap's reason and the last text that the
    /// task wrote to stderr.
    pub error: Option<String>,
}

impl TaskRecord {
    /// Makes the record of a stored task from the task's data in the batch. The attempt's number and the elapsed time
    /// are 0, because this process has not run the task.
    pub(crate) fn of_stored(batch: &Batch, task: &engines::Task, state: TaskState) -> Self {
        Self {
            id: task.id,
            name: task.name.clone(),
            component: task.layer.as_ref().unwrap_or(&batch.component).as_str().into(),
            state,
            dead: false,
            attempt: 0,
            elapsed: Duration::ZERO,
            ended: None,
            error: None,
        }
    }

    /// Logs the task's end as one event, and counts the end once (promise S3). For a dead task, logs a different event
    /// and uses a separate counter.
    pub(crate) fn announce(&self, RequestIds { request, trace_id }: RequestIds<'_>) {
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
                    trace_id,
                )
            };
        }
        // With these levels, a log that contains only warnings has each task that did not succeed, and no other task.
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

/// Logs that an operator retries a dead task.
pub(crate) fn announce_retried(batch: &Batch, task: &engines::Task) {
    let RequestIds { request, trace_id } = RequestIds::of_batch(batch);
    tracing::info!(
        target: "epilogue::task",
        request,
        component = task.layer.as_ref().unwrap_or(&batch.component),
        task = task.id,
        name = task.name,
        state = "retried",
        trace_id,
    );
}

/// The data of a failed attempt, if the host will try the task again.
pub(crate) struct Retry<'a> {
    pub(crate) ids: RequestIds<'a>,
    pub(crate) component: &'a str,
    pub(crate) task: TaskId,
    pub(crate) name: &'a str,
    pub(crate) attempt: u32,
    pub(crate) error: Option<&'a str>,
    /// The time until the next attempt.
    pub(crate) pause: Duration,
}

impl Retry<'_> {
    /// Logs the retry as one event.
    pub(crate) fn announce(&self) {
        // Round to milliseconds, which are exact enough for a person who reads the log.
        let pause = Duration::from_millis(u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX));
        let (RequestIds { request, trace_id }, what) = (self.ids, words::WILL_BE_RETRIED);
        tracing::info!(
            target: "epilogue::task",
            request,
            component = self.component,
            task = self.task,
            name = self.name,
            attempt = self.attempt,
            retry_in = Shown(pause).to_string(),
            error = self.error,
            trace_id,
            "{what}"
        );
    }
}

/// A task that the host has stored in the task engine. The worker that runs the task records the task's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTask {
    /// The task's number within the request. The first task has number 1.
    pub id: TaskId,
    /// The name under which the guest has registered the task.
    pub name: String,
    /// The id of the component that has added the task and will run the task.
    pub component: Arc<str>,
}

impl StoredTask {
    /// Logs that the host has stored the task, as one event, and counts the stored task once.
    pub(crate) fn announce(&self, RequestIds { request, trace_id }: RequestIds<'_>) {
        tracing::info!(
            target: "epilogue::task",
            request,
            component = &*self.component,
            task = self.id,
            name = self.name,
            trace_id,
            "stored"
        );
        metrics::counter!("epilogue_tasks_stored_total", "component" => self.component.clone()).increment(1);
    }
}

/// The record of a request. The record is complete when the request's teardown has ended.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// The request's id. The events of the request and of its tasks contain this id.
    pub id: String,
    /// The id of the request's trace: the client's trace id, or a new id.
    pub trace_id: String,
    /// The id of the component that handled the request, as in the manifest.
    pub component: String,
    /// The status of the response that the host sent.
    pub status: StatusCode,
    /// How the response ended.
    pub outcome: ResponseOutcome,
    /// The tasks that ended or became dead in this process, in the order in which the tasks ended.
    pub tasks: Vec<TaskRecord>,
    /// The tasks that the host has stored in a task engine, in the order in which the host stored the tasks. Stored
    /// tasks end later, on a worker.
    pub stored: Vec<StoredTask>,
    /// The number of teardowns that ran (promise S9). The number is zero if the guest registered no teardown, or if the
    /// instance had died. The number is more than one if a teardown added a task and the task registered another
    /// teardown.
    pub teardowns: u32,
    /// The errors that did not occur in a task. These errors come from the teardown, or from work that the guest has
    /// spawned.
    pub errors: Vec<String>,
    /// The number of the guest's handles after the request, minus the number of the guest's handles before the request
    /// (promise S9). If the number is positive, the guest has left handles open. Only the first request of an instance
    /// may leave handles open, because a guest opens some handles only once, such as stdout.
    pub leaked: isize,
}

impl RequestRecord {
    /// Logs why the host does not send the handler's response. The event has the level `error`, or `debug` if the
    /// client has made a mistake.
    pub(crate) fn announce_failure(&self, reason: &str, client_mistake: bool) {
        let (RequestIds { request, trace_id }, component) = (self.ids(), &self.component);
        let what = words::REQUEST_FAILED;
        if client_mistake {
            tracing::debug!(target: "epilogue::connection", request, error = reason, trace_id, "{what}");
        } else {
            tracing::error!(target: "epilogue::request", request, component, error = reason, trace_id, "{what}");
        }
    }

    /// Logs why a response is not complete. The event has the level `error`, or `debug` if the client has left.
    pub(crate) fn announce_outcome(&self, outcome: &ResponseOutcome) {
        let (RequestIds { request, trace_id }, component) = (self.ids(), &self.component);
        match outcome {
            ResponseOutcome::ResponseFailed(reason) => {
                let what = words::RESPONSE_FAILED;
                tracing::error!(target: "epilogue::request", request, component, error = reason, trace_id, "{what}");
            }
            ResponseOutcome::ClientGone => {
                tracing::debug!(target: "epilogue::request", request, component, trace_id, "the client left before the response's end");
            }
            _ => {}
        }
    }

    /// Returns the ids that each event about the request contains.
    pub(crate) fn ids(&self) -> RequestIds<'_> {
        RequestIds { request: &self.id, trace_id: Some(&*self.trace_id).filter(|id| !id.is_empty()) }
    }

    /// Makes the record of a request that has just begun.
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
