//! The ids that every log event about a request contains.

use epilogue_engines::Batch;
use epilogue_rules::trace;

/// A request's id and the id of its trace. Each log event about the request, its tasks or its outgoing requests
/// contains both ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestIds<'a> {
    pub(crate) request: &'a str,
    /// The id of the trace. The value is `None` for a batch that was stored without a `traceparent`.
    pub(crate) trace_id: Option<&'a str>,
}

impl<'a> RequestIds<'a> {
    /// Makes the ids from a request's id and the request's `traceparent` header.
    pub(crate) fn new(request: &'a str, traceparent: &'a str) -> Self {
        Self { request, trace_id: Some(trace::id(traceparent)).filter(|id| !id.is_empty()) }
    }

    /// Returns copies of both ids, for an event that the host logs later.
    pub(crate) fn copied(self) -> (String, Option<String>) {
        (self.request.to_owned(), self.trace_id.map(str::to_owned))
    }

    /// Returns the ids of the request that stored `batch`.
    pub(crate) fn of_batch(batch: &'a Batch) -> Self {
        Self::new(&batch.request_id, batch.traceparent.as_deref().unwrap_or_default())
    }
}
