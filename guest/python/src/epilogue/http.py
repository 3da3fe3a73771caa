"""An HTTP client for handlers and tasks: httpx, whose requests the host sends.

    import httpx
    from epilogue.http import HTTPTransport

    async with httpx.AsyncClient(transport=HTTPTransport()) as client:
        await client.post("https://api.example.com/mails", json={"to": email})

An app of `epilogue.asgi` does not need the transport: there, every `AsyncClient` of httpx and its successor httpx2 sends its
requests this way.

The component may send requests only to the servers that `allowed_outbound_hosts` in the manifest lists. The host
connects, and checks certificates with the root certificates of Mozilla. Requests, responses, bodies and exceptions are
those of httpx. If a server is not allowed, httpx raises a `ConnectError`. The timeouts `connect`, `read` and `write`
hold. There is no pool of connections, so `limits` and the timeout `pool` have no effect.

It needs the extra `httpx`: `pip install 'epilogue[httpx]'`.
"""

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
