//! The adapter between the queue of a composed component and one of several guests that share the queue. It passes the
//! guest's tasks on, and marks them as this guest's tasks.
//!
//! An adapter does not know its own place. The adapter of the outermost guest calls the queue. Each other adapter calls
//! the adapter around it. Each adapter adds one to the place of a task that comes from further in.

#![no_std]

extern crate alloc;

mod bindings;

use alloc::string::String;
use alloc::vec::Vec;

use bindings::epilogue::adapter::layers as outer;
use bindings::epilogue::background::queue::{self, EnqueueError, FailurePolicy, TaskId, TaskOptions};
use bindings::exports::epilogue::{adapter, background};

// For its allocator and its panic handler.
use epilogue_adapter_runtime as _;

struct Adapter;

impl background::queue::Guest for Adapter {
    fn add_task(name: String, args: Vec<u8>, options: TaskOptions) -> Result<TaskId, EnqueueError> {
        outer::adding(0);
        queue::add_task(&name, &args, options)
    }

    fn cancel(id: TaskId) -> bool {
        queue::cancel(id)
    }

    fn on_failure(policy: FailurePolicy) {
        queue::on_failure(policy);
    }

    fn needs_teardown() {
        queue::needs_teardown();
    }
}

impl adapter::layers::Guest for Adapter {
    fn adding(layer: u32) {
        outer::adding(layer + 1);
    }

    fn current() -> u32 {
        // Only called if the task is not of this layer.
        outer::current().wrapping_sub(1)
    }
}
