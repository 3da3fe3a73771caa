"""Converts the host's errors of outgoing requests to the exceptions of httpx."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_CONNECT = (
    "DnsTimeout DnsError DestinationNotFound DestinationUnavailable DestinationIpProhibited DestinationIpUnroutable "
    "ConnectionRefused TlsProtocolError TlsCertificateError TlsAlertReceived HttpRequestDenied"
)
_KINDS = {
    **dict.fromkeys(_CONNECT.split(), "ConnectError"),
    "ConnectionTimeout": "ConnectTimeout",
    "ConnectionReadTimeout": "ReadTimeout",
    "HttpResponseTimeout": "ReadTimeout",
    "ConnectionWriteTimeout": "WriteTimeout",
    "ConnectionLimitReached": "PoolTimeout",
    "ConnectionTerminated": "ReadError",
}


def library(request: httpx.Request) -> Any:
    """Returns the package that has made the request: httpx or its successor httpx2."""
    *_, kind, _object = type(request).__mro__
    return sys.modules[kind.__module__.partition(".")[0]]


def exception(code: Any, request: httpx.Request) -> httpx.TransportError:
    """Converts the host's error, a value of the WIT's variant `error-code`, to httpx's exception."""
    case = type(code).__name__.removeprefix("ErrorCode_")
    # All errors that are not listed are about data that the app or the server has sent.
    wrong = "LocalProtocolError" if case.startswith("HttpRequest") else "RemoteProtocolError"
    kind: type[httpx.TransportError] = getattr(library(request), _KINDS.get(case, wrong))
    return kind(_message(case, code, request.url), request=request)


def _message(case: str, code: Any, url: httpx.URL) -> str:
    origin = f"{url.scheme}://{url.netloc.decode()}"
    if case == "HttpRequestDenied":
        return (
            f"requests to {origin} are not allowed: add it to the component in the manifest, as "
            f'allowed_outbound_hosts = ["{origin}"]'
        )
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in case).strip()
    detail = getattr(code, "value", None)
    return f"{origin}: {words}" + (f": {detail}" if detail is not None else "")
