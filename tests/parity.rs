//! Parity: the cases of FastAPI's and Starlette's own tests about what runs after a response, under their names.
//!
//! FastAPI's dependencies with `yield` are extractors that register `Scope::on_teardown`. These cases have no counterpart:
//!
//! | FastAPI | why there is none |
//! |---|---|
//! | `test_dependency_contextmanager.py`: every `test_sync_*` of an endpoint that is a plain `def` | a handler of axum is `async`; `def` and `async def` dependencies are both below |
//! | there, that a dependency catches errors of its own type only | errors are returned, not thrown through dependencies; a teardown learns from `Scope::outcome` whether the handler failed |
//! | there, `test_*_raise_raises` beside `test_*_raise_server_error` | they differ in whether Python's test client raises the server's error in the test |
//! | `test_dependency_after_yield_raise.py::test_catching` | the response is made before any teardown, so none can replace it |
//! | `test_dependency_yield_except_httpexception.py` | the same: what is committed only on success is committed by the handler, or by a task, which runs on success only |
//! | `test_dependency_yield_scope.py::test_broken_scope`, `test_*_level_dep_*`, `test_named_*`, `test_regular_*` | about FastAPI's checks and wiring of scopes; with a function's scope being Rust's own, there is nothing to wire |
//! | `test_dependency_after_yield_websockets.py`, `test_dependency_yield_scope_websockets.py` | WASI HTTP has no websockets |

use epilogue::testing::{RequestRecord, ResponseOutcome, TestHost};

use crate::client::Client;
use crate::guests;
use crate::support::ends;

/// Starlette, `tests/test_background.py::test_async_task`
#[test]
fn test_async_task() {
    let (text, record, stdout) = get(guests::STARLETTE, "/async");
    assert_eq!(text, "task initiated");
    assert_eq!(ends(&record), ["async_task succeeded"]);
    assert_eq!(stdout, "task complete\n");
}

/// Starlette, `tests/test_background.py::test_sync_task`
#[test]
fn test_sync_task() {
    let (text, record, stdout) = get(guests::STARLETTE, "/sync");
    assert_eq!(text, "task initiated");
    assert_eq!(ends(&record), ["sync_task succeeded"]);
    assert_eq!(stdout, "task complete\n");
}

/// Starlette, `tests/test_background.py::test_multiple_tasks`
#[test]
fn test_multiple_tasks() {
    let (text, _, stdout) = get(guests::STARLETTE, "/multiple");
    assert_eq!(text, "tasks initiated");
    assert_eq!(stdout, "counter 1\ncounter 3\ncounter 6\n");
}

/// Starlette, `tests/test_background.py::test_multi_tasks_failure_avoids_next_execution`
#[test]
fn test_multi_tasks_failure_avoids_next_execution() {
    let (text, record, stdout) = get(guests::STARLETTE, "/failure");
    assert_eq!(text, "tasks initiated");
    assert_eq!(ends(&record), ["increment_or_fail failed", "increment_or_fail skipped"]);
    assert_eq!(stdout, "counter 1\n");
}

/// FastAPI, `tests/test_tutorial/test_background_tasks/test_tutorial001.py::test`
#[test]
fn test_background_tasks_tutorial001() {
    let host = TestHost::start(guests::TUTORIAL);
    let exchange = host.post("/send-notification/foo@example.com", "");
    assert_eq!(exchange.response().status(), 200);
    assert_eq!(exchange.text(), r#"{"message":"Notification sent in the background"}"#);
    exchange.drained();
    assert_eq!(host.stdout(), "notification for foo@example.com: some notification\n");
}

/// FastAPI, `tests/test_tutorial/test_background_tasks/test_tutorial002.py::test`
#[test]
fn test_background_tasks_tutorial002() {
    let host = TestHost::start(guests::NOTIFY);
    let exchange = host.post("/send-notification/foo@example.com?q=some-query", "");
    assert_eq!(exchange.response().status(), 200);
    assert_eq!(exchange.text(), r#"{"message":"Message sent"}"#);
    exchange.drained();
    assert!(host.stdout().starts_with("found query: some-query\nmessage to foo@example.com\n"), "{}", host.stdout());
}

/// FastAPI, `tests/test_dependency_contextmanager.py::test_async_state`
#[test]
fn test_async_state() {
    let (text, _, stdout) = get(guests::CONTEXTS, "/async");
    assert_eq!(text, "asyncgen started");
    assert_eq!(stdout, "asyncgen started\nasyncgen completed\n");
}

/// FastAPI, `tests/test_dependency_contextmanager.py::test_sync_state`
#[test]
fn test_sync_state() {
    let (text, _, stdout) = get(guests::CONTEXTS, "/sync");
    assert_eq!(text, "generator started");
    assert_eq!(stdout, "generator started\ngenerator completed\n");
}

/// FastAPI, `tests/test_dependency_contextmanager.py::test_async_raise_other`: an error that someone else handles is a
/// response like any other.
#[test]
fn test_async_raise_other() {
    let (_, record, stdout) = get(guests::CONTEXTS, "/async_raise_other");
    assert_eq!(record.status, 500);
    assert_eq!(stdout, "asyncgen started\nasyncgen completed\n");
}

/// FastAPI, `tests/test_dependency_contextmanager.py::test_sync_raise_other`
#[test]
fn test_sync_raise_other() {
    let (_, record, stdout) = get(guests::CONTEXTS, "/sync_raise_other");
    assert_eq!(record.status, 500);
    assert_eq!(stdout, "generator started\ngenerator completed\n");
}

/// FastAPI, `tests/test_dependency_contextmanager.py::test_async_raise_server_error`
#[test]
fn test_async_raise_server_error() {
    let (_, record, stdout) = get(guests::CONTEXTS, "/async_raise");
    assert_eq!(record.status, 500);
    assert_eq!(stdout, "asyncgen started\nasyncgen saw an error and finalized\n");
}

/// FastAPI, `tests/test_dependency_contextmanager.py::test_sync_raise_server_error`
#[test]
fn test_sync_raise_server_error() {
    let (_, record, stdout) = get(guests::CONTEXTS, "/sync_raise");
    assert_eq!(record.status, 500);
    assert_eq!(stdout, "generator started\ngenerator saw an error and finalized\n");
}

/// FastAPI, `tests/test_dependency_contextmanager.py::test_context_b`
#[test]
fn test_context_b() {
    let (text, _, stdout) = get(guests::CONTEXTS, "/context_b");
    assert_eq!(text, "started b, started a");
    assert_eq!(stdout, "started a\nstarted b\nfinished b\nfinished a\n");
}

/// FastAPI, `tests/test_dependency_contextmanager.py::test_context_b_raise`
#[test]
fn test_context_b_raise() {
    let (_, record, stdout) = get(guests::CONTEXTS, "/context_b_raise");
    assert_eq!(record.status, 500);
    assert_eq!(stdout, "started a\nstarted b\nfinished b\nfinished a\n");
}

/// FastAPI, `tests/test_dependency_contextmanager.py::test_background_tasks`
#[test]
fn test_background_tasks() {
    let (text, _, stdout) = get(guests::CONTEXTS, "/context_b_bg");
    assert_eq!(text, "started b, started a");
    assert_eq!(stdout, "started a\nstarted b\nbg\nfinished b\nfinished a\n");
}

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
    let mut client = Client::get(&host, "/broken-session-stream");
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

/// What one request to a fresh host was answered, how it ended, and what the guest printed.
fn get(guest: &str, path: &str) -> (String, RequestRecord, String) {
    let host = TestHost::start(guest);
    let exchange = host.get(path);
    let text = exchange.text().to_owned();
    let record = exchange.drained();
    let stdout = host.stdout();
    (text, record, stdout)
}
