//! Where a request stands in a distributed trace, by the W3C Trace Context recommendation (S16).

use http::HeaderMap;
use uuid::Uuid;

use crate::contract::bindings::TraceContext;

/// The request's own trace context, or a new one, made of its id, if it did not bring exactly one that is valid.
pub(crate) fn context(headers: &HeaderMap, id: &Uuid) -> TraceContext {
    let mut parents = headers.get_all("traceparent").iter();
    // Of two nobody can say which is right: W3C's own test suite wants a new trace then.
    let parent = parents.next().filter(|_| parents.next().is_none());
    match parent.and_then(|value| value.to_str().ok()).filter(|value| is_valid(value)) {
        Some(traceparent) => {
            let states: Vec<_> = headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok()).collect();
            TraceContext {
                traceparent: traceparent.to_owned(),
                tracestate: (!states.is_empty()).then(|| states.join(",")),
            }
        }
        // The recommendation asks for a trace id whose right half is random: a UUIDv7's is.
        None => {
            TraceContext { traceparent: format!("00-{}-{:016x}-01", id.simple(), id.as_u64_pair().1), tracestate: None }
        }
    }
}

/// The trace id in a context made by [`context`].
pub(crate) fn id(context: &TraceContext) -> &str {
    context.traceparent.get(3..35).unwrap_or_default()
}

/// Section 3.2.2 of the recommendation: `version-trace_id-parent_id-flags`, lower-case hexadecimal, no id all zeros.
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

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn context_of(headers: &[(&'static str, &'static str)]) -> TraceContext {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        context(&headers, &Uuid::now_v7())
    }

    #[test]
    fn the_clients_context_is_kept() {
        let context = context_of(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]);
        assert_eq!(context.traceparent, PARENT);
        assert_eq!(context.tracestate.as_deref(), Some("a=1,b=2"));
        assert_eq!(id(&context), "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn without_a_valid_one_a_new_context_is_made_and_tracestate_dropped() {
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            let context = context_of(&[("traceparent", bad), ("tracestate", "a=1")]);
            assert_ne!(context.traceparent, bad);
            assert!(is_valid(&context.traceparent), "{}", context.traceparent);
            assert_eq!(context.tracestate, None);
        }
    }

    #[test]
    fn of_two_parents_neither_is_taken() {
        let other = PARENT.replace("-b7ad", "-b7ae");
        for second in [PARENT, &other, "invalid"] {
            let headers = [("traceparent", PARENT), ("traceparent", second), ("tracestate", "a=1")];
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let context = context(&headers, &Uuid::now_v7());
            assert_ne!(id(&context), "0af7651916cd43dd8448eb211c80319c");
            assert!(is_valid(&context.traceparent), "{}", context.traceparent);
            assert_eq!(context.tracestate, None);
        }
    }

    #[test]
    fn later_versions_may_be_longer() {
        assert!(is_valid("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"));
    }
}
