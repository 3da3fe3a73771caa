"""Tests the app's last build on the real host."""

from epilogue.testing import Host


def test_the_log_is_written_after_the_answer(host: Host) -> None:
    response = host.post("/send-notification/a@b.c")
    assert response.text == "Notification sent\n"
    record = host.drained(response)
    assert [(task.name, task.state) for task in record.tasks] == [("app:write_log", "succeeded")]
    assert host.stdout(1) == ["message to a@b.c"]


def test_an_order_is_reserved_and_has_a_receipt(host: Host) -> None:
    response = host.post("/orders/7")
    assert response.text == "order 7\n"
    record = host.drained(response)
    assert {task.name: task.state for task in record.tasks} == {"app:reserve": "succeeded", "send_receipt": "succeeded"}
    assert sorted(host.stdout(3)) == ["order 7: closed", "order 7: receipt", "order 7: reserved at attempt 2"]
