"""Runs callbacks once in each instance, before the instance's first request or task."""

import os
import random
import sys
from collections.abc import Awaitable, Callable

_callbacks: list[Callable[[], Awaitable[None]]] = []
_has_started = False


def on_start(callback: Callable[[], Awaitable[None]]) -> None:
    """Registers a callback that runs before the instance's first request or task."""
    _callbacks.append(callback)


async def start() -> None:
    """Runs the registered callbacks if this is the instance's first call. If a callback raises an exception, the next
    call runs the callbacks again."""
    global _has_started
    if _has_started:
        return
    # Each instance needs a new seed, because the snapshot of the build contains one seed for all instances.
    random.seed()
    # This opens stdout and stderr at the first request. If an instance opens a handle at a later request and does not
    # close it, the host drops the instance.
    for stream in (sys.stdout, sys.stderr):
        os.write(stream.fileno(), b"")
    for callback in _callbacks:
        await callback()
    _has_started = True
