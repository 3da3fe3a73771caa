"""Background tasks for WASI HTTP components in Python. A handler adds tasks, and the host runs them after it has sent the
response, like FastAPI's `BackgroundTasks`.

An app of FastAPI, Starlette or any other ASGI framework needs two lines, see `epilogue.asgi`:

    from epilogue.asgi import serve

    Handler, Runner = serve(app)

You can import everything outside a component too, such as in an editor, in pytest or under uvicorn. There, no request
exists: `add_task` raises EnqueueError, and the contexts are None.
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
    # A line leaves as a whole. Other instances print to the same stdout.
    sys.stdout.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
else:

    class Runner:  # type: ignore[no-redef]
        """Runs the tasks. The app's module must have this class under this name. Outside a component it does nothing."""


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
