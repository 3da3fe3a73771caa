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

use epilogue::testing::{RequestRecord, TestHost};

mod contexts;
mod sessions;
mod starlette;
mod tutorial;

/// Sends one request to a fresh host. Returns the response's text, the request's record, and what the guest printed.
fn get(guest: &str, path: &str) -> (String, RequestRecord, String) {
    let host = TestHost::start(guest);
    let exchange = host.get(path);
    let text = exchange.text().to_owned();
    let record = exchange.drained();
    let stdout = host.stdout();
    (text, record, stdout)
}
