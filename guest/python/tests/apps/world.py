"""Several apps in one component, because each component takes long to build and to compile. The variable APP chooses one.
`app` is that of `epilogue new --python`, and `asgi_app` that of `epilogue new --python --plain`.
"""

import os
from typing import Any

import app as template
import asgi_app  # type: ignore[import-not-found]
import ported
import shop

from epilogue.asgi import serve

APPS = {"app": template.app, "asgi_app": asgi_app.app, "ported": ported.app, "shop": shop.app}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await APPS[os.environ.get("APP", "shop")](scope, receive, send)


Handler, Runner = serve(app)
