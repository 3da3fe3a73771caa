"""Checks whether a component can serve the app."""

from collections.abc import Iterable, Iterator
from typing import Any


class AppError(Exception):
    """The error of an app that uses something that a component cannot have. The build raises this error."""


def check(app: Any) -> None:
    """Raises AppError if a component cannot serve the app."""
    for path, route in _routes("", getattr(app, "routes", ())):
        # The class is compared by its name, because an app of another framework does not have Starlette.
        if any(kind.__name__ == "WebSocketRoute" for kind in type(route).__mro__):
            raise AppError(
                f"the app has the WebSocket route {path}, and WASI HTTP has no WebSockets: remove the route, or serve it "
                "with uvicorn"
            )


def _routes(prefix: str, routes: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for route in routes:
        path = prefix + getattr(route, "path", "")
        yield path, route
        yield from _routes(path, getattr(route, "routes", None) or ())
        # FastAPI keeps an included router unchanged, in a route for this router.
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _routes(path + getattr(getattr(route, "include_context", None), "prefix", ""), included.routes)
