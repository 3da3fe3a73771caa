use std::cell::RefCell;
use std::sync::Arc;

use crate::context::{self, ResponseOutcome, Running};
use crate::defer;
use crate::task::{TaskResult, Work, work};

/// The scope of the request that is being handled (S9): what is registered here is cleaned up after the request's
/// last task, so tasks may use what the handler opened. It is what the code behind a `yield` is in FastAPI.
#[derive(Clone, Copy, Debug)]
pub struct Scope(());

impl Scope {
    /// The scope of the request that is being handled. With axum, take it as an argument instead.
    pub fn current() -> Self {
        Self(())
    }

    /// Registers `future` to be run at the end of the request, before all those registered earlier.
    ///
    /// It may add tasks, which run after it, and register more, which run next. If it returns an error the others run
    /// all the same, and the host records the error.
    pub fn on_teardown<F>(&self, future: F)
    where
        F: Future<Output: TaskResult> + 'static,
    {
        TEARDOWNS.with_borrow_mut(|teardowns| teardowns.push(work(future)));
    }

    /// How the response ended; none while the handler is still at work. Known to tasks and teardowns.
    pub fn outcome(&self) -> Option<ResponseOutcome> {
        context::outcome()
    }
}

/// Closes the scope: last registered, first run. The errors, if any, are joined.
pub(crate) async fn close(outcome: ResponseOutcome) -> Result<(), String> {
    // All tasks that could have run have: what is still waiting never will, and may hold what is cleaned up now.
    defer::forget();
    let _clear = Clear;
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
}

/// Leaves nothing for the next request, also if the host gives up on a teardown half way.
struct Clear;

impl Drop for Clear {
    fn drop(&mut self) {
        // Out of the cell first: what a future has captured may register again while it is dropped.
        drop(TEARDOWNS.take());
    }
}
