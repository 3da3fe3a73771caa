//! The adapter between the queue of a composed component and one of several guests that share the queue. The adapter
//! passes the guest's tasks to the queue, and marks them as the guest's tasks.
//!
//! An adapter does not know its own layer number. The adapter of the outermost guest calls the queue, and each other
//! adapter calls the adapter around it. Each adapter adds one to the layer number of a task that comes from an inner
//! adapter.

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
        // The inner adapter asks only if the running task does not belong to this adapter's guest.
        outer::current().wrapping_sub(1)
    }
}
