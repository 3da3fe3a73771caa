"""Makes httpx in an app of `epilogue.asgi` send its requests through the host."""

from typing import Any, NoReturn

from epilogue import _outgoing

# The options of httpx that work only if httpx opens its own sockets.
_OF_SOCKETS = ("cert", "proxy", "uds", "local_address", "socket_options")


def install(library: Any) -> None:
    """Replaces the transports of httpx or httpx2, so that the requests of every `AsyncClient` go through the host."""
    default, base = library.AsyncHTTPTransport, library.AsyncBaseTransport
    default.__init__ = _check_options
    default.__aenter__, default.__aexit__, default.aclose = base.__aenter__, base.__aexit__, base.aclose
    default.handle_async_request = _handle
    library.HTTPTransport.__init__ = _refuse


async def _handle(_: object, request: Any) -> Any:
    return await _outgoing.send(request)


def _check_options(_: object, verify: object = True, **options: object) -> None:
    unsupported = [name for name in _OF_SOCKETS if options.get(name) is not None]
    if verify is not True:
        unsupported.insert(0, "verify")
    if unsupported:
        raise NotImplementedError(
            f"httpx cannot have {', '.join(unsupported)} in a component: the host connects, and checks certificates"
        )


def _refuse(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError("a component cannot wait in a blocking call of httpx: use `AsyncClient`, and `await`")
