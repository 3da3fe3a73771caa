"""Runs an ASGI app, such as FastAPI's or Starlette's, as a WASI HTTP component.

    from fastapi import BackgroundTasks, FastAPI
    from epilogue.asgi import serve

    app = FastAPI()
    ...
    Handler, Runner = serve(app)

The app's `BackgroundTasks` become tasks of the host. The host runs the tasks after the last byte of the response, and
records the state of each task. The same file runs under uvicorn. Under uvicorn, the classes `Handler` and `Runner` do
nothing, and FastAPI runs the tasks.
"""

from typing import Any

from epilogue import _host
from epilogue.asgi._check import AppError as AppError
from epilogue.asgi._check import check


def serve(app: Any, *, root_path: str | None = None) -> tuple[type, type]:
    """Returns the classes `Handler` and `Runner` of the component that serves `app`.

    The app's module must give the classes the names `Handler` and `Runner`:

        Handler, Runner = serve(app)

    `root_path` is the prefix of the URL under which the host serves the app. The app's routes do not contain the
    prefix. The default is the part of the manifest's route before `/...`. For example, an app with the route `/api/...`
    serves `/api/items` as `/items`. With `""`, the app sees the whole path.

    In the build, this function loads the modules that the app needs, and sends the app one request for `GET
    /.epilogue`. A component cannot import new modules after the build.

    Raises AppError if the app has a WebSocket route.
    """
    if not _host.IN_COMPONENT:
        return type("Handler", (), {}), type("Runner", (), {})
    from epilogue._runner import Runner
    from epilogue.asgi import _build, _handler

    check(app)
    _build.prepare(app)
    return _handler.handler(app, root_path), Runner
