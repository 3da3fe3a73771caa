//! Interfaces of Spin that the host knows but has nothing behind: a component with them runs, as long as it does not
//! call them.

use epilogue::testing::{TaskState, TestHost};

use crate::guests;

#[test]
fn a_component_runs_until_it_calls_what_has_nothing_behind_it() {
    let host = TestHost::start(guests::UNBACKED);
    assert_eq!(host.get("/").text(), "fine");
    for (path, function) in [
        ("/asynchronous", "spin:redis/redis@3.0.0#[static]connection.open"),
        ("/synchronous", "fermyon:spin/llm@2.0.0#infer"),
    ] {
        let exchange = host.get(path);
        assert_eq!(exchange.text(), "fine");
        let record = exchange.drained();
        let [task] = record.tasks.as_slice() else { panic!("{record:?}") };
        assert_eq!(task.state, TaskState::Trapped);
        let expected = format!("the guest called {function}, which this host does not provide");
        let error = task.error.as_deref().unwrap_or_default();
        assert!(error.contains(&expected), "{error}");
    }
    assert_eq!(host.get("/").text(), "fine");
}
