//! Errors whose text is long: the host keeps and tells only their beginning.

use epilogue::testing::{RequestRecord, ResponseOutcome, TestHost};

use crate::guests;

/// The text's length is the guest's, and the beginning of it is as long as may be.
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
