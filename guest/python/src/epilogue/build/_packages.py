"""Finds the packages of the active Python environment."""

import importlib.machinery
import sys
import sysconfig
from pathlib import Path


def search_path() -> list[Path]:
    """Returns the folders of `sys.path`, without the folders of Python itself, because a component has its own
    Python."""
    own = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    own |= {folder / "lib-dynload" for folder in own}
    folders = (Path(entry or ".").absolute() for entry in sys.path)
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir() and folder not in own]


def find_module(name: str) -> Path | None:
    """Returns the file or folder of the module `name`, if the environment has it."""
    parts = Path(*name.split("."))
    for folder in search_path():
        for suffix in ("", ".py", *importlib.machinery.EXTENSION_SUFFIXES):
            found = folder / f"{parts}{suffix}"
            if found.exists():
                return found
    return None


def is_native(file: Path) -> bool:
    """Returns whether the file of a module has machine code for this computer."""
    return file.name.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))


def packages_with_wit() -> list[str]:
    """Returns the names of other packages, such as spin_sdk, whose WIT componentize-py adds to each component."""
    files = (file for folder in search_path() for file in folder.glob("*/componentize-py.toml"))
    return sorted({file.parent.name for file in files} - {"epilogue"})
