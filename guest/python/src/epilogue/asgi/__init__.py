"""Runs an ASGI app, such as FastAPI's or Starlette's, as a WASI HTTP component.

    from fastapi import BackgroundTasks, FastAPI
    from epilogue.asgi import serve

    app = FastAPI()
    ...
    Handler, Runner = serve(app)

The host runs the tasks of the app's `BackgroundTasks` after the last byte of the response, and records the state of
each task. The same file also runs under uvicorn. Under uvicorn, the classes `Handler` and `Runner` do nothing, and
FastAPI runs the tasks.
"""

from typing import Any

from epilogue import _host
from epilogue.asgi._check import AppError as AppError
from epilogue.asgi._check import check


def serve(app: Any, *, root_path: str | None = None) -> tuple[type, type]:
    """Returns the classes `Handler` and `Runner` of the component that serves `app`.

    The app's module must give the classes the names `Handler` and `Runner`:

        Handler, Runner = serve(app)

    `root_path` is the first part of the URL's path, which the app's own routes do not contain. The default is the part
    of the manifest's route before `/...`. For example, if the manifest has the route `/api/...`, the app's route
    `/items` serves the path `/api/items`. With `""`, the app's routes must contain the whole path.

    During the build, this function loads the modules that the app needs, and sends the app one request for `GET
    /.epilogue`, because a component cannot import new modules after the build.

    Raises AppError if the app has a WebSocket route.
    """
    if not _host.IN_COMPONENT:
        return type("Handler", (), {}), type("Runner", (), {})
    from epilogue._runner import Runner
    from epilogue.asgi import _build, _handler

    check(app)
    _build.prepare(app)
    return _handler.handler(app, root_path), Runner
