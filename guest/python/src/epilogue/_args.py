"""Converts the arguments of tasks to bytes, which the host keeps, and converts the bytes back.

If JSON can hold a task's arguments without a change, the host keeps the arguments as JSON. If the call has only
positional arguments, the JSON is a list. If the call also has keyword arguments, the JSON is an object with the list
and the keyword arguments. All other arguments stay in this instance's memory, and the host keeps only a number:
`{"closure": 7}`."""

import itertools
import json
from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

_encode = json.JSONEncoder(separators=(",", ":")).encode
_SCALARS = (str, int, bool, type(None))


class Closure(NamedTuple):
    """A function and its arguments, which stay in this instance's memory until the host runs the task."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


# An instance never uses a number twice, so that no request can run a closure of an earlier request.
_numbers = itertools.count(1)
_closures: dict[int, Closure] = {}


def lossy(value: Any) -> str | None:
    """Returns the type of the first value inside `value` that JSON cannot hold or would change. Returns None if JSON
    can hold `value` without a change."""
    kind = type(value)
    if kind in _SCALARS:
        return None
    if kind is float:
        return None if isfinite(value) else repr(value)
    if kind is list:
        inner = value
    elif kind is dict:
        for key in value:
            if type(key) is not str:
                return f"dict with keys of type {type(key).__name__}"
        inner = value.values()
    else:
        return kind.__qualname__
    return next((found for found in map(lossy, inner) if found is not None), None)


def write(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Returns the arguments as JSON. For each argument, `lossy` must have returned None."""
    value = {"args": args, "kwargs": kwargs} if kwargs else args
    return _encode(value).encode()


def read(text: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Reads arguments that `write` has written. Raises ValueError if the text has another form."""
    match json.loads(text):
        case list(args):
            return args, {}
        case {"args": list(args), "kwargs": dict(kwargs)}:
            return args, kwargs
    raise ValueError("the arguments are neither a list nor an object with `args` and `kwargs`")


def keep(closure: Closure) -> bytes:
    """Keeps a call in this instance's memory until the teardown, and returns the closure's number as JSON for the
    host."""
    number = next(_numbers)
    _closures[number] = closure
    return b'{"closure":%d}' % number


def is_closure(text: bytes) -> bool:
    """Returns whether `text` is the number of a closure, and not the arguments of a task."""
    return text.startswith(b'{"closure":')


def kept(text: bytes) -> Closure | None:
    """Returns the closure with the number in `text`. Returns None if this instance does not have the closure."""
    return _closures.get(json.loads(text)["closure"])


def forget(text: bytes | None = None) -> None:
    """Drops the closure with the number in `text`. Without `text`, drops all closures."""
    if text is None:
        _closures.clear()
    elif is_closure(text):
        _closures.pop(json.loads(text)["closure"], None)
