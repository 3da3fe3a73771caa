//! The adapter between the responder of a composed component and one of its several guests. It has the guest run the guest's own
//! tasks, and passes on the tasks of the guests further in.

#![no_std]

extern crate alloc;

mod bindings;

use alloc::format;
use alloc::string::String;

use bindings::epilogue::adapter::layers;
use bindings::epilogue::background::runner as own;
use bindings::exports::epilogue::background::runner::{Guest, ResponseOutcome, Task, TaskError};
use bindings::inner;

// For its allocator and its panic handler.
use epilogue_adapter_runtime as _;

struct Adapter;

impl Guest for Adapter {
    async fn run(task: Task) -> Result<(), TaskError> {
        match layers::current() {
            0 => own::run(task).await,
            _ => inner::run(task).await,
        }
    }

    /// Tears down the guests further in first. It joins the errors, if there are any, as the native host does.
    async fn teardown(outcome: ResponseOutcome) -> Result<(), String> {
        let inner = inner::teardown(outcome.clone()).await;
        let own = own::teardown(outcome).await;
        match (inner, own) {
            (Err(inner), Err(own)) => Err(format!("{inner}; {own}")),
            (inner, own) => inner.and(own),
        }
    }
}
