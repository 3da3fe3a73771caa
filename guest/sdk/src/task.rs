//! What a task is to the compiler.

use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A function that can run after the response. The attribute [`#[task]`](macro@crate::task) implements it.
///
/// Do not implement it by hand: the attribute also registers the task under its name, by which the host calls it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a background task",
    label = "not a background task",
    note = "put `#[epilogue_sdk::task]` on the function, or use `defer` for a closure"
)]
pub trait Task: Copy + 'static {
    /// The function's arguments as a tuple: `(String, u32)`, or `()` if it takes none.
    ///
    /// They cross to the host and back as JSON, so that the host can try a task again in another instance.
    type Args: Serialize + DeserializeOwned + 'static;

    /// The name under which the host knows and logs the task.
    const NAME: &'static str;

    /// Whether the task is durable wherever it is enqueued: `#[task(durable)]`.
    const DURABLE: bool = false;

    /// The first and the longest wait after a failed attempt, unless the task's options have a backoff:
    /// `#[task(backoff = "1s..5m")]`. See [`TaskOptions::backoff`](crate::TaskOptions::backoff).
    const BACKOFF: Option<(Duration, Duration)> = None;

    /// Runs the task, and returns its error as the host records it.
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
    /// Converts the error to the text that the host records, in the format `{:#}`: an error of `anyhow` then shows its causes.
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

/// The future that a direct call of an `async` task's function returns. It is `Send`, so that an axum handler may await it.
pub type Called<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The future of a deferred task or a teardown, which this instance runs later.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// Boxes a future whose output may be any [`TaskResult`].
pub(crate) fn work<F>(future: F) -> Work
where
    F: Future<Output: TaskResult> + 'static,
{
    Box::pin(async { future.await.into_result() })
}
