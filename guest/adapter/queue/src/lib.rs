//! The queue of a composed component. The queue adapter provides the host's interfaces `queue`, `context` and
//! `stop-signal` to the guests, and the interface `drain` to the responder.
//!
//! An instance serves one request at a time, so the adapter has one queue. The queue has the same rules as the native
//! host's queue (`host/src/tasks/queue.rs`).

#![no_std]

extern crate alloc;

mod bindings;
mod queue;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use bindings::exports::epilogue::adapter::drain::{self, Limits, QueuedTask};
use bindings::exports::epilogue::adapter::layers;
use bindings::exports::epilogue::background::context::{self, RequestContext};
use bindings::exports::epilogue::background::queue::{
    self as background, EnqueueError, FailurePolicy, TaskId, TaskOptions,
};
use bindings::exports::epilogue::background::stop_signal::{self, Stop, StopReason};
use bindings::wasi::clocks::monotonic_clock;

use epilogue_adapter_runtime::Shared;
use epilogue_rules::notice::notice;

use crate::queue::Queue;

/// The request that the instance serves now.
static REQUEST: Shared<Option<RequestContext>> = Shared::new(None);
/// The queue of the current request.
static QUEUE: Shared<Queue> = Shared::new(Queue::closed());
/// Whether the guest has asked for a teardown. The value does not change at the end of the request, because the guest's
/// callbacks stay in the guest's memory.
static NEEDS_TEARDOWN: Shared<bool> = Shared::new(false);
/// The start of the running call and its time limit, in nanoseconds. None if the call has no time limit.
static PHASE: Shared<Option<(u64, u64)>> = Shared::new(None);

struct Adapter;

impl background::Guest for Adapter {
    fn add_task(name: String, args: Vec<u8>, options: TaskOptions) -> Result<TaskId, EnqueueError> {
        // The teardown drops the captured values of a closure that never ran.
        NEEDS_TEARDOWN.with(|needed| *needed |= options.instance_bound);
        QUEUE.with(|queue| queue.add(name, args, options))
    }

    fn cancel(id: TaskId) -> bool {
        QUEUE.with(|queue| queue.cancel(id))
    }

    fn on_failure(policy: FailurePolicy) {
        QUEUE.with(|queue| queue.limits.policy = policy);
    }

    fn needs_teardown() {
        NEEDS_TEARDOWN.with(|needed| *needed = true);
    }
}

impl layers::Guest for Adapter {
    fn adding(layer: u32) {
        QUEUE.with(|queue| queue.adding = layer);
    }

    fn current() -> u32 {
        QUEUE.with(|queue| queue.current)
    }
}

impl drain::Guest for Adapter {
    fn begin(request: RequestContext, limits: Limits) {
        REQUEST.with(|current| *current = Some(request));
        QUEUE.with(|queue| *queue = Queue::open(limits));
    }

    fn allow(time: Option<u64>) {
        PHASE.with(|phase| *phase = time.map(|time| (monotonic_clock::now(), time)));
    }

    fn next() -> Option<QueuedTask> {
        QUEUE.with(Queue::next)
    }

    fn policy() -> FailurePolicy {
        QUEUE.with(|queue| queue.limits.policy)
    }

    fn needs_teardown() -> bool {
        NEEDS_TEARDOWN.with(mem::take)
    }

    fn close_if_empty() -> bool {
        QUEUE.with(Queue::close_if_empty)
    }

    fn end() {
        REQUEST.with(|current| *current = None);
        QUEUE.with(|queue| *queue = Queue::closed());
        PHASE.with(|phase| *phase = None);
    }
}

impl context::Guest for Adapter {
    fn request() -> Option<RequestContext> {
        REQUEST.with(|current| current.clone())
    }

    fn idempotency_key(task: TaskId) -> Option<String> {
        REQUEST.with(|current| current.as_ref().map(|request| format!("{}:{task}", request.request_id)))
    }
}

impl stop_signal::Guest for Adapter {
    async fn wait() -> Stop {
        let Some((start, time)) = PHASE.with(|phase| *phase) else {
            loop {
                // `pending()` would not work here, because a guest that waits for nothing from the host traps
                // (wit-bindgen 0.57).
                monotonic_clock::wait_until(u64::MAX).await;
            }
        };
        let deadline = start.saturating_add(time);
        let notice = notice(Duration::from_nanos(time)).as_nanos() as u64;
        monotonic_clock::wait_until(deadline - notice).await;
        Stop { reason: StopReason::Deadline, grace: deadline.saturating_sub(monotonic_clock::now()) }
    }
}
