"""Checks whether a component can serve the app."""

from collections.abc import Iterable, Iterator
from typing import Any


class AppError(Exception):
    """The error that the build raises if the app uses something that a component cannot have."""


def check(app: Any) -> None:
    """Raises AppError if a component cannot serve the app."""
    for path, route in _routes("", getattr(app, "routes", ())):
        # This code compares the name of the class, because Starlette is not installed if the app uses another
        # framework.
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
        # FastAPI represents an included router as one route, which contains the router.
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _routes(path + getattr(getattr(route, "include_context", None), "prefix", ""), included.routes)
