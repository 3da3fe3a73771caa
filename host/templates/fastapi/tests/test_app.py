"""Tests the app's last build on the real host."""

from epilogue.testing import Host


# ANCHOR: test
def test_the_log_is_written_after_the_answer(host: Host) -> None:
    response = host.post("/send-notification/a@b.c")
    assert response.json() == {"message": "Notification sent"}
    record = host.drained(response)
    assert [(task.name, task.state) for task in record.tasks] == [("app:write_log", "succeeded")]
    assert host.stdout(1) == ["message to a@b.c"]
# ANCHOR_END: test


def test_an_order_is_reserved_and_has_a_receipt(host: Host) -> None:
    response = host.post("/orders", json={"id": 7, "email": "a@b.c"})
    assert response.json() == {"id": 7, "email": "a@b.c"}
    record = host.drained(response)
    assert {task.name: task.state for task in record.tasks} == {
        "app:write_order": "succeeded",
        "app:reserve": "succeeded",
        "send_receipt": "succeeded",
    }
    assert sorted(host.stdout(4)) == [
        "order 7: closed",
        "order 7: receipt to a@b.c",
        "order 7: reserved at attempt 2",
        "order book closed with 1 order",
    ]


def test_an_order_without_an_email_is_refused(host: Host) -> None:
    assert host.post("/orders", json={"id": 7}).status_code == 422
