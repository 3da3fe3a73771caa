//! Background tasks for WASI HTTP components: work that a handler asks for and that runs after its response has
//! been sent. It is to a Rust guest what `BackgroundTasks` is to FastAPI.
//!
//! FastAPI's tutorial, with axum in a component of spin-sdk's:
//!
//! ```no_run
//! use std::sync::LazyLock;
//!
//! use axum::{Router, extract::Path, routing::post};
//! use epilogue_sdk::{BackgroundTasks, EnqueueError, task};
//! use spin_sdk::http::{IntoResponse, Request};
//! use spin_sdk::http_service;
//! use tower_service::Service;
//!
//! #[task]
//! async fn write_log(message: String) -> anyhow::Result<()> {
//!     println!("{message}");
//!     Ok(())
//! }
//!
//! async fn send_notification(
//!     Path(email): Path<String>,
//!     tasks: BackgroundTasks,
//! ) -> Result<&'static str, EnqueueError> {
//!     tasks.add_task(write_log, (format!("message to {email}"),))?;
//!     Ok("Message sent")
//! }
//!
//! // Made once by each instance: the requests that it serves share what is in it.
//! static APP: LazyLock<Router> =
//!     LazyLock::new(|| Router::new().route("/send-notification/{email}", post(send_notification)));
//!
//! #[http_service]
//! async fn handle(request: Request) -> impl IntoResponse {
//!     APP.clone().call(request).await
//! }
//! # fn main() {}
//! ```
//!
//! A dependency that adds tasks is an extractor that takes [`BackgroundTasks`] too: there is one queue per request,
//! whoever adds to it. What a dependency opened, it closes after the last task with [`Scope::on_teardown`].
//!
//! Without axum, everything is there as a plain value:
//!
//! ```no_run
//! # use epilogue_sdk::{BackgroundTasks, task};
//! # use spin_sdk::http::{IntoResponse, Request};
//! # use spin_sdk::http_service;
//! # #[task] fn write_log(message: String) { println!("{message}"); }
//! #[http_service]
//! async fn handle(request: Request) -> anyhow::Result<&'static str> {
//!     BackgroundTasks::current().add_task(write_log, (request.uri().to_string(),))?;
//!     Ok("Message sent")
//! }
//! # fn main() {}
//! ```
//!
//! A guest needs no more than this crate beside its HTTP SDK: what the host calls after the response is exported from
//! here. A panic, in a task as elsewhere, ends the instance; the host records it and goes on in another. So does a wait
//! for nothing but other code of the guest, such as a channel: what is awaited has to come from the host in the end, as
//! a clock, a stream or a response does.
//!
//! Numbers such as S5 name the rules that the host keeps, each of them a test.
//!
//! # Features
//!
//! - `axum` (default): [`BackgroundTasks`] and [`Scope`] are extractors of axum 0.8, [`BackgroundTask`] is part of a
//!   response, and [`EnqueueError`] is a response.

// `#[task]` names this crate as its users do.
#[cfg(test)]
extern crate self as epilogue_sdk;

mod args;
#[cfg(feature = "axum")]
mod axum;
mod background;
mod bindings;
mod context;
mod defer;
mod error;
mod options;
mod registry;
mod runner;
mod scope;
mod task;

pub use background::{BackgroundTask, BackgroundTasks, TaskId};
pub use context::{RequestContext, ResponseOutcome, Stop, StopReason, TaskContext, TraceContext, stopping};
pub use error::EnqueueError;
pub use options::{FailurePolicy, RunWhen, TaskOptions};
pub use scope::Scope;
pub use task::{Task, TaskResult};

/// Makes a function a background task, to be given to [`BackgroundTasks::add_task`].
///
/// The function may be `async` or not (S17). If it is not, it blocks only its own instance. It returns `()` or a
/// `Result<(), E>` whose error can be displayed. It can still be called as a function.
///
/// ```no_run
/// # use epilogue_sdk::{BackgroundTasks, EnqueueError, task};
/// #[task]
/// async fn write_log(message: String) -> Result<(), std::io::Error> {
///     std::fs::write("log.txt", message)
/// }
///
/// # async fn handler(tasks: BackgroundTasks) -> Result<(), Box<dyn std::error::Error>> {
/// tasks.add_task(write_log, ("message to a@b.c".to_owned(),))?; // After the response.
/// write_log("message to a@b.c".to_owned()).await?; // Now.
/// # Ok(())
/// # }
/// ```
///
/// # Names
///
/// The host knows a task by its name: the function's, behind its module's path within the crate if that is not the
/// root, as in `mail::send`. It is what a stored task is found by after the guest was changed, and `name` sets one
/// that survives refactoring. No two tasks of a guest may share a name: `epilogue up` and `epilogue compose` refuse the
/// component, naming both functions. Under a host that does not look, the first use of any task panics.
///
/// ```
/// # use epilogue_sdk::{Task, task};
/// #[task(name = "mail.welcome")]
/// fn send_welcome(to: String, locale: Option<String>) {}
///
/// assert_eq!(send_welcome::NAME, "mail.welcome");
/// ```
///
/// # Arguments
///
/// A task owns its arguments, which [`serde`] can write and read: they are kept as JSON until the task runs. The task gets
/// the very values that were enqueued, each bit of a float, or they are refused:
///
/// - The compiler checks their number and types, and that these types implement `Serialize` and `Deserialize`.
/// - `add_task` checks the values, and returns [`EnqueueError::BadArgs`] for a float that is `NaN` or infinite, for lists and
///   objects that are nested more than 127 deep, and for a map whose keys JSON cannot have.
/// - `add_task` reads the arguments back and compares them, and returns `BadArgs` if the task would get another value or none.
///   In a debug build it does so with all arguments. In a release build it does so with arguments in which something is often
///   lost: an `Option` within an `Option`, a field that `skip_serializing_if` left out, `flatten`, an integer of 128 bits, a
///   map's key that is not a string.
///
/// What remains is a type whose `Serialize` and `Deserialize` differ, enqueued by a release build. If the task cannot read its
/// arguments then, it ends as `failed` with the error `bad arguments`.
///
/// serde's own limits stay: an integer of 128 bits cannot be within `flatten`, nor within an enum that is `untagged` or has
/// its `tag` inside. `add_task` refuses it there.
///
/// `#[task(durable)]` makes the task durable wherever it is enqueued; see [`TaskOptions::durable`].
///
/// # Retries
///
/// `#[task(backoff = "15s..1h")]` says how long a failed attempt waits for the next one: 15 s after the first failure, then
/// twice as long each time, up to one hour. The units are `ms`, `s`, `m`, `h` and `d`. A task is retried only if
/// [`TaskOptions::max_attempts`] or the operator says so; see [`TaskOptions::backoff`].
///
/// # Limits
///
/// The function's name also names a type, so nothing nearby can have that name as a variable. An `async` task's
/// future is [`Send`], as axum wants it of what a handler awaits; [`BackgroundTasks::defer`] takes those that are not.
pub use epilogue_macro::task;

/// Returns the output of a future that has nothing to wait for.
#[cfg(test)]
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the future waits"),
    }
}

/// What the code uses that `#[task]` expands to. No promise covers it.
#[doc(hidden)]
pub mod __private {
    pub use crate::__note as note_task;
    pub use crate::registry::{Registration, note, note_length, without_crate};
    pub use crate::task::Called;
    pub use inventory::submit;
}
