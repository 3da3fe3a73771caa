//! What a task is to the compiler.

use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A function that can run after the response: what [`#[task]`](macro@crate::task) makes of it.
///
/// It is not implemented by hand: a task is also registered under its name, which is how the host's call finds it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a background task",
    label = "not a background task",
    note = "put `#[epilogue_sdk::task]` on the function, or use `defer` for a closure"
)]
pub trait Task: Copy + 'static {
    /// The function's arguments as a tuple: `(String, u32)`, or `()` if it takes none.
    ///
    /// They cross to the host and back as JSON, which is what lets a task be tried again in another instance.
    type Args: Serialize + DeserializeOwned + 'static;

    /// The name under which the host knows the task, and reports it.
    const NAME: &'static str;

    /// Whether it is durable wherever it is enqueued: `#[task(durable)]`.
    const DURABLE: bool = false;

    /// How long it waits after a failed attempt, unless its options say otherwise: `#[task(backoff = "1s..5m")]`. See
    /// [`TaskOptions::backoff`](crate::TaskOptions::backoff).
    const BACKOFF: Option<(Duration, Duration)> = None;

    #[doc(hidden)]
    #[allow(async_fn_in_trait, reason = "nobody but the runner calls it, and on one thread")]
    async fn run(args: Self::Args) -> Result<(), String>;
}

/// What a task, a deferred closure or a teardown may return: `()`, or a `Result<(), E>` whose error can be displayed.
#[diagnostic::on_unimplemented(
    message = "a background task cannot return `{Self}`",
    label = "returns neither `()` nor `Result<(), E>` with an `E: Display`"
)]
pub trait TaskResult {
    /// The error as the host records it: with its causes, if it knows how to show them for `{:#}` as `anyhow`'s does.
    #[doc(hidden)]
    fn into_result(self) -> Result<(), String>;
}

impl TaskResult for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: std::fmt::Display> TaskResult for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| format!("{error:#}"))
    }
}

/// What calling a task's function directly returns if it is `async`. `Send`, so that an axum handler may await it.
pub type Called<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Work that this instance has promised to run.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// `future` as work.
pub(crate) fn work<F>(future: F) -> Work
where
    F: Future<Output: TaskResult> + 'static,
{
    Box::pin(async { future.await.into_result() })
}
