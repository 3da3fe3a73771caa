"""The arguments of a task, as the host keeps them.

A task's arguments are JSON if JSON keeps them exactly: the list of the positional ones or, with keyword arguments, an object
with both. All other arguments stay in this instance's memory, and the host keeps their number: `{"closure": 7}`."""

import itertools
import json
from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

_encode = json.JSONEncoder(separators=(",", ":")).encode
_SCALARS = (str, int, bool, type(None))


class Closure(NamedTuple):
    """A call that stays in this instance's memory."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


# Never the same number twice in an instance, so that no request can run what an earlier one left behind.
_numbers = itertools.count(1)
_closures: dict[int, Closure] = {}


def lossy(value: Any) -> str | None:
    """The type of the first value inside `value` that JSON would lose or change. None if JSON keeps all of it."""
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
    """The arguments as JSON. They must not be lossy."""
    value = {"args": args, "kwargs": kwargs} if kwargs else args
    return _encode(value).encode()


def read(text: bytes) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that `write` has written. Raises ValueError if the text is something else."""
    match json.loads(text):
        case list(args):
            return args, {}
        case {"args": list(args), "kwargs": dict(kwargs)}:
            return args, kwargs
    raise ValueError("the arguments are neither a list nor an object with `args` and `kwargs`")


def keep(closure: Closure) -> bytes:
    """Keeps a call in this instance's memory until the teardown, and returns what the host keeps."""
    number = next(_numbers)
    _closures[number] = closure
    return b'{"closure":%d}' % number


def is_closure(text: bytes) -> bool:
    """Whether the host keeps a closure's number."""
    return text.startswith(b'{"closure":')


def kept(text: bytes) -> Closure | None:
    """The closure of this number. None if it is not in this instance."""
    return _closures.get(json.loads(text)["closure"])


def forget(text: bytes | None = None) -> None:
    """Drops one closure, or all of them."""
    if text is None:
        _closures.clear()
    elif is_closure(text):
        _closures.pop(json.loads(text)["closure"], None)
