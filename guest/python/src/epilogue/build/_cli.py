"""The command line of `python -m epilogue`."""

import argparse
import sys
from pathlib import Path

from epilogue.build import BuildError, build


def main() -> None:
    """Runs the command that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m epilogue", description="Builds Python apps for `epilogue up`.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("build", help="build a component", description="Builds a component from a Python module.")
    command.add_argument("module", metavar="MODULE", help="module that has the classes Handler and Runner, such as `app`")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="file to write; the default is MODULE.wasm")
    arguments = parser.parse_args()
    module: str = arguments.module.removesuffix(".py")
    try:
        build(module, arguments.output or Path(f"{module}.wasm"))
    except BuildError as error:
        sys.exit(f"epilogue: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
