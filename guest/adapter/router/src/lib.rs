//! The adapter `router` of a composed component with several guests. Each guest has its own router, which decides which
//! guest runs a task. If the router's own guest added the task, the router calls this guest. If an inner guest added
//! the task, the router passes the task on to the inner guests. The inner guests are the guests that the router's own
//! guest wraps.

#![no_std]

extern crate alloc;

mod bindings;

use alloc::format;
use alloc::string::String;

use bindings::epilogue::adapter::layers;
use bindings::epilogue::background::runner as own;
use bindings::exports::epilogue::background::runner::{Guest, ResponseOutcome, Task, TaskError};
use bindings::inner;

// This crate contains the adapter's allocator and panic handler.
use epilogue_adapter_runtime as _;

struct Adapter;

impl Guest for Adapter {
    async fn run(task: Task) -> Result<(), TaskError> {
        match layers::current() {
            0 => own::run(task).await,
            _ => inner::run(task).await,
        }
    }

    /// Runs the teardown of the inner guests first, and then the teardown of the router's own guest. If both teardowns
    /// fail, joins the two errors, as Epilogue's host does.
    async fn teardown(outcome: ResponseOutcome) -> Result<(), String> {
        let inner = inner::teardown(outcome.clone()).await;
        let own = own::teardown(outcome).await;
        match (inner, own) {
            (Err(inner), Err(own)) => Err(format!("{inner}; {own}")),
            (inner, own) => inner.and(own),
        }
    }
}
