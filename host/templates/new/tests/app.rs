//! The app as it was built last, on the real host.

use epilogue::testing::TestHost;

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
