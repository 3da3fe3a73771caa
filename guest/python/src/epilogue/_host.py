"""Imports the host's interfaces. Outside a component, for example in an editor, in pytest or under uvicorn, there is no
host."""

import importlib
import sys
from typing import Any

IN_COMPONENT: bool = sys.platform == "wasi"
"""Whether this code runs in a component, or in the build of a component."""

is_there = False
"""Whether this code can call the host. The value is true in a running component, and false in the build."""


def _interface(name: str) -> Any:
    return importlib.import_module(f"epilogue.bindings.imports.{name}") if IN_COMPONENT else None


queue = _interface("queue")
context = _interface("context")
types = _interface("epilogue_background_types")
stopping: Any = _interface("stop_signal").wait if IN_COMPONENT else None
