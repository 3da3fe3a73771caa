"""Edits the sections of a WebAssembly module."""

import re
from collections.abc import Iterator

_HEADER = 8
_CUSTOM = 0
_TYPES = "component-type"
# Rust's standard library for `wasm32-wasip2` contains the types of all interfaces of WASI 0.2. componentize-py would
# import all these interfaces, also wasi:http@0.2, which the host does not have. This pattern matches the interfaces
# that Rust's standard library really calls.
CALLED = r"component-type:wit-bindgen:[\w.]+:wasi:cli@[\w.]+:imports:.*"


def drop_component_types(module: bytes) -> bytes:
    """Returns the module without the types of the interfaces that the module never calls."""
    sections = (section for name, section in _sections(module) if not name.startswith(_TYPES) or re.fullmatch(CALLED, name))
    return module[:_HEADER] + b"".join(sections)


def _sections(module: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields the name and the bytes of each section. The name is empty if the section is not a custom section."""
    at = _HEADER
    while at < len(module):
        size, content = _number(module, at + 1)
        end = content + size
        name = ""
        if module[at] == _CUSTOM:
            length, start = _number(module, content)
            name = module[start : start + length].decode()
        yield name, module[at:end]
        at = end


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Reads a LEB128 number, and returns the number and the position after the number."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
