"""The error of a build, and what a build prints."""

import sys


class BuildError(Exception):
    """The component cannot be built. The text says why, and what to do."""


def say(message: str) -> None:
    """Prints what the build does."""
    print(f"epilogue: {message}", file=sys.stderr, flush=True)
