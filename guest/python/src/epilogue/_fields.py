"""Converts HTTP headers between Python and the host."""

from collections.abc import Iterable
from typing import Any

from epilogue.bindings.imports import wasi_http_types as http

# The headers about the HTTP/1.1 connection, which only the host may set.
_OF_THE_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te", b"trailer", b"host")
)


def to_wit(headers: Iterable[tuple[bytes, bytes]]) -> Any:
    """Converts headers to the host's type, without the headers about the connection. Raises componentize-py's `Err` if
    the host refuses a header."""
    return http.Fields.from_list([(n.decode("latin-1"), v) for n, v in headers if n.lower() not in _OF_THE_CONNECTION])


def from_wit(message: Any) -> list[tuple[bytes, bytes]]:
    """Returns the headers of a request or a response that the host has passed."""
    with message.get_headers() as fields:
        return [(name.lower().encode(), value) for name, value in fields.copy_all()]
