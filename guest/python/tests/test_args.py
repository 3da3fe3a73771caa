import datetime
import enum
import json
from typing import Any

import pytest

from epilogue import _args


class Color(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize("value", ["é\ud800", 2**70, 0.1, True, None, [1, [None]], {"a": {"b": []}}])
def test_json_keeps_plain_values(value: Any) -> None:
    assert _args.lossy(value) is None
    assert _args.read(_args.write((value,), {})) == ([value], {})


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ((1, 2), "tuple"),
        ({1: 2}, "dict with keys of type int"),
        (float("nan"), "nan"),
        (Color.RED, "Color"),
        ([{"at": datetime.datetime(2026, 1, 1)}], "datetime"),
        (b"bytes", "bytes"),
    ],
)
def test_what_json_would_change_is_named(value: Any, named: str) -> None:
    assert _args.lossy(value) == named


def test_positional_arguments_are_a_list() -> None:
    assert _args.write(("a", 3), {}) == b'["a",3]'
    assert json.loads(_args.write(("a",), {"n": 3})) == {"args": ["a"], "kwargs": {"n": 3}}
    assert _args.read(_args.write(("a",), {"n": 3})) == (["a"], {"n": 3})


@pytest.mark.parametrize("text", [b"7", b"{}", b'{"args":1,"kwargs":{}}', b"nothing"])
def test_other_texts_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"neither|Expecting"):
        _args.read(text)


def test_a_closure_stays_until_it_is_forgotten() -> None:
    closure = _args.Closure(print, (object(),), {})
    text = _args.keep(closure)
    assert _args.is_closure(text)
    assert not _args.is_closure(b'["closure"]')
    assert _args.kept(text) is closure
    _args.forget(text)
    assert _args.kept(text) is None
    _args.forget(text)
    kept = _args.keep(closure)
    _args.forget()
    assert _args.kept(kept) is None
    assert kept != text
