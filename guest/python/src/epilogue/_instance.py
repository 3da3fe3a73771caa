"""What happens once in each instance, before its first request or task."""

import os
import random
import sys
from collections.abc import Awaitable, Callable

_callbacks: list[Callable[[], Awaitable[None]]] = []
_has_started = False


def on_start(callback: Callable[[], Awaitable[None]]) -> None:
    """Registers what runs before the instance's first request or task."""
    _callbacks.append(callback)


async def start() -> None:
    """Runs what was registered, in the instance's first call. If it raises, the next call tries again."""
    global _has_started
    if _has_started:
        return
    # The build's seed is in every instance.
    random.seed()
    # The host drops an instance that opens something at a later request and keeps it, so these are opened at the first.
    for stream in (sys.stdout, sys.stderr):
        os.write(stream.fileno(), b"")
    for callback in _callbacks:
        await callback()
    _has_started = True
