"""Background tasks for WASI HTTP components in Python. A handler adds tasks, and the host runs them after it has sent the
response, like FastAPI's `BackgroundTasks`."""

__version__ = "0.1.0"
