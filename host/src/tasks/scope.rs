//! The scope of a request contains the request's identity and queue. The request's tasks use the same scope.

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

/// A request from its arrival to the end of its teardown.
pub(crate) struct Scope {
    /// The request's id. Ids are unique everywhere, and ordered by time.
    pub(crate) id: String,
    pub(crate) trace_context: TraceContext,
    /// The outcome of the response. Tasks that the host stores after the response contain the outcome.
    pub(crate) outcome: OnceLock<ResponseOutcome>,
    /// The prefix of the idempotency keys of the request's tasks. `None` if the prefix is the request's id.
    key: Option<String>,
    queue: Mutex<Queue>,
    /// The trace that the request is part of. `None` if the host exports no traces.
    pub(crate) trace: Option<Arc<Trace>>,
    /// The timeline of the request. Empty if no report reads timelines.
    pub(crate) timeline: OnceLock<Arc<Shared>>,
}

impl Scope {
    /// Makes the scope of a request that arrived with `headers`. If the host exports traces to `spans`, the request has
    /// a span of its own. The guest sees the request's span instead of the client's span.
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

    /// Makes the scope of a request with stored tasks. The idempotency keys of the stored tasks begin with `key`.
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

    /// Returns the ids that each event about the request contains.
    pub(crate) fn ids(&self) -> RequestIds<'_> {
        RequestIds::new(&self.id, &self.trace_context.traceparent)
    }

    /// Returns the origin of the lines that the guest prints while no task runs.
    pub(crate) fn origin(&self) -> Origin {
        let RequestIds { request, trace_id } = self.ids();
        Origin {
            request: request.to_owned(),
            trace_id: trace_id.map(str::to_owned),
            task: None,
            trace: self.trace.clone(),
        }
    }

    /// Returns the idempotency key of a task. The key is the same for each attempt of the task, and different for each
    /// task.
    pub(crate) fn idempotency_key(&self, task: TaskId) -> String {
        format!("{}:{task}", self.key.as_ref().unwrap_or(&self.id))
    }

    /// Records this request's timeline from now on. `has_output` says whether the timeline also contains the guest's
    /// output.
    pub(crate) fn follow(&self, mut timeline: Timeline, component: &str, has_output: bool) -> &Arc<Shared> {
        timeline.id.clone_from(&self.id);
        timeline.trace_context = self.trace_context.clone();
        timeline.trace.clone_from(&self.trace);
        component.clone_into(&mut timeline.component);
        self.timeline.get_or_init(|| Shared::new(timeline, has_output))
    }

    /// Returns the timeline if the timeline also contains the guest's output.
    pub(crate) fn output(&self) -> Option<&Arc<Shared>> {
        self.timeline.get().filter(|shared| shared.has_output)
    }

    /// Calls `write` with the request's timeline, if the host records the timeline.
    pub(crate) fn note(&self, write: impl FnOnce(&mut Timeline)) {
        if let Some(timeline) = self.timeline.get() {
            write(&mut timeline.lock());
        }
    }

    /// Traces the guest's calls as part of `task` from now on. If `task` is `None`, traces the calls as part of the
    /// request.
    pub(crate) fn calls_belong_to(&self, task: Option<TaskId>) {
        if let Some(trace) = &self.trace {
            trace.enter(task);
        }
    }

    /// Returns the request's queue. The guest adds tasks to the queue while the host takes tasks out.
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the trace context of a request (S16). If the client sent no trace context, starts a new trace with the
/// request's id.
fn trace_context(headers: &HeaderMap, id: &Uuid) -> TraceContext {
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let trace::TraceContext { traceparent, tracestate } =
        trace::context(values("traceparent"), values("tracestate"), id.as_u64_pair());
    TraceContext { traceparent, tracestate }
}
