//! The adapter between the responder of a composed component and one of its several guests. The router calls its guest
//! for the guest's own tasks, and passes other tasks on to the inner guests.

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

    /// Tears down the inner guests first, and then the router's own guest. Joins the errors, like the native host.
    async fn teardown(outcome: ResponseOutcome) -> Result<(), String> {
        let inner = inner::teardown(outcome.clone()).await;
        let own = own::teardown(outcome).await;
        match (inner, own) {
            (Err(inner), Err(own)) => Err(format!("{inner}; {own}")),
            (inner, own) => inner.and(own),
        }
    }
}
