//! FastAPI's tests of its tutorial on background tasks.

use epilogue::testing::TestHost;

use crate::durable::only_in_process;
use crate::guests;

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
    only_in_process!(OwnScope);
    let host = TestHost::start(guests::NOTIFY);
    let exchange = host.post("/send-notification/foo@example.com?q=some-query", "");
    assert_eq!(exchange.response().status(), 200);
    assert_eq!(exchange.text(), r#"{"message":"Message sent"}"#);
    exchange.drained();
    assert!(host.stdout().starts_with("found query: some-query\nmessage to foo@example.com\n"), "{}", host.stdout());
}
