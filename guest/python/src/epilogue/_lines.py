"""Reads the lines that a composed component prints to stderr about its requests and tasks."""

import re
from typing import Any

_LINE = re.compile(r" *(?P<level>[A-Z]+) (?P<target>epilogue::\w+): (?P<message>.*?) ?(?P<fields>request=.*)")
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
_ESCAPE = re.compile(r"\\(?:u\{(\w+)\}|(.))")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


def event(line: str) -> dict[str, Any] | None:
    """Converts a line to the event that `epilogue up` logs for an app that is not composed. Returns None if the app
    itself has printed the line."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    fields = {name: _value(text) for name, text in _FIELD.findall(found["fields"])}
    if "trace" in fields:
        # The line is about the end of a request. `stored` is 0, because a composed component has no durable tasks.
        fields |= {"trace_id": fields.pop("trace"), "stored": 0}
    message = {"message": found["message"]} if found["message"] else {}
    return {"level": found["level"], "target": found["target"]} | message | fields


def _value(text: str) -> str | int:
    """Reads a number, or a string that Rust has quoted."""
    if not text.startswith('"'):
        return int(text) if text.isdecimal() else text
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2]), text[1:-1])
