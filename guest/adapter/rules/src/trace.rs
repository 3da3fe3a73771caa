//! A request's position in a distributed trace, as the W3C Trace Context recommendation defines it (S16).

use alloc::borrow::ToOwned as _;
use alloc::string::String;

/// A request's position in a distributed trace, as the values of two headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The value of the header `traceparent`.
    pub traceparent: String,
    /// The value of the header `tracestate`. If the request has no such header, the value is `None`.
    pub tracestate: Option<String>,
}

/// Makes a request's trace context from the values of the request's headers `traceparent` and `tracestate`. If the
/// request does not have exactly one valid `traceparent`, this function makes a new `traceparent` from the two halves
/// of the request's id.
pub fn context<'a>(
    parents: impl IntoIterator<Item = &'a [u8]>,
    states: impl IntoIterator<Item = &'a [u8]>,
    id: (u64, u64),
) -> TraceContext {
    let mut parents = parents.into_iter();
    // If a request has two `traceparent` headers, the host cannot know which header is right. W3C's test suite expects
    // a new trace in this case.
    let parent = parents.next().filter(|_| parents.next().is_none());
    match parent.and_then(text).filter(|parent| is_valid(parent)) {
        Some(traceparent) => {
            let mut tracestate = None::<String>;
            for state in states.into_iter().filter_map(text) {
                match &mut tracestate {
                    Some(states) => {
                        states.push(',');
                        states.push_str(state);
                    }
                    None => tracestate = Some(state.to_owned()),
                }
            }
            TraceContext { traceparent: traceparent.to_owned(), tracestate }
        }
        // The recommendation demands a trace id whose right half is random. The request's id is a UUID of version 7,
        // whose right half is random.
        None => TraceContext { traceparent: new(id), tracestate: None },
    }
}

/// Returns the trace id in a `traceparent` that [`context`] has returned.
pub fn id(traceparent: &str) -> &str {
    traceparent.get(3..35).unwrap_or_default()
}

/// Returns a header's value as text. If the value contains anything except visible ASCII characters, spaces and tabs,
/// returns `None`.
fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    if is_text { core::str::from_utf8(value).ok() } else { None }
}

fn new((high, low): (u64, u64)) -> String {
    let mut traceparent = String::with_capacity(55);
    traceparent.push_str("00-");
    hex(&mut traceparent, high);
    hex(&mut traceparent, low);
    traceparent.push('-');
    hex(&mut traceparent, low);
    traceparent.push_str("-01");
    traceparent
}

/// Appends `number` to `text` as 16 hexadecimal digits.
pub fn hex(text: &mut String, number: u64) {
    for place in (0..16).rev() {
        let digit = (number >> (place * 4)) as u8 & 0xf;
        text.push(char::from(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }));
    }
}

/// Returns true if the value of the header `traceparent` has the form `version-trace_id-parent_id-flags` (section 3.2.2
/// of the recommendation). The version, the two ids and the flags are lower-case hexadecimal. The version is not `ff`,
/// and neither id is all zeros. If the version is not `00`, other parts may follow the flags, because later versions of
/// the recommendation may append parts.
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
    use std::format;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const ID: (u64, u64) = (0x0190_a0b1_c2d3_7000, 0x8000_0000_0000_00ff);

    fn context_of(parents: &[&str], states: &[&str]) -> TraceContext {
        context(parents.iter().map(|value| value.as_bytes()), states.iter().map(|value| value.as_bytes()), ID)
    }

    #[test]
    fn the_clients_context_is_kept() {
        let context = context_of(&[PARENT], &["a=1", "not text: é", "b=2"]);
        assert_eq!(context.traceparent, PARENT);
        assert_eq!(context.tracestate.as_deref(), Some("a=1,b=2"));
        assert_eq!(id(&context.traceparent), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context_of(&[PARENT], &[]).tracestate, None);
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
            let context = context_of(&[bad], &["a=1"]);
            assert_eq!(context.traceparent, "00-0190a0b1c2d3700080000000000000ff-80000000000000ff-01");
            assert!(is_valid(&context.traceparent));
            assert_eq!(context.tracestate, None);
        }
    }

    #[test]
    fn of_two_parents_neither_is_taken() {
        for second in [PARENT, &PARENT.replace("-b7ad", "-b7ae"), "invalid"] {
            assert_eq!(context_of(&[PARENT, second], &["a=1"]), context_of(&[], &[]), "{second}");
        }
    }

    #[test]
    fn later_versions_may_be_longer() {
        assert!(is_valid("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"));
    }

    #[test]
    fn a_number_has_sixteen_digits() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let mut text = String::new();
            hex(&mut text, number);
            assert_eq!(text, format!("{number:016x}"));
        }
    }
}
