//! The texts of errors. The host keeps and logs only the beginning of a long text. For a trap, it logs the last text
//! that the guest wrote to stderr.

use epilogue::testing::{RequestRecord, ResponseOutcome, TestHost};

use super::Hostile;
use crate::guests;

/// Checks that a text was cut: about 4 KiB of it are kept, and it says how many bytes are missing.
fn assert_cut(text: &str) {
    assert!((4_000..4_200).contains(&text.len()), "{} bytes are kept", text.len());
    assert!(text.contains("éé") && text.ends_with(" more bytes)"), "it should say that it is cut: {text}");
}

fn fail(path: &str) -> RequestRecord {
    TestHost::start(guests::EXCESS).get(path).drained()
}

#[test]
fn s11_a_long_error_of_a_handler_or_a_task_is_cut() {
    let record = fail("/error?100001");
    match &record.outcome {
        ResponseOutcome::HandlerFailed(reason) => assert_cut(reason),
        other => panic!("the handler should have failed: {other:?}"),
    }
    assert_cut(record.tasks[0].error.as_deref().unwrap());
}

#[test]
fn s11_a_long_error_of_a_teardown_is_cut() {
    assert_cut(&fail("/teardown?100001").errors[0]);
}

#[test]
fn s11_an_error_of_the_longest_length_is_whole() {
    let record = fail("/error?4096");
    assert_eq!(record.tasks[0].error.as_deref(), Some("é".repeat(2048).as_str()));
}

/// The reason why the guest died where it misbehaved.
fn reason(record: &RequestRecord, place: &str) -> String {
    match (place, &record.outcome) {
        ("handler", ResponseOutcome::HandlerFailed(reason)) | ("body", ResponseOutcome::ResponseFailed(reason)) => {
            reason.clone()
        }
        ("task", _) => record.tasks[0].error.clone().unwrap(),
        ("teardown", _) => record.errors[0].clone(),
        (place, outcome) => panic!("{outcome:?} of {place}"),
    }
}

#[test]
fn a_panic_is_told_with_its_text_and_place() {
    let hostile = Hostile::with(|host| host);
    for place in ["handler", "body", "task", "teardown"] {
        let reason = reason(&hostile.misbehave("panic", place), place);
        let (_, panic) = reason.split_once("panicked at ").unwrap_or_else(|| panic!("{place}: {reason}"));
        assert!(panic.contains("hostile.rs:") && panic.ends_with(": on purpose"), "{place}: {reason}");
    }
}

#[test]
fn another_trap_is_told_with_what_its_call_wrote_to_stderr_last() {
    let hostile = Hostile::with(|host| host);
    let reason = |what: &str, place: &str| reason(&hostile.misbehave(what, place), place);
    let grow = reason("grow", "task");
    assert!(grow.ends_with("; stderr: memory allocation of 1048576 bytes failed"), "{grow}");
    let recurse = "wasm trap: out of bounds memory access";
    assert_eq!(reason("recurse", "handler"), format!("the handler was cut short: {recurse}; stderr: handles it"));
    // The handler wrote that, in a call that had ended well.
    assert_eq!(reason("recurse", "task"), recurse);
}
