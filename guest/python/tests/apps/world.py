"""All apps of the FastAPI tests in one component, because each component takes long to build and to compile. The variable
APP chooses one. `app` is that of `epilogue new --python`.
"""

import os
from typing import Any

import app as template
import ported
import shop

from epilogue.asgi import serve

APPS = {"app": template.app, "ported": ported.app, "shop": shop.app}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await APPS[os.environ.get("APP", "shop")](scope, receive, send)


Handler, Runner = serve(app)
