"""The ASGI scope of a request."""

from typing import Any
from urllib.parse import unquote

from epilogue import _fields
from epilogue.bindings.imports import wasi_http_types as http

# The version of ASGI that uvicorn announces. If the version were 2.4 or higher, Starlette would not run the background
# tasks of a streamed response whose client has left.
ASGI = {"version": "3.0", "spec_version": "2.3"}


def http_scope(request: Any, root_path: str | None, state: dict[str, Any]) -> dict[str, Any]:
    """Returns the ASGI scope of a request. WASI does not tell the guest the version of HTTP, so `http_version` is
    always 1.1."""
    path, _, query = (request.get_path_with_query() or "/").partition("?")
    headers = _fields.from_wit(request)
    known = dict(headers)
    # The headers that the host adds contain most of the data. This saves calls to the host.
    host = known.get(b"host", b"").decode("latin-1")
    if not host:
        host = request.get_authority() or "localhost"
        headers.insert(0, (b"host", host.encode()))
    if root_path is None:
        root_path = _route_prefix(path, known)
    scheme = _scheme(request, known)
    return {
        "type": "http",
        "asgi": ASGI,
        "http_version": "1.1",
        "method": _method(request.get_method()),
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": root_path,
        "headers": headers,
        "client": _address(known.get(b"spin-client-addr", b"").decode("latin-1"), None),
        "server": _address(host, 443 if scheme == "https" else 80),
        "state": state.copy(),
    }


def _scheme(request: Any, headers: dict[bytes, bytes]) -> str:
    url = headers.get(b"spin-full-url")
    is_https = isinstance(request.get_scheme(), http.Scheme_Https) if url is None else url.startswith(b"https:")
    return "https" if is_https else "http"


def _method(method: Any) -> str:
    name = type(method).__name__.removeprefix("Method_")
    return str(method.value) if name == "Other" else name.upper()


def _route_prefix(path: str, headers: dict[bytes, bytes]) -> str:
    """Returns the first part of the request's path, up to the part that `/...` in the route matches. Returns an empty
    text if the route has no `/...`."""
    if not headers.get(b"spin-matched-route", b"").endswith(b"/..."):
        return ""
    rest = headers.get(b"spin-path-info", b"").decode("latin-1")
    return unquote(path.removesuffix(rest).rstrip("/")) if rest else unquote(path.rstrip("/"))


def _address(text: str, default_port: int | None) -> tuple[str, int] | None:
    """Returns the host and the port of an address such as `127.0.0.1:80`, `[::1]:80` or `example.com`."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit():
        return host.strip("[]"), int(port)
    return (text.strip("[]"), default_port) if text and default_port is not None else None
