//! Starlette's tests of background tasks.

use super::get;
use crate::durable::only_in_process;
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
    only_in_process!(DeadLetter);
    let (text, record, stdout) = get(guests::STARLETTE, "/failure");
    assert_eq!(text, "tasks initiated");
    assert_eq!(ends(&record), ["increment_or_fail failed", "increment_or_fail skipped"]);
    assert_eq!(stdout, "counter 1\n");
}
