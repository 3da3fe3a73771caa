"""Background tasks for WASI HTTP components in Python, like FastAPI's `BackgroundTasks`. A handler adds tasks. The host
runs the tasks after it has sent the response.

An app of FastAPI, Starlette or any other ASGI framework needs these two lines, which `epilogue.asgi` describes:

    from epilogue.asgi import serve

    Handler, Runner = serve(app)

You can also import this package outside a component, for example in an editor, in pytest or under uvicorn. Outside a
component, there is no current request. In this case, `add_task` raises EnqueueError, and the methods `current` of the
contexts return None.
"""

import sys

from epilogue import _host
from epilogue._context import RequestContext, ResponseOutcome, Stop, TaskContext, TraceContext, stopping
from epilogue._errors import EnqueueError, EnqueueErrorKind
from epilogue._options import Backoff, FailurePolicy, RunWhen, TaskOptions
from epilogue._queue import BackgroundTasks
from epilogue._task import task, with_options
from epilogue._teardown import on_teardown

if _host.IN_COMPONENT:
    from epilogue import _calls, _shims
    from epilogue._runner import Runner as Runner

    _calls.install()
    _shims.install()
    # With this, Python writes each line to stdout at once. Otherwise, lines of other instances could come in between.
    sys.stdout.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
else:

    class Runner:  # type: ignore[no-redef]
        """Runs the tasks. The app's module must have this class under the name `Runner`. Outside a component, the class
        does nothing."""


__version__ = "0.1.0"

__all__ = [
    "BackgroundTasks",
    "Backoff",
    "EnqueueError",
    "EnqueueErrorKind",
    "FailurePolicy",
    "RequestContext",
    "ResponseOutcome",
    "RunWhen",
    "Runner",
    "Stop",
    "TaskContext",
    "TaskOptions",
    "TraceContext",
    "on_teardown",
    "stopping",
    "task",
    "with_options",
]
