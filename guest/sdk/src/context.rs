//! What running code can learn from the host about itself.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::background::TaskId;
use crate::bindings::epilogue::background::{context, types};

pub use context::StopReason;
pub use types::{ResponseOutcome, TraceContext};

/// What a running task can learn about itself and its request (S16).
#[derive(Clone, Debug)]
pub struct TaskContext(Arc<types::Task>);

impl TaskContext {
    /// The task that is running, or none in a handler or a teardown. Work that a task spawns is not part of it: take
    /// the context before, and move it there.
    pub fn current() -> Option<Self> {
        match RUNNING.with_borrow(Clone::clone) {
            Some(Running::Task(task)) => Some(task),
            _ => None,
        }
    }

    /// The task's number within its request.
    pub fn id(&self) -> TaskId {
        TaskId(self.0.id)
    }

    /// The task's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// 1 for the first attempt, 2 for the second …
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The same for every attempt of this task, and different for every other task anywhere: pass it on to systems
    /// that deduplicate.
    pub fn idempotency_key(&self) -> &str {
        &self.0.idempotency_key
    }

    /// How the response ended (S2).
    pub fn outcome(&self) -> &ResponseOutcome {
        &self.0.outcome
    }

    /// The request's identifier, the same in all of its tasks and in the host's events.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// Where the request stands in a distributed trace: send it along with what the task sends.
    pub fn trace_context(&self) -> &TraceContext {
        &self.0.trace_context
    }

    /// The same as [`stopping`].
    pub async fn stopping(&self) -> Stop {
        stopping().await
    }
}

/// A request to come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub reason: StopReason,
    /// How long from now until the instance is stopped by force.
    pub grace: Duration,
}

/// Returns when the running handler, task or teardown should come to an end, and not before (S10): when its deadline
/// is near, or the host is shutting down. Meant to be raced against the work; to stop listening, drop it.
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
    let context::Stop { reason, grace } = context::stopping().await;
    Stop { reason, grace: Duration::from_nanos(grace) }
}

/// What the host has called this instance for, apart from requests.
#[derive(Clone)]
pub(crate) enum Running {
    Task(TaskContext),
    Teardown(Arc<ResponseOutcome>),
}

impl Running {
    pub(crate) fn task(task: types::Task) -> Self {
        Self::Task(TaskContext(Arc::new(task)))
    }

    /// Runs `future` as a part of this.
    ///
    /// It is set around each poll and not around the whole, so that it cannot outlive a future that is dropped half
    /// way, and cannot be seen by anything else that the instance does meanwhile.
    pub(crate) async fn scope<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let _restore = Restore(RUNNING.replace(Some(self.clone())));
            future.as_mut().poll(context)
        })
        .await
    }
}

/// How the response ended, once it has.
pub(crate) fn outcome() -> Option<ResponseOutcome> {
    RUNNING.with_borrow(|running| match running {
        Some(Running::Task(task)) => Some(task.outcome().clone()),
        Some(Running::Teardown(outcome)) => Some(ResponseOutcome::clone(outcome)),
        None => None,
    })
}

/// Whether it is a teardown that is running.
pub(crate) fn is_teardown() -> bool {
    RUNNING.with_borrow(|running| matches!(running, Some(Running::Teardown(_))))
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
        let trace_context = TraceContext { traceparent: "00-1-2-01".to_owned(), tracestate: None };
        Running::task(types::Task {
            id: 3,
            name: "write_log".to_owned(),
            args: Vec::new(),
            attempt: 2,
            idempotency_key: "key".to_owned(),
            outcome: ResponseOutcome::ClientGone,
            request_id: "request".to_owned(),
            trace_context,
        })
    }

    #[test]
    fn a_task_knows_itself() {
        now(running().scope(async {
            let task = TaskContext::current().unwrap();
            assert_eq!((task.id(), task.name(), task.attempt()), (TaskId(3), "write_log", 2));
            assert_eq!(outcome(), Some(ResponseOutcome::ClientGone));
        }));
        assert!(TaskContext::current().is_none());
        assert!(outcome().is_none());
    }

    #[test]
    fn a_task_dropped_half_way_leaves_nothing_behind() {
        let mut task = Box::pin(running().scope(pending::<()>()));
        assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(TaskContext::current().is_none());
        drop(task);
        assert!(TaskContext::current().is_none());
    }

    #[test]
    fn an_axum_handler_may_wait_for_the_stop() {
        fn assert_send(_: impl Send) {}
        assert_send(stopping());
    }
}
