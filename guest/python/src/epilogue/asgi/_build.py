"""Prepares the app during the build, because a component cannot import new modules later."""

import asyncio
import gc
import importlib
import pkgutil
import sys
from typing import Any

from epilogue import _calls
from epilogue.asgi._scope import ASGI

# Packages whose modules import other modules of the package only when they need them, for example at a request.
_LAZY_PACKAGES = (
    "anyio",
    "starlette",
    "fastapi",
    "pydantic",
    "pydantic_core",
    "python_multipart",
    "email_validator",
    "httpx",
    "httpx2",
)
# Modules of the standard library that other modules import only when they need them, for example at a request.
_LAZY_MODULES = ("encodings.idna", "encodings.latin_1", "encodings.ascii", "encodings.utf_16", "asyncio.taskgroups")
_NOT_FOR_APPS = (
    "testclient",
    "_trio",
    "pytest_plugin",
    "mypy",
    "plugin",
    "__main__",
    "cli",
    "deprecated",
    "v1",
    "wsgi",
)


def prepare(app: Any) -> None:
    """Loads the modules that the app needs at its first request, because a component cannot import new modules
    later."""
    for name in _LAZY_MODULES:
        importlib.import_module(name)
    for name in _LAZY_PACKAGES:
        if name in sys.modules:
            _import_all(name)
    if "anyio" in sys.modules:
        _run_threads_at_once()
    for name in {"httpx", "httpx2"} & sys.modules.keys():
        from epilogue import _httpx

        _httpx.install(sys.modules[name])
    if "starlette.formparsers" in sys.modules:
        # Starlette puts larger uploads into files, and a component has no folder for them.
        sys.modules["starlette.formparsers"].MultiPartParser.spool_max_size = sys.maxsize
    if hasattr(app, "openapi"):
        app.openapi()
    try:
        _calls.run_in_build(_warm_up(app))
    except (Exception, asyncio.CancelledError) as error:
        print(
            f"epilogue: the request GET /.epilogue in the build ended with {_calls.describe(error)}. This has no "
            "consequence if the app needs its lifespan or the network for it.",
            file=sys.stderr,
        )
    # From now on, the garbage collector ignores the objects that exist already. Otherwise, each collection would write
    # to these objects, and each instance would get its own copy of their memory.
    gc.collect()
    gc.freeze()


def _run_threads_at_once() -> None:
    """Makes anyio call a function at once, instead of in a thread. Starlette calls `def` handlers with anyio, and a
    component has no threads."""
    from anyio._backends import _asyncio

    async def run_at_once(_: Any, function: Any, args: tuple[Any, ...], *__: Any, **___: Any) -> Any:
        return function(*args)

    _asyncio.AsyncIOBackend.run_sync_in_worker_thread = classmethod(run_at_once)  # type: ignore[assignment]


def _import_all(package: str) -> None:
    for found in pkgutil.walk_packages(sys.modules[package].__path__, package + "."):
        if not any(part in _NOT_FOR_APPS for part in found.name.split(".")):
            try:
                importlib.import_module(found.name)
            except Exception:  # noqa: S112
                # The module needs a package that is not installed, or that a component cannot have.
                continue


async def _warm_up(app: Any) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: dict[str, Any]) -> None:
        return

    scope = {
        "type": "http",
        "asgi": ASGI,
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/.epilogue",
        "raw_path": b"/.epilogue",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": None,
        "server": ("localhost", 80),
        "state": {},
    }
    await app(scope, receive, send)
