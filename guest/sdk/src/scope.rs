//! The cleanup of resources at the end of a request.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::bindings::epilogue::background::queue;
use crate::context::{self, ResponseOutcome, Running};
use crate::defer;
use crate::task::{TaskResult, Work, work};

/// Collects the futures that close the resources of the current request (S9). The collected futures run after the
/// request's last task, so tasks can still use resources that the handler opened. In FastAPI, the code after a
/// dependency's `yield` has the same purpose.
///
/// ```no_run
/// # use epilogue_sdk::Scope;
/// # struct Session; impl Session { async fn close(self) -> Result<(), String> { Ok(()) } }
/// # let session = Session;
/// Scope::current().on_teardown(async move { session.close().await });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Scope(());

impl Scope {
    /// Returns the scope of the current request. With axum, the handler can take `Scope` as an argument instead.
    pub fn current() -> Self {
        Self(())
    }

    /// Registers `future` to run at the end of the request. The futures run in reverse order of registration.
    ///
    /// - If the future adds tasks, the host runs the added tasks after the teardown. If the future registers another
    ///   future, the new future runs next.
    /// - If the future returns an error, the host logs the error, and the other futures still run.
    /// - If spawned work registers a future after the request's last teardown, Epilogue's host never runs the future,
    ///   and logs an error. In a composed component, such a late future runs with the teardown of a later request.
    ///
    /// # Panics
    ///
    /// Panics outside a component, for example in a native unit test, because no host can run the teardown.
    pub fn on_teardown<F>(&self, future: F)
    where
        F: Future<Output: TaskResult> + 'static,
    {
        register(future);
        // If a teardown is already running, this teardown also runs the new future, so the guest need not ask for
        // another teardown.
        if !CLOSING.get() {
            queue::needs_teardown();
        }
    }

    /// Returns how the response to the request ended. While the handler is running, returns `None`, because the
    /// response has not ended.
    pub fn outcome(&self) -> Option<ResponseOutcome> {
        context::outcome()
    }
}

fn register<F>(future: F)
where
    F: Future<Output: TaskResult> + 'static,
{
    TEARDOWNS.with_borrow_mut(|teardowns| teardowns.push(work(future)));
}

/// Closes the scope: runs the registered futures in reverse order, and joins the errors of all futures into one text.
pub(crate) async fn close(outcome: ResponseOutcome) -> Result<(), String> {
    CLOSING.set(true);
    let _clear = Clear;
    // All tasks that can run have run. If a deferred future has not run, it will never run, and may hold a resource
    // that this teardown must close.
    defer::forget();
    Running::Teardown(Arc::new(outcome)).scope(run_all()).await
}

async fn run_all() -> Result<(), String> {
    let mut errors = Vec::new();
    while let Some(teardown) = TEARDOWNS.with_borrow_mut(Vec::pop) {
        errors.extend(teardown.await.err());
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors.join("; ")),
    }
}

thread_local! {
    static TEARDOWNS: RefCell<Vec<Work>> = const { RefCell::new(Vec::new()) };
    /// True while a teardown is running.
    static CLOSING: Cell<bool> = const { Cell::new(false) };
}

/// When the SDK drops this value, the scope becomes empty. The SDK drops this value at the end of each teardown, even
/// if a composed component cancels the teardown early. So the next request starts with an empty scope.
struct Clear;

impl Drop for Clear {
    fn drop(&mut self) {
        CLOSING.set(false);
        // This line first takes the futures out of the cell. While a future drops, a value that the future captured may
        // register a new future.
        drop(TEARDOWNS.take());
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::task::{Context, Waker};

    use super::*;
    use crate::now;

    #[test]
    fn the_last_registered_runs_first_and_errors_are_joined() {
        let order = Rc::new(RefCell::new(Vec::new()));
        for number in 1..=3 {
            let order = order.clone();
            register(async move {
                order.borrow_mut().push(number);
                if number == 2 { Ok(()) } else { Err(format!("{number} failed")) }
            });
        }
        assert_eq!(now(close(ResponseOutcome::Delivered)), Err("3 failed; 1 failed".to_owned()));
        assert_eq!(*order.borrow(), [3, 2, 1]);
        assert_eq!(now(close(ResponseOutcome::Delivered)), Ok(()));
    }

    #[test]
    fn a_teardown_knows_the_outcome_and_may_register_more() {
        let outcomes = Rc::new(RefCell::new(Vec::new()));
        let inner = outcomes.clone();
        register(async move {
            inner.borrow_mut().push(Scope::current().outcome());
            Scope::current().on_teardown(async move { inner.borrow_mut().push(Scope::current().outcome()) });
        });
        assert_eq!(now(close(ResponseOutcome::ClientGone)), Ok(()));
        assert_eq!(*outcomes.borrow(), [Some(ResponseOutcome::ClientGone), Some(ResponseOutcome::ClientGone)]);
    }

    #[test]
    fn a_scope_given_up_half_way_is_not_the_next_requests() {
        let ran = Rc::new(Cell::new(false));
        let inner = ran.clone();
        register(async move { inner.set(true) });
        register(std::future::pending::<()>());
        let mut closing = Box::pin(close(ResponseOutcome::Delivered));
        assert!(closing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(closing);
        assert_eq!(now(close(ResponseOutcome::Delivered)), Ok(()));
        assert!(!ran.get());
    }
}
