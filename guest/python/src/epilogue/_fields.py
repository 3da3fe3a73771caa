"""HTTP headers, as the host takes them."""

from collections.abc import Iterable
from typing import Any

from epilogue.bindings.imports import wasi_http_types as http

# What HTTP/1.1 says about the connection is the host's.
_OF_THE_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te", b"trailer", b"host")
)


def to_wit(headers: Iterable[tuple[bytes, bytes]]) -> Any:
    """Converts headers without those of the connection. Raises componentize-py's `Err` if the host refuses one."""
    return http.Fields.from_list([(n.decode("latin-1"), v) for n, v in headers if n.lower() not in _OF_THE_CONNECTION])


def from_wit(message: Any) -> list[tuple[bytes, bytes]]:
    """The headers of a request or a response of the host's."""
    with message.get_headers() as fields:
        return [(name.lower().encode(), value) for name, value in fields.copy_all()]
