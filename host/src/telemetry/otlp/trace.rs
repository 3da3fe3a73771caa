//! Computes the ids of the spans of a request and its tasks.
//!
//! The guest, and the servers that the guest calls, see the ids while the request runs. The host makes the spans only
//! after the response, so the host computes the ids in advance. The span id of a request is the right half of the
//! request's id. The host computes the span id of a task from the request's span id, so that a worker in another
//! process gets the same span id.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use super::spans::Spans;

/// The trace that a request or a batch is part of, and the span ids of the request or batch.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) spans: Arc<Spans>,
    /// The span of the request, or the span of the batch.
    pub(crate) own: SpanContext,
    /// The span that caused the request or batch. For a request, this is the client's span. For a batch, this is the
    /// span of the request that stored the batch.
    pub(crate) parent: Option<SpanContext>,
    /// The numbers of the tasks of a batch. For a request, the list is empty.
    batch: Vec<u64>,
    /// The id of the current span, which is the parent of the spans of requests that the guest sends: the request's
    /// span, or the span of the running task.
    current: AtomicU64,
}

impl Trace {
    /// Makes the trace of a request with the id `id`. `client` contains the headers `traceparent` and `tracestate` from
    /// the client. If the client has sent no valid `traceparent`, the request starts a new trace.
    pub(crate) fn of_request(spans: Arc<Spans>, client: Option<(&str, Option<&str>)>, id: u128) -> Self {
        let parent = client.and_then(|(traceparent, tracestate)| remote(traceparent, tracestate));
        let trace = parent.as_ref().map_or(TraceId::from(id), SpanContext::trace_id);
        Self::new(spans, trace, parent, id as u64, Vec::new())
    }

    /// Makes the trace of a batch with these tasks. `request` is the trace context of the request that stored the
    /// tasks.
    pub(crate) fn of_batch(spans: Arc<Spans>, request: (&str, Option<&str>), tasks: Vec<u64>) -> Self {
        let parent = remote(request.0, request.1);
        let trace = parent.as_ref().map_or_else(|| TraceId::from(fastrand::u128(1..)), SpanContext::trace_id);
        Self::new(spans, trace, parent, fastrand::u64(1..), tasks)
    }

    fn new(spans: Arc<Spans>, trace: TraceId, parent: Option<SpanContext>, own: u64, batch: Vec<u64>) -> Self {
        let sampled = spans.samples(trace, parent.as_ref());
        let state = parent.as_ref().map_or(TraceState::NONE, |parent| parent.trace_state().clone());
        let own_span = SpanContext::new(trace, own.into(), TraceFlags::default().with_sampled(sampled), false, state);
        Self { spans, own: own_span, parent, batch, current: own.into() }
    }

    pub(crate) fn is_sampled(&self) -> bool {
        self.own.is_sampled()
    }

    /// Returns the header `traceparent` for a span of the request.
    pub(crate) fn traceparent(&self, span: SpanId) -> String {
        let mut text = String::with_capacity(55);
        _ = write!(text, "00-{}-{span}-{:02x}", self.own.trace_id(), self.own.trace_flags());
        text
    }

    /// Returns the context of the span with the id `span`. The span is part of this trace.
    pub(crate) fn with(&self, span: SpanId) -> SpanContext {
        let own = &self.own;
        SpanContext::new(own.trace_id(), span, own.trace_flags(), false, own.trace_state().clone())
    }

    /// Returns the context of the span of a task that this process runs.
    pub(crate) fn task(&self, task: u64) -> SpanContext {
        self.with(derived(self.own.span_id(), task))
    }

    /// Returns the context of the span that shows how the host stored a task. The process that stores the task and the
    /// worker that runs the task compute the same context.
    pub(crate) fn stored(&self, task: u64) -> SpanContext {
        let request = self.request();
        let span = derived(request.span_id(), task);
        SpanContext::new(
            request.trace_id(),
            span,
            request.trace_flags(),
            request.is_remote(),
            request.trace_state().clone(),
        )
    }

    /// Returns the span that caused a task. For a task of a leased batch, this is the span that shows how the host
    /// stored the task. For any other task, this is the request's span.
    pub(crate) fn origin(&self, task: u64) -> SpanContext {
        if self.is_of_batch(task) { self.stored(task) } else { self.request().clone() }
    }

    /// Reports whether a task is part of the batch that this trace is about. For a request's trace, the result is
    /// false.
    pub(crate) fn is_of_batch(&self, task: u64) -> bool {
        self.batch.contains(&task)
    }

    /// Returns the span of the request that added the tasks. For a batch without a trace context, returns the batch's
    /// span.
    fn request(&self) -> &SpanContext {
        match &self.parent {
            Some(parent) if !self.batch.is_empty() => parent,
            _ => &self.own,
        }
    }

    /// Returns the id of the current span, which is the parent of the spans of requests that the guest sends.
    pub(crate) fn current(&self) -> SpanId {
        self.current.load(Relaxed).into()
    }

    /// From now on, uses the span of `task` as the parent of the spans of requests that the guest sends. If `task` is
    /// `None`, uses the span of the request or the batch.
    pub(crate) fn enter(&self, task: Option<u64>) {
        let span = task.map_or(self.own.span_id(), |task| derived(self.own.span_id(), task));
        self.current.store(u64::from_be_bytes(span.to_bytes()), Relaxed);
    }
}

/// Returns a new random id for a span.
pub(crate) fn new_span() -> SpanId {
    fastrand::u64(1..).into()
}

/// Computes a span id from another span id and a number, such as a task's number. The function mixes the bits
/// (SplitMix64), so that two results are hardly ever equal.
pub(crate) fn derived(span: SpanId, number: u64) -> SpanId {
    let mut id = u64::from_be_bytes(span.to_bytes()).wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (id ^ (id >> 31)).max(1).into()
}

/// Reads a trace context that comes from another process. Returns `None` if `traceparent` is not valid.
pub(super) fn remote(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    let state = tracestate.and_then(|state| state.parse().ok()).unwrap_or(TraceState::NONE);
    let flags = TraceFlags::default().with_sampled(TraceFlags::new(flags).is_sampled());
    Some(SpanContext::new(trace, span, flags, true, state)).filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_reads_what_this_one_writes() {
        let parent = remote("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some("a=1")).unwrap();
        assert_eq!(parent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parent.span_id().to_string(), "b7ad6b7169203331");
        assert!(parent.is_sampled() && parent.is_remote());
        assert_eq!(parent.trace_state().header(), "a=1");
        assert!(!remote("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", None).unwrap().is_sampled());
    }

    #[test]
    fn each_task_has_its_own_span() {
        let own = SpanId::from(0xb7ad_6b71_6920_3331);
        let ids: std::collections::HashSet<_> = (0..10_000).map(|task| derived(own, task)).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(!ids.contains(&own) && !ids.contains(&SpanId::INVALID));
        assert_ne!(derived(own, 1), derived(SpanId::from(1), 1));
    }
}
