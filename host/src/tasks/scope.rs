//! A request's identity and queue, which its tasks can use.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use epilogue_rules::trace;
use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::contract::bindings::{ResponseOutcome, TaskId, TraceContext};
use crate::tasks::queue::Queue;
use crate::tasks::timeline::{Shared, Timeline};
use crate::telemetry::otlp::spans::Spans;
use crate::telemetry::otlp::trace::Trace;

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
    /// The request's place in its trace. None if no traces are exported.
    pub(crate) trace: Option<Arc<Trace>>,
    /// What happened and when. None if nothing reads it.
    pub(crate) timeline: OnceLock<Arc<Shared>>,
}

impl Scope {
    /// Makes the scope of a request that arrived with `headers`. If traces are exported to `spans`, the request has a span
    /// of its own, and the guest sees this span instead of its client's.
    pub(crate) fn new(headers: &HeaderMap, queue: Queue, spans: Option<&Arc<Spans>>) -> Self {
        let id = Uuid::now_v7();
        let mut trace_context = trace_context(headers, &id);
        let trace = spans.map(|spans| {
            let TraceContext { traceparent, tracestate } = &mut trace_context;
            // A new trace has the request's id.
            let is_new = trace::id(traceparent) == id.simple().to_string();
            let client = (!is_new).then_some((&**traceparent, tracestate.as_deref()));
            let trace = Trace::of_request(spans.clone(), client, id.as_u128());
            *traceparent = trace.traceparent(trace.own.span_id());
            Arc::new(trace)
        });
        Self {
            id: id.to_string(),
            trace_context,
            trace,
            outcome: OnceLock::new(),
            key: None,
            queue: Mutex::new(queue),
            timeline: OnceLock::new(),
        }
    }

    /// Makes the scope of a request with stored tasks. Their idempotency keys begin with `key`.
    pub(crate) fn resume(
        id: String,
        key: String,
        trace_context: TraceContext,
        queue: Queue,
        trace: Option<Trace>,
    ) -> Self {
        Self {
            id,
            trace_context,
            trace: trace.map(Arc::new),
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
        timeline.trace.clone_from(&self.trace);
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

    /// Traces the guest's calls as part of `task` from now on, or of the request itself.
    pub(crate) fn calls_belong_to(&self, task: Option<TaskId>) {
        if let Some(trace) = &self.trace {
            trace.enter(task);
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
