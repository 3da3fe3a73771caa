//! The adapter `layer` of a composed component with several guests, which share one queue. Each guest has its own
//! `layer` adapter. This adapter passes the guest's tasks to the queue, together with the layer: a number that says
//! which guest added the task.
//!
//! An adapter does not know its guest's layer. If the adapter's own guest adds a task, the adapter passes the task on
//! with layer 0. If the task comes from an inner adapter, this adapter adds one to the task's layer. Each adapter
//! passes its tasks on to the adapter of the next outer guest. The adapter of the outermost guest passes the task to
//! the queue.

#![no_std]

extern crate alloc;

mod bindings;

use alloc::string::String;
use alloc::vec::Vec;

use bindings::epilogue::adapter::layers as outer;
use bindings::epilogue::background::queue::{self, EnqueueError, FailurePolicy, TaskId, TaskOptions};
use bindings::exports::epilogue::{adapter, background};

// This crate contains the adapter's allocator and panic handler.
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
        // The inner adapter calls this function only if this adapter's own guest did not add the running task.
        outer::current().wrapping_sub(1)
    }
}
