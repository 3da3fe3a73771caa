//! Background tasks for WASI HTTP components, as FastAPI has them.

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
pub use context::{ResponseOutcome, Stop, StopReason, TaskContext, TraceContext, stopping};
pub use epilogue_macro::task;
pub use error::EnqueueError;
pub use options::{FailurePolicy, RunWhen, TaskOptions};
pub use scope::Scope;
pub use task::{Task, TaskResult};

/// What `#[task]` expands to. Not covered by any promise.
#[doc(hidden)]
pub mod __private {
    pub use crate::registry::{Registration, without_crate};
    pub use crate::task::Called;
    pub use inventory::submit;
}
