"""The host's interfaces. Outside a component, as in an editor, in pytest or under uvicorn, there is no host."""

import importlib
import sys
from typing import Any

IN_COMPONENT: bool = sys.platform == "wasi"
"""Whether this code is in a component, or is being built into one."""

is_there = False
"""Whether there is a host to call: this code is in a component, and is not being built into one."""


def _interface(name: str) -> Any:
    return importlib.import_module(f"epilogue.bindings.imports.{name}") if IN_COMPONENT else None


queue = _interface("queue")
context = _interface("context")
types = _interface("epilogue_background_types")
stopping: Any = _interface("stop_signal").wait if IN_COMPONENT else None
