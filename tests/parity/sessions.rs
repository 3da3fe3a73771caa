//! FastAPI's tests of what fails or streams after the `yield`.

use epilogue::testing::{ResponseOutcome, TestHost};

use super::get;
use crate::guests;
use crate::socket::Socket;

/// FastAPI, `tests/test_dependency_after_yield_raise.py::test_broken_raise`: the error is the server's to see.
#[test]
fn test_broken_raise() {
    let (_, record, _) = get(guests::SESSIONS, "/broken");
    assert_eq!(record.errors, ["the teardown failed: Broken after yield"]);
}

/// FastAPI, `tests/test_dependency_after_yield_raise.py::test_broken_no_raise` and `::test_broken_return_finishes`
#[test]
fn test_broken_no_raise() {
    let (text, record, _) = get(guests::SESSIONS, "/broken");
    assert_eq!(record.status, 200);
    assert_eq!(text, "all good?");
}

/// FastAPI, `tests/test_dependency_after_yield_streaming.py::test_regular_no_stream`
#[test]
fn test_regular_no_stream() {
    let (text, _, stdout) = get(guests::SESSIONS, "/data");
    assert_eq!(text, "foobarbaz");
    assert_eq!(stdout, "session closed\n");
}

/// FastAPI, `tests/test_dependency_after_yield_streaming.py::test_stream_simple`
#[test]
fn test_stream_simple() {
    let (text, ..) = get(guests::SESSIONS, "/stream-simple");
    assert_eq!(text, "xyz");
}

/// FastAPI, `tests/test_dependency_after_yield_streaming.py::test_stream_session`
#[test]
fn test_stream_session() {
    let (text, _, stdout) = get(guests::SESSIONS, "/stream-session");
    assert_eq!(text, "foobarbaz");
    assert_eq!(stdout, "session closed\n");
}

/// FastAPI, `tests/test_dependency_after_yield_streaming.py::test_broken_session_data`
#[test]
fn test_broken_session_data() {
    let (_, record, stdout) = get(guests::SESSIONS, "/broken-session-data");
    let ResponseOutcome::HandlerFailed(reason) = record.outcome else { panic!("{record:?}") };
    assert!(reason.contains("Session closed"), "{reason}");
    assert_eq!(stdout, "session closed\n");
}

/// FastAPI, `tests/test_dependency_after_yield_streaming.py::test_broken_session_data_no_raise`
#[test]
fn test_broken_session_data_no_raise() {
    let (text, record, _) = get(guests::SESSIONS, "/broken-session-data");
    assert_eq!(record.status, 500);
    assert_eq!(text, "Internal Server Error");
}

/// FastAPI, `tests/test_dependency_after_yield_streaming.py::test_broken_session_stream_raise` and `::test_broken_session_stream_no_raise`
#[test]
fn test_broken_session_stream() {
    let host = TestHost::start(guests::SESSIONS);
    let mut client = Socket::get(&host, "/broken-session-stream");
    assert!(client.head().starts_with("HTTP/1.1 200"));
    // Not even the last, empty chunk: the client can tell that this is not all.
    assert_eq!(client.rest(), "");

    let record = host.next_record();
    let ResponseOutcome::ResponseFailed(reason) = record.outcome else { panic!("{record:?}") };
    assert!(reason.contains("Session closed"), "{reason}");
    assert_eq!(host.stdout(), "session closed\n");
}

/// FastAPI, `tests/test_dependency_yield_scope.py::test_function_scope`
#[test]
fn test_function_scope() {
    let (text, ..) = get(guests::SESSIONS, "/function-scope");
    assert_eq!(text, "closed ");
}

/// FastAPI, `tests/test_dependency_yield_scope.py::test_request_scope`
#[test]
fn test_request_scope() {
    let (text, _, stdout) = get(guests::SESSIONS, "/request-scope");
    assert_eq!(text, "open ");
    assert_eq!(stdout, "session closed\n");
}

/// FastAPI, `tests/test_dependency_yield_scope.py::test_two_scopes`
#[test]
fn test_two_scopes() {
    let (text, ..) = get(guests::SESSIONS, "/two-scopes");
    assert_eq!(text, "closed open ");
}

/// FastAPI, `tests/test_dependency_yield_scope.py::test_sub`
#[test]
fn test_sub() {
    let (text, _, stdout) = get(guests::SESSIONS, "/sub");
    assert_eq!(text, "open open ");
    assert_eq!(stdout, "named closed\nsession closed\n");
}
