//! The traits that a task and its result implement.

use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A function that can run after the response. The attribute [`#[task]`](macro@crate::task) implements this trait for a
/// function.
///
/// Do not implement this trait by hand. The attribute also registers the task under its name, and the host calls the
/// task by its name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a background task",
    label = "not a background task",
    note = "put `#[epilogue_sdk::task]` on the function, or use `defer` for a closure"
)]
pub trait Task: Copy + 'static {
    /// The function's arguments as a tuple, such as `(String, u32)`. For a function without arguments, the tuple is
    /// `()`.
    ///
    /// The host keeps the arguments as JSON, so that the host can run the task in another instance.
    type Args: Serialize + DeserializeOwned + 'static;

    /// The name under which the host knows and logs the task.
    const NAME: &'static str;

    /// True if the function is a `#[task(durable)]`. If true, every enqueued task of the function is durable.
    const DURABLE: bool = false;

    /// The first and the longest pause between attempts, from the attribute, such as `#[task(backoff = "1s..5m")]`. If
    /// the task's options have a backoff, the options win over this constant. See
    /// [`TaskOptions::backoff`](crate::TaskOptions::backoff).
    const BACKOFF: Option<(Duration, Duration)> = None;

    /// Runs the task. If the task fails, returns the error text that the host records.
    #[doc(hidden)]
    #[allow(async_fn_in_trait, reason = "nobody but the runner calls it, and on one thread")]
    async fn run(args: Self::Args) -> Result<(), String>;
}

/// The result of a task, a deferred future or a teardown. The result is `()`, or a `Result<(), E>` whose error
/// implements `Display`.
#[diagnostic::on_unimplemented(
    message = "a background task cannot return `{Self}`",
    label = "returns neither `()` nor `Result<(), E>` with an `E: Display`"
)]
pub trait TaskResult {
    /// Converts the error to the text that the host records. The conversion uses the format `{:#}`, which also shows
    /// the causes of an `anyhow` error.
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

/// The future that a direct call of an `async` task's function returns. The future is `Send`, so an axum handler can
/// await it.
pub type Called<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The future of a deferred task or a teardown, which this instance runs later.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// Boxes a future, and converts its output to the result that the host expects.
pub(crate) fn work<F>(future: F) -> Work
where
    F: Future<Output: TaskResult> + 'static,
{
    Box::pin(async { future.await.into_result() })
}
