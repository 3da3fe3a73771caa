"""An HTTP client for handlers and tasks: httpx, whose requests the host sends.

    import httpx
    from epilogue.http import HTTPTransport

    async with httpx.AsyncClient(transport=HTTPTransport()) as client:
        await client.post("https://api.example.com/mails", json={"to": email})

An app of `epilogue.asgi` does not need the transport: there, every `httpx.AsyncClient` sends its requests this way.

The component may send requests only to the servers that `allowed_outbound_hosts` in the manifest lists. The host connects,
and checks certificates with the root certificates of Mozilla. Requests, responses and their bodies are those of httpx, and
so are the exceptions: a server that is not allowed is a `ConnectError`. The timeouts `connect`, `read` and `write` hold.
There is no pool of connections, so `limits` and the timeout `pool` have no effect.

It needs the extra `httpx`: `pip install 'epilogue[httpx]'`.
"""

from typing import Any, NoReturn

import httpx

from epilogue import _host

if _host.IN_COMPONENT:
    from epilogue import _outgoing

    class HTTPTransport(httpx.AsyncBaseTransport):
        """Sends requests through the host. Outside a component it is `httpx.AsyncHTTPTransport`."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            """Sends one request. httpx calls it."""
            return await _outgoing.send(request)

else:
    HTTPTransport = httpx.AsyncHTTPTransport  # type: ignore[misc, assignment]

# What only a client with sockets of its own can do.
_OF_SOCKETS = ("cert", "proxy", "uds", "local_address", "socket_options")


def install() -> None:
    """Makes the transport that of every `httpx.AsyncClient`."""
    default: Any = httpx.AsyncHTTPTransport
    default.__init__ = _check_options
    default.__aenter__ = httpx.AsyncBaseTransport.__aenter__
    default.__aexit__ = httpx.AsyncBaseTransport.__aexit__
    default.aclose = httpx.AsyncBaseTransport.aclose
    default.handle_async_request = HTTPTransport.handle_async_request
    blocking: Any = httpx.HTTPTransport
    blocking.__init__ = _refuse


def _check_options(_: object, verify: object = True, **options: object) -> None:
    unsupported = [name for name in _OF_SOCKETS if options.get(name) is not None]
    if verify is not True:
        unsupported.insert(0, "verify")
    if unsupported:
        raise NotImplementedError(
            f"httpx cannot have {', '.join(unsupported)} in a component: the host connects, and checks certificates"
        )


def _refuse(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError("a component cannot wait in a blocking call of httpx: use httpx.AsyncClient, and `await`")
