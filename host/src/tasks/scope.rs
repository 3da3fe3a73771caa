//! A request's identity and queue, which its tasks can use.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use epilogue_rules::trace;
use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::contract::bindings::{ResponseOutcome, TaskId, TraceContext};
use crate::tasks::queue::Queue;
use crate::tasks::timeline::{Shared, Timeline};

/// A request, from its arrival to the end of its teardown.
pub(crate) struct Scope {
    /// The request's id: unique everywhere, and ordered by time.
    pub(crate) id: String,
    pub(crate) trace_context: TraceContext,
    /// The outcome of the response. Tasks that are stored later contain it.
    pub(crate) outcome: OnceLock<ResponseOutcome>,
    /// The prefix of the idempotency keys of the request's tasks. None means the request's id.
    key: Option<String>,
    queue: Mutex<Queue>,
    /// What happened and when. None if nothing reads it.
    pub(crate) timeline: OnceLock<Arc<Shared>>,
}

impl Scope {
    /// Makes the scope of a request that arrived with `headers`.
    pub(crate) fn new(headers: &HeaderMap, queue: Queue) -> Self {
        let id = Uuid::now_v7();
        let trace_context = trace_context(headers, &id);
        Self {
            id: id.to_string(),
            trace_context,
            outcome: OnceLock::new(),
            key: None,
            queue: Mutex::new(queue),
            timeline: OnceLock::new(),
        }
    }

    /// Makes the scope of a request with stored tasks. Their idempotency keys begin with `key`.
    pub(crate) fn resume(id: String, key: String, trace_context: TraceContext, queue: Queue) -> Self {
        Self {
            id,
            trace_context,
            outcome: OnceLock::new(),
            key: Some(key),
            queue: Mutex::new(queue),
            timeline: OnceLock::new(),
        }
    }

    /// The idempotency key of a task. It is the same for every attempt, and no other task anywhere has it.
    pub(crate) fn idempotency_key(&self, task: TaskId) -> String {
        format!("{}:{task}", self.key.as_ref().unwrap_or(&self.id))
    }

    /// Records this request's timeline from now on. `has_output` says whether it also has what the guest prints.
    pub(crate) fn follow(&self, mut timeline: Timeline, component: &str, has_output: bool) -> &Arc<Shared> {
        timeline.id.clone_from(&self.id);
        timeline.trace_context = self.trace_context.clone();
        component.clone_into(&mut timeline.component);
        self.timeline.get_or_init(|| Shared::new(timeline, has_output))
    }

    /// The timeline, if it also has what the guest prints.
    pub(crate) fn output(&self) -> Option<&Arc<Shared>> {
        self.timeline.get().filter(|shared| shared.has_output)
    }

    /// Writes something into the timeline, if it is recorded.
    pub(crate) fn note(&self, write: impl FnOnce(&mut Timeline)) {
        if let Some(timeline) = self.timeline.get() {
            write(&mut timeline.lock());
        }
    }

    /// The request's queue. The guest adds tasks while the host takes tasks out.
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request's position in a distributed trace (S16).
fn trace_context(headers: &HeaderMap, id: &Uuid) -> TraceContext {
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let trace::TraceContext { traceparent, tracestate } =
        trace::context(values("traceparent"), values("tracestate"), id.as_u64_pair());
    TraceContext { traceparent, tracestate }
}
