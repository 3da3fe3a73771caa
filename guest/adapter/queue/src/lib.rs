//! The adapter `queue`, which keeps the task queue of a composed component. For the guests, this adapter implements the
//! interfaces `queue`, `context` and `stop-signal`, because stock hosts do not have these interfaces. For the adapter
//! `responder`, this adapter implements the interface `drain`.
//!
//! An instance serves one request at a time, so the adapter has one queue. The queue follows the same rules as the
//! queue of Epilogue's host (`host/src/tasks/queue.rs`).

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

/// The id and the trace context of the request that the instance serves now. Between two requests, the value is `None`.
static REQUEST: Shared<Option<RequestContext>> = Shared::new(None);
/// The queue of the current request.
static QUEUE: Shared<Queue> = Shared::new(Queue::closed());
/// True if the guest has asked for a teardown that has not run yet. The end of a request does not reset this value,
/// because a callback that has not run stays in the guest's memory, and runs at the end of the next request.
static NEEDS_TEARDOWN: Shared<bool> = Shared::new(false);
/// The start of the running call into the guest, and the call's time limit, in nanoseconds. If the call has no time
/// limit, the value is `None`.
static PHASE: Shared<Option<(u64, u64)>> = Shared::new(None);

struct Adapter;

impl background::Guest for Adapter {
    fn add_task(name: String, args: Vec<u8>, options: TaskOptions) -> Result<TaskId, EnqueueError> {
        // A closure task needs a teardown: if the closure never runs, the teardown drops the values that the closure
        // has captured.
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
                // This code cannot await `pending()`: if a guest waits but the host has nothing to wait for, the guest
                // traps (wit-bindgen 0.57).
                monotonic_clock::wait_until(u64::MAX).await;
            }
        };
        let deadline = start.saturating_add(time);
        let notice = notice(Duration::from_nanos(time)).as_nanos() as u64;
        monotonic_clock::wait_until(deadline - notice).await;
        Stop { reason: StopReason::Deadline, grace: deadline.saturating_sub(monotonic_clock::now()) }
    }
}
