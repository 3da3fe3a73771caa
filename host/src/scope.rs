//! One request as its tasks know it: its identity and its queue.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use uuid::Uuid;

use crate::bindings::TraceContext;
use crate::queue::Queue;
use crate::trace;

/// A request, from its arrival to the end of its teardown.
pub(crate) struct Scope {
    /// Unique everywhere, and ordered by time.
    pub(crate) id: String,
    pub(crate) trace_context: TraceContext,
    queue: Mutex<Queue>,
}

impl Scope {
    /// A request that arrived with `headers`.
    pub(crate) fn new(headers: &HeaderMap, queue: Queue) -> Self {
        let id = Uuid::now_v7();
        Self { id: id.to_string(), trace_context: trace::context(headers, &id), queue: Mutex::new(queue) }
    }

    /// The request's queue, to which the guest adds while the host takes from it.
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
