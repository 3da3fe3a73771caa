//! The identity of a request: its id, and its position in a distributed trace (S16).

use alloc::string::String;
use alloc::vec::Vec;

use epilogue_rules::trace;

use crate::bindings::epilogue::background::types::{RequestContext, TraceContext};
use crate::bindings::wasi::clocks::system_clock;
use crate::bindings::wasi::http::types::Headers;
use crate::bindings::wasi::random::random::get_random_u64;

pub(crate) struct Identity(pub(crate) RequestContext);

impl Identity {
    /// Creates the identity of a new request. The trace context comes from the request's `headers`. The id is a UUID of
    /// version 7. No other request has the same id. The ids sort by the time at which the requests arrived, to the
    /// millisecond.
    pub(crate) fn of(headers: &Headers) -> Self {
        let now = system_clock::now();
        let milliseconds = now.seconds.unsigned_abs() * 1_000 + u64::from(now.nanoseconds) / 1_000_000;
        let (first, second) = (get_random_u64(), get_random_u64());
        let high = milliseconds << 16 | 0x7000 | first & 0x0fff;
        let low = 0x8000_0000_0000_0000 | second >> 2;
        let mut digits = String::new();
        trace::hex(&mut digits, high);
        trace::hex(&mut digits, low);
        let request_id = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-");
        Self(RequestContext { request_id, trace_context: trace_context(headers, (high, low)) })
    }

    pub(crate) fn id(&self) -> &str {
        &self.0.request_id
    }

    pub(crate) fn trace_id(&self) -> &str {
        trace::id(&self.0.trace_context.traceparent)
    }
}

fn trace_context(headers: &Headers, id: (u64, u64)) -> TraceContext {
    let (parents, states) = (headers.get("traceparent"), headers.get("tracestate"));
    let context = trace::context(parents.iter().map(Vec::as_slice), states.iter().map(Vec::as_slice), id);
    TraceContext { traceparent: context.traceparent, tracestate: context.tracestate }
}
