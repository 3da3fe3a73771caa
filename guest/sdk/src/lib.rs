//! Background tasks for WASI HTTP components in Rust, like FastAPI's `BackgroundTasks`. A handler adds tasks. The host
//! runs the tasks after it has sent the response.
//!
//! This is the example of FastAPI's tutorial on background tasks, with axum and spin-sdk:
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
//! // Each instance builds the router once. All requests of the instance share it.
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
//! The extractors of axum correspond to the dependencies of FastAPI. An extractor can use [`BackgroundTasks`] to add
//! tasks to the same queue as the handler. To close a resource after the last task, an extractor calls
//! [`Scope::on_teardown`].
//!
//! Without axum, call [`BackgroundTasks::current`]:
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
//! A guest needs only this crate and an HTTP SDK, such as spin-sdk. This crate exports the functions that the host
//! calls after the response.
//!
//! A panic in a task or in other code of the guest ends the instance. The host records the panic and continues in
//! another instance. A deadlock ends the instance, as a panic does. A deadlock means that all code of the guest waits
//! for other code of the guest, for example on a channel, and no code waits for the host.
//!
//! Numbers such as S5 in this documentation name the host's rules. The host has tests for each rule.
//!
//! # Features
//!
//! - `axum` (default): [`BackgroundTasks`] and [`Scope`] are extractors of axum 0.8, [`BackgroundTask`] can be part of
//!   a response, and [`EnqueueError`] is a response.

// The code that `#[task]` generates uses this crate's public name, also in this crate's own tests.
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

/// Turns a function into a background task for [`BackgroundTasks::add_task`].
///
/// The function may be an `async fn` or a plain `fn` (S17). If a plain `fn` blocks, it blocks only its own instance.
/// The function returns `()`, or a `Result<(), E>` whose error implements `Display`. The guest can still call the
/// function directly.
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
/// The host knows a task by its name. The default name is the path of the module within the crate and the name of the
/// function, such as `mail::send`. For a task at the crate's root, the default name is only the name of the function.
///
/// The host finds the function of a stored task by the task's name. If you rename or move the function, the default
/// name changes, and the host cannot run tasks that were stored under the old name. To keep a task's name when you
/// rename or move its function, set a fixed name with the option `name`.
///
/// Two tasks of a guest cannot have the same name. If two tasks have the same name, `epilogue up` and `epilogue
/// compose` refuse the component, with a message that names both functions. Hosts other than Epilogue do not check the
/// names. On such a host, a guest that has two tasks with the same name panics when the guest first enqueues or runs a
/// `#[task]` function.
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
/// A task owns its arguments. The types of the arguments must implement [`serde`]'s `Serialize` and `Deserialize`,
/// because the host keeps the arguments as JSON until the task runs. The task gets exactly the values that were
/// enqueued, including each bit of a float. If JSON cannot keep the values exactly, `add_task` returns an error. The
/// compiler and `add_task` make these checks:
///
/// - The compiler checks the number and the types of the arguments. The compiler also checks that the types implement
///   `Serialize` and `Deserialize`.
/// - `add_task` checks the values of the arguments. `add_task` returns [`EnqueueError::BadArgs`] for values that JSON
///   cannot hold: a float that is `NaN` or infinite, lists and objects that are nested more than 127 deep, and some
///   keys of maps.
/// - `add_task` reads the arguments back from the JSON and compares them with the original. If the task would get
///   another value, or no value, `add_task` returns `BadArgs`. In a debug build, `add_task` reads back all arguments.
///   In a release build, `add_task` reads back only arguments that serde often changes: arguments with an `Option`
///   inside an `Option`, with a field that `skip_serializing_if` has left out, with a field marked `flatten`, with an
///   integer of 128 bits, or with a map whose keys are not strings.
///
/// If an argument is not in this list, a release build does not check whether the type's `Deserialize` understands what
/// the type's `Serialize` writes. If a task cannot read its arguments, the task ends as `failed` with the error `bad
/// arguments`.
///
/// serde cannot read an integer of 128 bits within `flatten`, within an `untagged` enum, or within an internally tagged
/// enum. `add_task` refuses arguments with an integer of 128 bits in one of these three places.
///
/// With `#[task(durable)]`, each call of `add_task` with this function adds a durable task. See
/// [`TaskOptions::durable`].
///
/// # Retries
///
/// With `#[task(backoff = "15s..1h")]`, the pause after the first failed attempt is 15 s. Each further pause is twice
/// as long as the pause before it, and the longest pause is one hour. The units are `ms`, `s`, `m`, `h` and `d`. The
/// host retries a task only if [`TaskOptions::max_attempts`] or the operator's setting allows more than one attempt.
/// See [`TaskOptions::backoff`].
///
/// # Limits
///
/// The attribute `task` replaces the function by a type with the function's name, so a variable in the same scope
/// cannot have the function's name. The future of an `async` task must be [`Send`], because axum requires `Send` of
/// every future that a handler awaits. For a future that is not `Send`, use [`BackgroundTasks::defer`].
pub use epilogue_macro::task;

/// Polls a future once and returns its output. If the future is not ready, panics.
#[cfg(test)]
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the future waits"),
    }
}

/// Items for the code that `#[task]` generates. The items of this module can change in any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::__note as note_task;
    pub use crate::registry::{Registration, note, note_length, without_crate};
    pub use crate::task::Called;
    pub use inventory::submit;
}
