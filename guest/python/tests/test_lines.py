from epilogue import _lines


def test_the_end_of_a_task() -> None:
    line = ' WARN epilogue::task: request="1-2" task=2 name="m:f" state="failed" attempt=1 error="a \\"b\\"\\n\\u{e9}=c"'
    assert _lines.event(line) == {
        "level": "WARN",
        "target": "epilogue::task",
        "request": "1-2",
        "task": 2,
        "name": "m:f",
        "state": "failed",
        "attempt": 1,
        "error": 'a "b"\né=c',
    }


def test_the_end_of_a_request() -> None:
    event = _lines.event('DEBUG epilogue::request: the request has ended request="1" trace="2" status=200 teardowns=0')
    assert event
    assert (event["message"], event["trace_id"], event["stored"]) == ("the request has ended", "2", 0)


def test_a_line_of_the_app() -> None:
    assert _lines.event("INFO: a request=1") is None
