"""The error of a build, and the function that prints the progress of a build."""

import sys


class BuildError(Exception):
    """The error of a failed build. The text says why the build failed, and what to do."""


def say(message: str) -> None:
    """Prints a message about the build to stderr."""
    print(f"epilogue: {message}", file=sys.stderr, flush=True)
