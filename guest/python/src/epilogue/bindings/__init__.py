"""A placeholder for the generated bindings to the WIT. When componentize-py builds a component, it replaces this
package with the generated bindings."""

from typing import Any


def __getattr__(name: str) -> Any:
    raise AttributeError(f"epilogue.bindings has {name!r} only in a component: componentize-py generates it in the build")
