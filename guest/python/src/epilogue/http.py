"""An HTTP client for handlers and tasks: httpx, with a transport that sends the requests through the host.

    import httpx
    from epilogue.http import HTTPTransport

    async with httpx.AsyncClient(transport=HTTPTransport()) as client:
        await client.post("https://api.example.com/mails", json={"to": email})

An app of `epilogue.asgi` does not need this transport. In these apps, every `AsyncClient` of httpx and of its successor
httpx2 sends its requests through the host.

The component may send requests only to the servers in `allowed_outbound_hosts` of the manifest. For any other server,
httpx raises a `ConnectError`. The host makes the connections, and checks the servers' certificates with the root
certificates of Mozilla. Requests, responses, bodies and exceptions have the types of httpx. The timeouts `connect`,
`read` and `write` work as usual. The client has no pool of connections, so `limits` and the timeout `pool` have no
effect.

This module needs the extra `httpx`: `pip install 'epilogue[httpx]'`.
"""

import httpx

from epilogue import _host

if _host.IN_COMPONENT:
    from epilogue import _outgoing

    class HTTPTransport(httpx.AsyncBaseTransport):
        """A transport of httpx that sends requests through the host. Outside a component, this name stands for
        `httpx.AsyncHTTPTransport`."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            """Sends one request. httpx calls this method."""
            return await _outgoing.send(request)

else:
    HTTPTransport = httpx.AsyncHTTPTransport  # type: ignore[misc, assignment]
