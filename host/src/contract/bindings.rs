//! Rust bindings to the package `epilogue:background` in `wit/`.

#[allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub, reason = "generated code")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "epilogue:background/guest",
        imports: { default: trappable },
        exports: { default: async | store },
        additional_derives: [PartialEq],
    });
}

/// The outcome of a request's response, as the request's tasks see it.
pub use generated::epilogue::background::types::ResponseOutcome;
pub(crate) use generated::epilogue::background::types::{
    self, EnqueueError, FailurePolicy, RequestContext, RunWhen, TaskError, TaskId, TaskOptions, TraceContext,
};
pub(crate) use generated::epilogue::background::{context, stop_signal};
