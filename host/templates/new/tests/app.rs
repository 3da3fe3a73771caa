//! Tests the app's last build on the real host.

use epilogue::testing::TestHost;
use http::Request;

#[test]
fn the_log_is_written_after_the_answer() {
    let host = TestHost::manifest("spin.toml").start();
    let exchange = host.post("/send-notification/a@b.c", "");
    assert_eq!(exchange.text(), "Notification sent\n");
    let record = exchange.drained();
    assert_eq!(record.tasks.len(), 1);
    assert_eq!(record.tasks[0].state.as_str(), "succeeded");
    assert_eq!(host.stdout(), "message to a@b.c\n");
}

/// In this test, the task `call_back` calls the app's own route `/callback`. By default, `TestHost`
/// has no task engine, so `send_receipt` is an ordinary task, and all tasks run in order.
#[test]
fn an_order_has_a_receipt_and_a_callback() {
    let host = TestHost::manifest("spin.toml").start();
    let path = format!("/orders?callback=http://{}/callback", host.address());
    let order = r#"{"id":7,"email":"a@b.c"}"#;
    let request = Request::post(path).header("content-type", "application/json");
    let exchange = host.send(request.body(order.into()).unwrap());
    assert_eq!(exchange.text(), order);
    let record = exchange.drained();
    for task in &record.tasks {
        assert_eq!(task.state.as_str(), "succeeded", "{}", task.name);
    }
    let expected = format!("order 7: receipt to a@b.c\ncalled back: {order}\norder 7: closed\n");
    assert_eq!(host.stdout(), expected);
}
