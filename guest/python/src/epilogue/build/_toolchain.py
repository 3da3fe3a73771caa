"""The Rust toolchain that compiles pydantic-core."""

import shutil
import subprocess
from pathlib import Path

from epilogue.build._errors import BuildError, say


def provide(target: str) -> None:
    """Checks that a Rust toolchain is installed. If Rust's standard library for `target` is missing, installs it."""
    for tool in ("cargo", "rustc"):
        if shutil.which(tool) is None:
            raise BuildError(
                f"pydantic-core must be compiled for WebAssembly once, and there is no {tool}. Install Rust through rustup, "
                "and run the build again"
            )
    if _has(target):
        return
    if shutil.which("rustup") is None:
        raise BuildError(
            f"the Rust toolchain has no {target}, and there is no rustup to add it. Install the target's standard library, "
            "a package such as libstd-rust-dev-wasm32, or install Rust through rustup"
        )
    say(f"installing the Rust target {target}: rustup target add {target}")
    if subprocess.run(("rustup", "target", "add", target), check=False).returncode != 0:
        raise BuildError(f"`rustup target add {target}` failed; see its messages above")


def _has(target: str) -> bool:
    command = ("rustc", "--print", "target-libdir", "--target", target)
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.returncode == 0 and Path(found.stdout.strip()).is_dir()
