"""An HTTP client for handlers and tasks, which is httpx with a transport of the host.

    import httpx
    from epilogue.http import HTTPTransport

    async with httpx.AsyncClient(transport=HTTPTransport()) as client:
        await client.post("https://api.example.com/mails", json={"to": email})

An app of `epilogue.asgi` does not need this transport. In these apps, every `AsyncClient` of httpx and of its successor
httpx2 sends its requests through the host.

The component may send requests only to the servers that `allowed_outbound_hosts` in the manifest lists. The host
connects, and checks certificates with the root certificates of Mozilla. Requests, responses, bodies and exceptions have
the types of httpx. If the manifest does not allow a server, httpx raises a `ConnectError`. The timeouts `connect`,
`read` and `write` apply. The client has no pool of connections, so `limits` and the timeout `pool` have no effect.

This module needs the extra `httpx`: `pip install 'epilogue[httpx]'`.
"""

import httpx

from epilogue import _host

if _host.IN_COMPONENT:
    from epilogue import _outgoing

    class HTTPTransport(httpx.AsyncBaseTransport):
        """Sends requests through the host. Outside a component, this class is `httpx.AsyncHTTPTransport`."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            """Sends one request. httpx calls this method."""
            return await _outgoing.send(request)

else:
    HTTPTransport = httpx.AsyncHTTPTransport  # type: ignore[misc, assignment]
