//! Who a request is: its id, and where it stands in a distributed trace (S16).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::epilogue::background::types::{RequestContext, TraceContext};
use crate::bindings::wasi::clocks::system_clock;
use crate::bindings::wasi::http::types::Headers;
use crate::bindings::wasi::random::random::get_random_u64;

pub(crate) struct Identity(pub(crate) RequestContext);

impl Identity {
    /// A new request that arrived with `headers`. Its id is a UUID of version 7: unique everywhere, and ordered by time.
    pub(crate) fn of(headers: &Headers) -> Self {
        let now = system_clock::now();
        let milliseconds = now.seconds.unsigned_abs() * 1_000 + u64::from(now.nanoseconds) / 1_000_000;
        let (first, second) = (get_random_u64(), get_random_u64());
        let high = milliseconds << 16 | 0x7000 | first & 0x0fff;
        let low = 0x8000_0000_0000_0000 | second >> 2;
        let digits = format!("{high:016x}{low:016x}");
        let request_id = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-");
        Self(RequestContext { request_id, trace_context: trace_context(headers, &digits, low) })
    }

    pub(crate) fn id(&self) -> &str {
        &self.0.request_id
    }

    pub(crate) fn trace_id(&self) -> &str {
        self.0.trace_context.traceparent.get(3..35).unwrap_or_default()
    }
}

/// The request's own trace context, or a new one if it did not bring exactly one that is valid.
fn trace_context(headers: &Headers, digits: &str, low: u64) -> TraceContext {
    let text = |value: Vec<u8>| String::from_utf8(value).ok();
    let mut parents = headers.get("traceparent").into_iter();
    let parent = parents.next().filter(|_| parents.len() == 0);
    match parent.and_then(text).filter(|parent| is_valid(parent)) {
        Some(traceparent) => {
            let states: Vec<_> = headers.get("tracestate").into_iter().filter_map(text).collect();
            TraceContext { traceparent, tracestate: (!states.is_empty()).then(|| states.join(",")) }
        }
        None => TraceContext { traceparent: format!("00-{digits}-{low:016x}-01"), tracestate: None },
    }
}

/// Section 3.2.2 of the W3C's Trace Context: `version-trace_id-parent_id-flags`, lower-case hexadecimal, no id all zeros.
/// Versions to come may append fields.
fn is_valid(traceparent: &str) -> bool {
    let mut fields = traceparent.split('-');
    let mut field = |length: usize| {
        fields.next().filter(|field| {
            field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) = (field(2), field(32), field(16), field(2)) else {
        return false;
    };
    let not_zero = |id: &str| id.bytes().any(|byte| byte != b'0');
    version != "ff" && not_zero(trace) && not_zero(parent) && (version != "00" || fields.next().is_none())
}
