//! FastAPI's tests of dependencies with `yield`, and of background tasks that use them.

use super::get;
use crate::durable::only_in_process;
use crate::guests;

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
    only_in_process!(OwnScope);
    let (text, _, stdout) = get(guests::CONTEXTS, "/context_b_bg");
    assert_eq!(text, "started b, started a");
    assert_eq!(stdout, "started a\nstarted b\nbg\nfinished b\nfinished a\n");
}
