"""The host's errors of outgoing requests, as httpx's exceptions."""

from typing import Any

import httpx

_CONNECT = (
    "DnsTimeout DnsError DestinationNotFound DestinationUnavailable DestinationIpProhibited DestinationIpUnroutable "
    "ConnectionRefused TlsProtocolError TlsCertificateError TlsAlertReceived HttpRequestDenied"
)
_KINDS: dict[str, type[httpx.TransportError]] = {
    **dict.fromkeys(_CONNECT.split(), httpx.ConnectError),
    "ConnectionTimeout": httpx.ConnectTimeout,
    "ConnectionReadTimeout": httpx.ReadTimeout,
    "HttpResponseTimeout": httpx.ReadTimeout,
    "ConnectionWriteTimeout": httpx.WriteTimeout,
    "ConnectionLimitReached": httpx.PoolTimeout,
    "ConnectionTerminated": httpx.ReadError,
}


def exception(code: Any, request: httpx.Request) -> httpx.TransportError:
    """The exception for a value of the WIT's variant `error-code`."""
    case = type(code).__name__.removeprefix("ErrorCode_")
    # All others are about what one of the two sides has sent.
    wrong = httpx.LocalProtocolError if case.startswith("HttpRequest") else httpx.RemoteProtocolError
    return _KINDS.get(case, wrong)(_message(case, code, request.url), request=request)


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
