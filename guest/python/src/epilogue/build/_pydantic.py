"""Compiles pydantic-core for WebAssembly, because nobody publishes pydantic-core for WebAssembly. The compiled package
stays in the user's cache folder.

The compilation needs an ordinary Rust toolchain. It makes a shared library, which componentize-py links with its
Python.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from epilogue.build import _sections, _toolchain
from epilogue.build._errors import BuildError, say

# The versions of pydantic-core that we have tested. For each version: the version of pydantic, and the SHA-256 of
# pydantic-core's source package.
_SDISTS = {
    "2.50.5": ("2.14.4", "1e740886083ff95530d694e6a3f09ed914bcf92a496d16acd307c6c3484fc36d"),
}
# Tells pyo3 about the Python in the component. Without this file, pyo3 would try to run that Python.
_PYTHON = """\
implementation=CPython
version=3.14
shared=true
abi3=false
lib_name=python3.14
pointer_width=32
build_flags=
suppress_build_script_link_lines=true
"""
# The linker makes a shared library. Later, componentize-py resolves all symbols that the library needs, including those
# of libc. So the linker gets an empty libc.
_RUSTFLAGS = (
    "--cfg=pyo3_disable_reference_pool",
    "-Clink-self-contained=n",
    "-Clink-args=--skip-wit-component",
    "-Clink-args=-L{empty_libc}",
    "-Clink-args=-shared",
    "-Clink-args=--experimental-pic",
    "-Clink-args=--unresolved-symbols=import-dynamic",
)
_TARGET = "wasm32-wasip2"
_COMMAND = ("cargo", "rustc", "--locked", "--release", "--lib", "--crate-type", "cdylib", "--target", _TARGET)
_LIBRARY = "_pydantic_core.cpython-314-wasm32-wasi.so"
_EMPTY_ARCHIVE = b"!<arch>\n"


def for_webassembly() -> Path | None:
    """Returns a folder with pydantic-core's package, compiled for WebAssembly. Returns None if pydantic-core is not
    installed.

    The first call compiles pydantic-core. If another process is already compiling pydantic-core, the call waits for
    that process.
    """
    try:
        version = importlib.metadata.version("pydantic-core")
    except importlib.metadata.PackageNotFoundError:
        return None
    if version not in _SDISTS:
        supported = ", ".join(f"pydantic=={pydantic}" for pydantic, _ in _SDISTS.values())
        raise BuildError(
            f"pydantic-core {version} is installed, and this version of epilogue cannot compile it for WebAssembly. Install "
            f"a version that it can compile: pip install {supported}"
        )
    folder = _cache() / f"pydantic-core-{version}-{_key(version)}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _make(version, folder)
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "epilogue"


def _key(version: str) -> str:
    """Returns a text that identifies the compiled package in the cache. The text changes if the source package or the
    way of compiling changes."""
    recipe = "\0".join((*_SDISTS[version], _PYTHON, *_RUSTFLAGS, *_COMMAND, _sections.CALLED))
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build, which compiles pydantic-core")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(version: str, folder: Path) -> None:
    _toolchain.provide(_TARGET)
    say(f"compiling pydantic-core {version} for WebAssembly, once: this takes about three minutes")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".pydantic-core-") as scratch:
        source = _unpack(_download(version, Path(scratch)))
        library = _compile(source, Path(scratch))
        # The Python files come from the source package, because the installed package contains the library for this
        # computer.
        result = Path(scratch, "result")
        package = shutil.copytree(source / "python" / "pydantic_core", result / "pydantic_core")
        (package / _LIBRARY).write_bytes(_sections.drop_component_types(library.read_bytes()))
        # This renames the folder when it is complete, so that other builds never see an incomplete folder.
        result.rename(folder)
    say(f"compiled pydantic-core in {time.monotonic() - began:.0f} s, and kept it in {folder}")


def _download(version: str, scratch: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise BuildError("pip is needed to download the source of pydantic-core: run `python -m ensurepip`")
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"pydantic-core=={version} --hash=sha256:{_SDISTS[version][1]}\n")
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", "pydantic-core", "--require-hashes")
    command = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(wanted), "--dest", str(scratch)]
    downloaded = subprocess.run(command, capture_output=True, text=True, check=False)
    archive = scratch / f"pydantic_core-{version}.tar.gz"
    if downloaded.returncode != 0 or not archive.is_file():
        raise BuildError(f"pip cannot download the source of pydantic-core {version}:\n{downloaded.stderr.strip()}")
    return archive


def _unpack(archive: Path) -> Path:
    with tarfile.open(archive) as files:
        files.extractall(archive.parent, filter="data")
    return archive.with_name(archive.name.removesuffix(".tar.gz"))


def _compile(source: Path, scratch: Path) -> Path:
    """Runs cargo, shows its progress to the user, and returns the library."""
    empty_libc, python, target = scratch / "libc", scratch / "python.txt", scratch / "target"
    empty_libc.mkdir()
    (empty_libc / "libc.a").write_bytes(_EMPTY_ARCHIVE)
    python.write_text(_PYTHON)
    environment = dict(os.environ)
    environment.pop("CARGO_BUILD_TARGET", None)
    environment |= {
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(_RUSTFLAGS).format(empty_libc=empty_libc),
        "CARGO_TARGET_DIR": str(target),
        "PYO3_CONFIG_FILE": str(python),
    }
    compiled = subprocess.run(
        _COMMAND, cwd=source, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
    )
    if compiled.returncode != 0:
        raise BuildError(f"cargo cannot compile pydantic-core: it ended with {compiled.returncode}; see its messages above")
    return target / _TARGET / "release" / "_pydantic_core.wasm"
