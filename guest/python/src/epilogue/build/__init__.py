"""Builds a component from a Python module. The command line is `python -m epilogue build MODULE`."""

from pathlib import Path

from epilogue.build import _componentize, _pydantic
from epilogue.build._errors import BuildError
from epilogue.build._packages import search_path

__all__ = ["BuildError", "build"]


def build(module: str, output: Path) -> None:
    """Builds the component of the module `module`, and writes it to `output`.

    The module and all modules that it imports come from the folders of `sys.path`. If pydantic is installed, the first
    build also compiles pydantic-core for WebAssembly, which takes some minutes. The build keeps the compiled
    pydantic-core in the user's cache folder.

    Raises BuildError if the component cannot be built. The text of the error says why, and what to do.
    """
    folders = search_path()
    compiled = _pydantic.for_webassembly()
    _componentize.run(module, output, [compiled, *folders] if compiled else folders)
