//! The scope of a request, which contains the request's id, trace and queue of tasks.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use epilogue_rules::trace;
use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::contract::bindings::{ResponseOutcome, TaskId, TraceContext};
use crate::tasks::ids::RequestIds;
use crate::tasks::queue::Queue;
use crate::tasks::timeline::{Shared, Timeline};
use crate::telemetry::guest_lines::Origin;
use crate::telemetry::otlp::spans::Spans;
use crate::telemetry::otlp::trace::Trace;

/// The data of a request that the host needs from the request's arrival to the end of the teardown.
pub(crate) struct Scope {
    /// The request's id. No two requests on any host have the same id, and newer requests have higher ids.
    pub(crate) id: String,
    pub(crate) trace_context: TraceContext,
    /// The outcome of the response. The value is empty until the response has ended. If the host stores a task after
    /// the end of the response, the host stores the outcome with the task.
    pub(crate) outcome: OnceLock<ResponseOutcome>,
    /// The text with which the idempotency key of each task begins. If the value is `None`, the idempotency keys begin
    /// with the request's id.
    key: Option<String>,
    queue: Mutex<Queue>,
    /// The trace that the request is part of. The value is `None` if the host exports no traces.
    pub(crate) trace: Option<Arc<Trace>>,
    /// The timeline of the request. The value is `None` if no report reads timelines.
    pub(crate) timeline: Option<Arc<Shared>>,
}

impl Scope {
    /// Makes the scope of a request that arrived with `headers`. If `spans` is set, the host exports traces, the
    /// request gets its own span, and the guest sees the request's span instead of the client's span.
    pub(crate) fn new(headers: &HeaderMap, queue: Queue, spans: Option<&Arc<Spans>>) -> Self {
        let id = Uuid::now_v7();
        let mut trace_context = trace_context(headers, &id);
        let trace = spans.map(|spans| {
            let TraceContext { traceparent, tracestate } = &mut trace_context;
            // If the trace is new, its id is the request's id.
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
            timeline: None,
        }
    }

    /// Makes the scope for a batch of stored tasks on a worker. The idempotency key of each task in the batch begins
    /// with `key`.
    pub(crate) fn resume(
        id: String,
        key: String,
        trace_context: TraceContext,
        queue: Queue,
        trace: Option<Trace>,
        timeline: Option<Arc<Shared>>,
    ) -> Self {
        Self {
            id,
            trace_context,
            trace: trace.map(Arc::new),
            outcome: OnceLock::new(),
            key: Some(key),
            queue: Mutex::new(queue),
            timeline,
        }
    }

    /// Returns the ids that each event about the request contains.
    pub(crate) fn ids(&self) -> RequestIds<'_> {
        RequestIds::new(&self.id, &self.trace_context.traceparent)
    }

    /// Returns the [`Origin`] of the lines that the guest prints while no task runs.
    pub(crate) fn origin(&self) -> Origin {
        let RequestIds { request, trace_id } = self.ids();
        Origin {
            request: request.into(),
            trace_id: trace_id.map(Into::into),
            task: None,
            component: None,
            trace: self.trace.clone(),
        }
    }

    /// Returns the idempotency key of a task. The key is the same for each attempt of the task, and different for each
    /// task.
    pub(crate) fn idempotency_key(&self, task: TaskId) -> String {
        format!("{}:{task}", self.key.as_ref().unwrap_or(&self.id))
    }

    /// Returns the request's timeline, if the host records the guest's output in this timeline.
    pub(crate) fn output(&self) -> Option<&Arc<Shared>> {
        self.timeline.as_ref().filter(|shared| shared.has_output)
    }

    /// Calls `write` with the request's timeline, if the host records the timeline.
    pub(crate) fn note(&self, write: impl FnOnce(&mut Timeline)) {
        if let Some(timeline) = &self.timeline {
            write(&mut timeline.lock());
        }
    }

    /// From now on, the requests that the guest sends count as part of `task` in the trace. If `task` is `None`, the
    /// requests that the guest sends count as part of the request or the batch of this scope.
    pub(crate) fn calls_belong_to(&self, task: Option<TaskId>) {
        if let Some(trace) = &self.trace {
            trace.enter(task);
        }
    }

    /// Locks and returns the request's queue, to which the guest adds tasks and from which the host takes tasks.
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the trace context of a request (promise S16). If the client has sent no trace context, starts a new trace,
/// whose id is the request's id.
fn trace_context(headers: &HeaderMap, id: &Uuid) -> TraceContext {
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let trace::TraceContext { traceparent, tracestate } =
        trace::context(values("traceparent"), values("tracestate"), id.as_u64_pair());
    TraceContext { traceparent, tracestate }
}
