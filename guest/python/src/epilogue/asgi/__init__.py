"""Runs an ASGI app, such as FastAPI's or Starlette's, as a WASI HTTP component.

    from fastapi import BackgroundTasks, FastAPI
    from epilogue.asgi import serve

    app = FastAPI()
    ...
    Handler, Runner = serve(app)

The app's `BackgroundTasks` become tasks of the request. They run after the last byte of the response, each with a recorded
state. The same file runs under uvicorn, where the two classes do nothing and the tasks are FastAPI's own.
"""

from typing import Any

from epilogue import _host
from epilogue.asgi._check import AppError as AppError
from epilogue.asgi._check import check


def serve(app: Any, *, root_path: str | None = None) -> tuple[type, type]:
    """Returns the classes `Handler` and `Runner` of the component that serves `app`.

    The app's module must give them these two names:

        Handler, Runner = serve(app)

    `root_path` is the prefix of the URL under which the app is served. The app's routes do not contain it. Default: the
    part of the route in the manifest before `/...`, so an app with the route `/api/...` serves `/api/items` as `/items`.
    `""` makes the app see the whole path.

    In the build this function loads what the app needs, and sends it one request for `GET /.epilogue`, because a component
    can import nothing later.

    Raises AppError if the app has a WebSocket route.
    """
    if not _host.IN_COMPONENT:
        return type("Handler", (), {}), type("Runner", (), {})
    from epilogue._runner import Runner
    from epilogue.asgi import _build, _handler

    check(app)
    _build.prepare(app)
    return _handler.handler(app, root_path), Runner
