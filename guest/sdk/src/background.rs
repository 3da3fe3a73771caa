//! Types to add tasks to the queue of the current request.

use std::fmt;
use std::time::Duration;

use crate::args;
use crate::bindings::epilogue::background::{queue, types};
use crate::defer;
use crate::error::EnqueueError;
use crate::options::{FailurePolicy, TaskOptions};
use crate::registry;
use crate::task::{Task, TaskResult};

/// The queue of the current request's tasks (S5). A request has one queue. Every `BackgroundTasks` value refers to the
/// queue of the current request.
///
/// The host runs the tasks after it has sent the response, one at a time, in the order in which they were added. The
/// handler, its dependencies, libraries, running tasks and the teardown all add tasks to the same queue.
///
/// ```no_run
/// # use std::time::Duration;
/// # use epilogue_sdk::{BackgroundTasks, EnqueueError, TaskOptions, task};
/// # #[task] async fn write_log(message: String) {}
/// # async fn warm_cache() {}
/// # fn handler() -> Result<(), EnqueueError> {
/// let tasks = BackgroundTasks::current();
/// tasks.add_task(write_log, ("received".into(),))?;
/// tasks.add_task_with(write_log, ("stored".into(),), TaskOptions::new().timeout(Duration::from_secs(1)))?;
/// tasks.defer(async { warm_cache().await })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BackgroundTasks(());

impl BackgroundTasks {
    /// Returns the queue of the current request. With axum, the handler can take `BackgroundTasks` as an argument
    /// instead.
    pub fn current() -> Self {
        Self(())
    }

    /// Adds a task with the default options. `args` is a tuple of the function's arguments, or `()` for a function
    /// without arguments.
    ///
    /// # Errors
    ///
    /// Returns an error if the SDK or the host refuses the task. A refused task never runs.
    ///
    /// # Panics
    ///
    /// Panics if two tasks of this guest share a name.
    pub fn add_task<T: Task>(&self, task: T, args: T::Args) -> Result<TaskId, EnqueueError> {
        BackgroundTask::new(task, args).enqueue()
    }

    /// Adds a task with options. `args` is a tuple of the function's arguments, or `()` for a function without
    /// arguments.
    ///
    /// # Errors
    ///
    /// Returns an error if the SDK or the host refuses the task. A refused task never runs.
    ///
    /// # Panics
    ///
    /// Panics if two tasks of this guest share a name.
    pub fn add_task_with<T: Task>(&self, task: T, args: T::Args, options: TaskOptions) -> Result<TaskId, EnqueueError> {
        BackgroundTask::new(task, args).options(options).enqueue()
    }

    /// Adds a future as a task with the name `defer` (S15). The future may capture any value, because the future stays
    /// in this instance's memory. If the instance dies before the future has run, the future never runs, and the host
    /// records the task as `abandoned`.
    ///
    /// # Errors
    ///
    /// Returns an error if the host refuses the task. A refused future is dropped and never runs.
    pub fn defer<F>(&self, future: F) -> Result<TaskId, EnqueueError>
    where
        F: Future<Output: TaskResult> + 'static,
    {
        self.defer_with("defer", TaskOptions::new(), future)
    }

    /// Adds a future as a task, with the given name and options.
    ///
    /// # Errors
    ///
    /// Returns an error if the host refuses the task, or if `options` allows more than one attempt. The first attempt
    /// consumes the future, so a second attempt is impossible. In case of an error, the future is dropped and never
    /// runs.
    pub fn defer_with<F>(&self, name: &str, options: TaskOptions, future: F) -> Result<TaskId, EnqueueError>
    where
        F: Future<Output: TaskResult> + 'static,
    {
        defer::enqueue(name, options, future)
    }

    /// Cancels a task that has not started. The host records the task as `cancelled`.
    ///
    /// Returns false if the task has already started, ended or been cancelled, or if the request has no task with this
    /// number. Also returns false if the task is durable and the host has already stored the task. If the task is a
    /// deferred future, the teardown drops the future and the values that it captured.
    pub fn cancel(&self, id: TaskId) -> bool {
        queue::cancel(id.0)
    }

    /// Sets whether the host runs the remaining tasks of this request after one task has failed (S4).
    ///
    /// If the guest does not call this function, the operator's setting `on-failure` decides. The default of
    /// `on-failure` is [`FailurePolicy::Stop`]: the host skips the remaining tasks.
    pub fn on_failure(&self, policy: FailurePolicy) {
        queue::on_failure(policy);
    }
}

/// A task with its arguments, which is not yet in a queue. With axum, a handler can return a `BackgroundTask` as a part
/// of its response, like Starlette's `Response(background=…)`.
///
/// With axum, put the task before the body in the tuple that the handler returns, in the same way as headers. When axum
/// builds the response, axum adds the task at the end of the request's queue. If the SDK or the host refuses the
/// task, axum answers with the status in [`EnqueueError::status`] in place of the handler's response. Without axum,
/// call [`enqueue`](Self::enqueue).
///
/// ```no_run
/// # use epilogue_sdk::{BackgroundTask, task};
/// # use axum::extract::Path;
/// # use axum::response::IntoResponse;
/// # #[task] async fn write_log(message: String) {}
/// async fn send_notification(Path(email): Path<String>) -> impl IntoResponse {
///     (BackgroundTask::new(write_log, (format!("message to {email}"),)), "Message sent")
/// }
/// # let _: axum::Router = axum::Router::new().route("/{email}", axum::routing::get(send_notification));
/// ```
#[derive(Clone, Debug)]
#[must_use = "it runs only if it is part of a response, or if it is enqueued"]
pub struct BackgroundTask {
    name: &'static str,
    args: Result<Vec<u8>, EnqueueError>,
    options: TaskOptions,
    /// True if the function is a `#[task(durable)]`. If true, the task is durable even if the options are not
    /// `durable`.
    durable: bool,
    /// The backoff in the function's attribute `#[task(backoff = "…")]`. This backoff applies if the options have no
    /// backoff.
    backoff: Option<(Duration, Duration)>,
}

impl BackgroundTask {
    /// Creates a task with the default options. The first argument is the task's function. `args` is a tuple of the
    /// function's arguments, or `()` for a function without arguments.
    pub fn new<T: Task>(_task: T, args: T::Args) -> Self {
        let args = args::write(&args).map_err(|reason| EnqueueError::BadArgs { task: T::NAME, reason });
        Self { name: T::NAME, args, options: TaskOptions::new(), durable: T::DURABLE, backoff: T::BACKOFF }
    }

    /// Replaces the task's options.
    pub fn options(mut self, options: TaskOptions) -> Self {
        self.options = options;
        self
    }

    /// Adds the task to the queue of the current request.
    ///
    /// # Errors
    ///
    /// Returns an error if the SDK or the host refuses the task. A refused task never runs.
    ///
    /// # Panics
    ///
    /// Panics if two tasks of this guest share a name.
    pub fn enqueue(self) -> Result<TaskId, EnqueueError> {
        registry::check();
        let options = self.host_options();
        let id = queue::add_task(self.name, &self.args?, options)?;
        Ok(TaskId(id))
    }

    fn host_options(&self) -> types::TaskOptions {
        let options = self.options.or_backoff(self.backoff).into_wit(false);
        types::TaskOptions { durable: options.durable || self.durable, ..options }
    }
}

/// The number of a task within its request. The numbers are 1, 2, 3 and so on, in the order in which the guest added
/// the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::task;

    #[task]
    fn write_log(_message: String, _count: u32) {}

    #[task]
    fn write_map(_map: BTreeMap<(u8, u8), u8>) {}

    #[test]
    fn arguments_are_a_list_in_json() {
        let task = BackgroundTask::new(write_log, ("a \"b\"".into(), 3));
        assert_eq!(task.args.as_deref(), Ok(br#"["a \"b\"",3]"#.as_slice()));
    }

    // ANCHOR: durable
    #[task(durable)]
    fn charge() {}
    // ANCHOR_END: durable

    #[test]
    fn a_durable_function_is_a_durable_task_whatever_the_options() {
        let durable = |task: BackgroundTask| task.host_options().durable;
        assert!(durable(BackgroundTask::new(charge, ())));
        assert!(durable(BackgroundTask::new(charge, ()).options(TaskOptions::new().max_attempts(5))));
        let log = BackgroundTask::new(write_log, (String::new(), 0));
        assert!(!durable(log.clone()));
        assert!(durable(log.options(TaskOptions::new().durable(true))));
    }

    #[task(backoff = "1s..5m")]
    fn polls() {}

    #[test]
    fn a_function_s_backoff_holds_unless_the_options_have_one() {
        let backoff = |task: BackgroundTask| task.host_options().backoff.map(|backoff| (backoff.first, backoff.max));
        assert_eq!(backoff(BackgroundTask::new(charge, ())), None);
        assert_eq!(backoff(BackgroundTask::new(polls, ())), Some((1_000_000_000, 300_000_000_000)));
        let millisecond = Duration::from_millis(1);
        let options = TaskOptions::new().backoff(millisecond, millisecond);
        assert_eq!(backoff(BackgroundTask::new(polls, ()).options(options)), Some((1_000_000, 1_000_000)));
    }

    #[test]
    fn arguments_without_a_form_in_json_are_refused() {
        let error = BackgroundTask::new(write_map, (BTreeMap::from([((1, 2), 3)]),)).enqueue().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the arguments of `background::tests::write_map` cannot be kept as JSON: key must be a string"
        );
    }
}
