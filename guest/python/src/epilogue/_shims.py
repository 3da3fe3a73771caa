"""Replaces `ssl` and threads, which componentize-py's Python lacks, with code that raises clear errors."""

import importlib.util
import sys
import threading
import types
from typing import Any


class _MissingError(OSError):
    """Replaces a class of `ssl`. Libraries can refer to the class, but cannot create an object of the class."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise OSError("a component has no `ssl`: use httpx.AsyncClient, whose requests the host sends, with TLS")


class _Ssl(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.isupper():
            return 0
        value = type(name, (_MissingError,), {})
        setattr(self, name, value)
        return value


def _start(self: threading.Thread) -> None:
    raise RuntimeError(f"a component has no threads, so {self.name} cannot start: use asyncio, or a background task")


def install() -> None:
    """Makes `import ssl` succeed. If the app then uses `ssl` or starts a thread, it gets an exception that says why
    this does not work."""
    if importlib.util.find_spec("_ssl") is None:
        sys.modules["ssl"] = _Ssl("ssl")
    threading.Thread.start = _start  # type: ignore[method-assign]
