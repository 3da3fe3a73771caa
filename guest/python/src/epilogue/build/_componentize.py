"""Runs componentize-py, and explains why it fails."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from epilogue.build._errors import BuildError, say
from epilogue.build._packages import find_module, is_native, packages_with_wit

_WORLD = "epilogue:background/service"
# componentize-py reports all errors as an AssertionError. The text of this error has the traceback of the app, if there
# is one, and then the cause.
_DRIVER = """
import sys, componentize_py
try:
    componentize_py.script()
except AssertionError as error:
    sys.exit(str(error).partition("\\n\\nCaused by:")[0] or str(error))
"""


def run(module: str, output: Path, folders: list[Path]) -> None:
    """Builds the component of the module `module`, and writes it to `output`. componentize-py takes all modules from
    `folders`."""
    if find_module(module) is None:
        raise BuildError(f"there is no module {module} in {Path.cwd()}: run the build in the folder of {module}.py")
    say(f"building {output} from the module {module}")
    began = time.monotonic()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".epilogue-") as scratch:
        package, app = Path(scratch, "package"), Path(scratch, "app")
        # In a clone of Epilogue, the package's folder `wit` is a symbolic link, which componentize-py does not follow.
        shutil.copytree(Path(__file__).parents[1], package / "epilogue")
        # componentize-py also searches the subfolders. If one of them is a virtual environment, it may have packages
        # with the same names.
        shutil.copytree(Path.cwd(), app, ignore=_not_the_app)
        copies = {Path.cwd(): app}
        folders = [package, *folders]
        # componentize-py adds the packages of the folder in VIRTUAL_ENV by itself, but `folders` already has these
        # packages.
        Path(scratch, "lib", "site-packages").mkdir(parents=True)
        built = Path(scratch, "built.wasm")
        paths = [part for folder in folders for part in ("--python-path", str(copies.get(folder, folder)))]
        arguments = ["--quiet", "--world", _WORLD, "componentize", *paths, "--output", str(built), module]
        ended = subprocess.run(
            [sys.executable, "-c", _DRIVER, *arguments],
            env=os.environ | {"VIRTUAL_ENV": scratch, "RUST_BACKTRACE": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode != 0:
            raise BuildError(_explain(module, _with_real_paths(ended.stderr.strip(), folders)))
        sys.stderr.write(ended.stdout + ended.stderr)
        # This replaces the file in one step, because a host with --watch may read the file at any time.
        built.replace(output)
    size = output.stat().st_size / 1e6
    say(f"built {output}, {size:.0f} MB, in {time.monotonic() - began:.0f} s")


def _not_the_app(folder: str, names: list[str]) -> set[str]:
    """Returns the names in a folder that do not belong to the app: virtual environments, caches and built
    components."""
    hidden = {name for name in names if name.startswith(".") or name in ("__pycache__", "node_modules")}
    environments = {name for name in names if Path(folder, name, "pyvenv.cfg").is_file()}
    return hidden | environments | {name for name in names if name.endswith(".wasm")}


def _with_real_paths(traceback: str, folders: list[Path]) -> str:
    """Replaces the paths in a traceback of the app with the real paths. In the component, the name of each folder is a
    number."""

    def real(found: re.Match[str]) -> str:
        number = int(found[1])
        return f'File "{folders[number]}/' if number < len(folders) else found[0]

    return re.sub(r'File "/(\d+)/', real, traceback)


def _explain(module: str, traceback: str) -> str:
    last = traceback.rpartition("\n")[2]
    kind, _, text = last.partition(": ")
    if kind == "epilogue.asgi.AppError":
        return text
    others = packages_with_wit()
    if others:
        return (
            f"the module {module} cannot be built in an environment with {', '.join(others)}: componentize-py cannot join "
            f"the WIT of {others[0]} with that of epilogue. Remove the package from {sys.prefix}:\n\n{traceback}"
        )
    missing = re.fullmatch(r"No module named '([\w.]+)'", text)
    reason = _why_missing(missing[1]) if missing else None
    return f"the module {module} cannot be loaded in a component{reason or ''}:\n\n{traceback}"


def _why_missing(name: str) -> str | None:
    file = find_module(name)
    if file is not None and is_native(file):
        top = name.partition(".")[0]
        package = importlib.metadata.packages_distributions().get(top, [top])[0]
        return (
            f", because it uses the package {package}. {package} has machine code ({file.name}) that "
            "cannot run in WebAssembly. Use another package, or import it only outside the component"
        )
    if name.partition(".")[0] in sys.stdlib_module_names:
        return f", because the Python of a component has no module {name}"
    if file is None:
        return f", because {name} is not installed in {sys.prefix}. Is the app's virtual environment active?"
    return None
