"""The generated bindings to the WIT. componentize-py puts its own package in this place when it builds a component."""

from typing import Any


def __getattr__(name: str) -> Any:
    raise AttributeError(f"epilogue.bindings has {name!r} only in a component: componentize-py generates it in the build")
