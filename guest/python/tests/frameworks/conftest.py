"""Builds the FastAPI apps in `../apps` into one component."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import compose
from conftest import serve as serve_wasm

from epilogue.testing import Host

APPS = Path(__file__).parents[1] / "apps"
TEMPLATES = Path(__file__).parents[4] / "host" / "templates"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project like that of `epilogue new --python`, whose component has all apps."""
    for package in ("fastapi", "uvicorn"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install '.[dev]'")
    if not (os.environ.get("EPILOGUE") or shutil.which("epilogue")):
        pytest.skip("there is no command `epilogue`: install it, or set the variable EPILOGUE to its path")
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(TEMPLATES / "fastapi", folder, dirs_exist_ok=True)
    (folder / "asgi_app.py").write_text(renamed(TEMPLATES / "asgi" / "app.py"))
    shutil.copytree(APPS, folder, dirs_exist_ok=True)
    with (folder / "spin.toml").open("a") as manifest:
        manifest.write('[component.my-app.environment]\nAPP = "app"\n')
    command = [sys.executable, "-m", "epilogue", "build", "world", "--output", "build/app.wasm"]
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603
    return folder


def renamed(file: Path) -> str:
    """A file of the plain template. Both templates have a module `app`, and a task with a name of its own."""
    return file.read_text().replace('"app:', '"asgi_app:').replace('"send_receipt"', '"asgi_app:send_receipt"')


def serve(project: Path, app: str) -> Iterator[Host]:
    with Host(project, "--env", f"APP={app}") as host:
        yield host


@pytest.fixture(scope="session")
def shop(project: Path) -> Iterator[Host]:
    yield from serve(project, "shop")


@pytest.fixture(scope="session", params=["native", "composed"])
def ported(project: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    if request.param == "native":
        yield from serve(project, "ported")
    else:
        wasm = compose(project / "build" / "app.wasm")
        with serve_wasm(wasm, tmp_path_factory.mktemp("host"), "--env", "APP=ported", composed=True) as host:
            yield host
