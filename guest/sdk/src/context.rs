//! The current request, the running task, and the host's signal to stop.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::background::TaskId;
use crate::bindings::epilogue::background::{context, stop_signal, types};

pub use stop_signal::StopReason;
pub use types::{ResponseOutcome, TraceContext};

/// The identifier and the trace context of the current request (S16). Handlers, tasks and teardowns can get a
/// `RequestContext`.
#[derive(Clone, Debug)]
pub struct RequestContext(Arc<types::RequestContext>);

impl RequestContext {
    /// Asks the host for the current request. If the instance serves no request, returns `None`.
    ///
    /// If you spawn work, call this function before you spawn the work, and move the result into the work. In a
    /// composed component, spawned work may continue after the end of its request. After the end of that request, this
    /// function returns another request or `None`.
    ///
    /// # Panics
    ///
    /// Panics outside a component, for example in a native unit test.
    pub fn current() -> Option<Self> {
        context::request().map(|request| Self(Arc::new(request)))
    }

    /// Returns the request's identifier. The host writes the same identifier into each event about the request and its
    /// tasks.
    pub fn id(&self) -> &str {
        &self.0.request_id
    }

    /// Returns the request's position in a distributed trace. Send this position with requests to other services.
    pub fn trace_context(&self) -> &TraceContext {
        &self.0.trace_context
    }
}

/// The context of the running task: the task's number, name, attempt, idempotency key and request (S16).
#[derive(Clone, Debug)]
pub struct TaskContext {
    task: Arc<types::Task>,
    request: RequestContext,
    idempotency_key: Arc<str>,
}

impl TaskContext {
    /// Returns the context of the running task. In a handler or a teardown, returns `None`.
    ///
    /// If a task spawns work, this function returns `None` in the spawned work. Call this function before the task
    /// spawns the work, and move the context into the spawned work.
    pub fn current() -> Option<Self> {
        let task = running_task()?;
        let idempotency_key = context::idempotency_key(task.id)?.into();
        Some(Self { task, request: RequestContext::current()?, idempotency_key })
    }

    /// Returns the task's number within its request.
    pub fn id(&self) -> TaskId {
        TaskId(self.task.id)
    }

    /// Returns the task's name.
    pub fn name(&self) -> &str {
        &self.task.name
    }

    /// Returns the number of the running attempt. The first attempt has the number 1.
    pub fn attempt(&self) -> u32 {
        self.task.attempt
    }

    /// Returns the task's idempotency key. Every attempt of the task has the same key, and two tasks never have the
    /// same key. If the task calls another service that supports idempotency keys, send the key with each call. If the
    /// task runs again and sends the same key, the other service ignores the repeated call.
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// Returns how the response to the request ended (S2).
    pub fn outcome(&self) -> &ResponseOutcome {
        &self.task.outcome
    }

    /// Returns the request's identifier. The host writes the same identifier into each event about the request and its
    /// tasks.
    pub fn request_id(&self) -> &str {
        self.request.id()
    }

    /// Returns the request's position in a distributed trace. Send this position with requests to other services.
    pub fn trace_context(&self) -> &TraceContext {
        self.request.trace_context()
    }

    /// Waits until the running task should stop. The function [`stopping`] does the same.
    pub async fn stopping(&self) -> Stop {
        stopping().await
    }
}

/// The host's signal that the running handler, task or teardown should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The reason why the host sends the signal.
    pub reason: StopReason,
    /// The time from the signal until the host stops the instance by force.
    pub grace: Duration,
}

/// Waits until the running handler, task or teardown should stop (S10), because its deadline is near or because the
/// host is shutting down.
///
/// Wait for this future and for your work at the same time, for example with `select`. If your work ends before the
/// host sends the signal, drop this future.
///
/// ```no_run
/// # use std::pin::pin;
/// # use epilogue_sdk::{stopping, task};
/// # use futures::future::{Either, select};
/// # async fn copy_rows() {}
/// # fn remember_where_we_are() {}
/// #[task]
/// async fn copy_table() {
///     if let Either::Right((stop, _)) = select(pin!(copy_rows()), pin!(stopping())).await {
///         println!("{:?}, {:?} left", stop.reason, stop.grace);
///         remember_where_we_are();
///     }
/// }
/// ```
pub async fn stopping() -> Stop {
    let stop_signal::Stop { reason, grace } = stop_signal::wait().await;
    Stop { reason, grace: Duration::from_nanos(grace) }
}

/// The task or the teardown that this instance is running.
#[derive(Clone)]
pub(crate) enum Running {
    Task(Arc<types::Task>),
    Teardown(Arc<ResponseOutcome>),
}

impl Running {
    pub(crate) fn task(task: types::Task) -> Self {
        Self::Task(Arc::new(task))
    }

    /// Runs `future` as part of this task or teardown.
    ///
    /// Before each poll of the future, this function makes this task or teardown the current one. After the poll, this
    /// function restores the task or teardown that was the current one before the poll. So other code of the instance
    /// never sees this task or teardown as the current one, even if the caller drops the future early.
    pub(crate) async fn scope<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let _restore = Restore(RUNNING.replace(Some(self.clone())));
            future.as_mut().poll(context)
        })
        .await
    }
}

/// Returns the running task. In a handler or a teardown, returns `None`.
fn running_task() -> Option<Arc<types::Task>> {
    RUNNING.with_borrow(|running| match running {
        Some(Running::Task(task)) => Some(task.clone()),
        _ => None,
    })
}

/// Returns how the response ended. While the handler is running, returns `None`.
pub(crate) fn outcome() -> Option<ResponseOutcome> {
    RUNNING.with_borrow(|running| match running {
        Some(Running::Task(task)) => Some(task.outcome.clone()),
        Some(Running::Teardown(outcome)) => Some(ResponseOutcome::clone(outcome)),
        None => None,
    })
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

struct Restore(Option<Running>);

impl Drop for Restore {
    fn drop(&mut self) {
        RUNNING.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::task::{Context, Waker};

    use super::*;
    use crate::now;

    fn running() -> Running {
        Running::task(types::Task {
            id: 3,
            name: "write_log".to_owned(),
            args: Vec::new(),
            attempt: 2,
            outcome: ResponseOutcome::ClientGone,
        })
    }

    #[test]
    fn a_task_knows_itself() {
        now(running().scope(async {
            let task = running_task().unwrap();
            assert_eq!((task.id, task.name.as_str(), task.attempt), (3, "write_log", 2));
            assert_eq!(outcome(), Some(ResponseOutcome::ClientGone));
        }));
        assert!(running_task().is_none());
        assert!(outcome().is_none());
    }

    #[test]
    fn a_task_dropped_half_way_leaves_nothing_behind() {
        let mut task = Box::pin(running().scope(pending::<()>()));
        assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(running_task().is_none());
        drop(task);
        assert!(running_task().is_none());
    }

    #[test]
    fn an_axum_handler_may_wait_for_the_stop() {
        fn assert_send(_: impl Send) {}
        assert_send(stopping());
    }
}
