"""Builds the apps in `apps/`, and runs them on the host that EPILOGUE names or that is in PATH."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from epilogue import testing
from epilogue.testing import Host

# The first start of a host compiles the component, which takes minutes on a busy machine.
testing.SECONDS = 300

APPS = Path(__file__).parent / "apps"

MANIFEST = """
spin_manifest_version = 2
[application]
name = "app"
[[trigger.http]]
route = "{route}"
component = "app"
[component.app]
source = "{wasm}"
environment = {{ GREETING = "hello" }}
allowed_outbound_hosts = ["http://127.0.0.1:*"]
"""


class App:
    """An app on a host that several tests share. It shows what was printed since the test began."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._first = 0

    def begin(self) -> None:
        """Begins a test. What the app prints from now on comes after all that earlier tests have printed."""
        marker = f"marker {len(self.host.stdout())}"
        self.host.get("/marker", params={"text": marker})
        self.host.printed(marker)
        self._first = self.host.stdout().index(marker) + 1

    def run(self, path: str, method: str = "GET", **options: Any) -> tuple[httpx.Response, list[str]]:
        """Sends a request, and waits for the end of its tasks and its teardown. Returns the tasks' states in order."""
        response = self.host.request(method, path, **options)
        return response, self.states(response)

    def states(self, response: httpx.Response) -> list[str]:
        """Waits for the end of a request, and returns the states of its tasks in order."""
        return [task.state for task in sorted(self.host.drained(response).tasks, key=lambda task: task.id)]

    def text(self, path: str) -> str:
        """The body of the response to a GET request."""
        return self.host.get(path).text

    def has_printed(self, *lines: str) -> None:
        """Waits until the app has printed these lines in this test, and no others."""
        assert self.host.stdout(self._first + len(lines))[self._first :] == list(lines)


def serve(wasm: Path, folder: Path, *options: str, route: str = "/...", composed: bool = False) -> Host:
    """A host with this component, and a manifest in this folder."""
    manifest = folder / "spin.toml"
    manifest.write_text(MANIFEST.format(route=route, wasm=wasm))
    return Host(manifest, *options, composed=composed)


def build(app: str, folder: Path) -> Path:
    """Builds an app into a component."""
    if not (os.environ.get("EPILOGUE") or shutil.which("epilogue")):
        pytest.skip("there is no command `epilogue`: install it, or set the variable EPILOGUE to its path")
    wasm = folder / f"{app}.wasm"
    command = [sys.executable, "-m", "epilogue", "build", app, "-o", str(wasm)]
    subprocess.run(command, cwd=APPS, check=True)  # noqa: S603
    return wasm


def compose(wasm: Path) -> Path:
    """Composes a component with the adapters that run its tasks on hosts that know nothing of tasks."""
    composed = wasm.with_suffix(".composed.wasm")
    subprocess.run([testing._command(), "compose", str(wasm), "--output", str(composed)], check=True)  # noqa: S603
    return composed


def shared(wasm: Path, folder: Path, *, composed: bool = False) -> Iterator[App]:
    """An app on a host for several tests. The host must end without an error."""
    with serve(wasm, folder, composed=composed) as host:
        yield App(host)
        assert host.stop() == 0
        assert "trap" not in str(host.events)


@pytest.fixture(scope="session")
def plain_wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("plain", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def _plain(plain_wasm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    yield from shared(plain_wasm, tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="session")
def _plain_composed(plain_wasm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    yield from shared(compose(plain_wasm), tmp_path_factory.mktemp("host"), composed=True)


@pytest.fixture(params=["native", "composed"])
def both(request: pytest.FixtureRequest) -> App:
    """The app `plain`, once as it is, and once composed."""
    app: App = request.getfixturevalue("plain" if request.param == "native" else "composed")
    return app


@pytest.fixture
def composed(_plain_composed: App) -> App:
    """The app `plain`, composed."""
    _plain_composed.begin()
    return _plain_composed


@pytest.fixture
def plain(_plain: App) -> App:
    """The app `plain`, which needs no framework."""
    _plain.begin()
    return _plain


@pytest.fixture(scope="session")
def fastapi_wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("fastapi") is None:
        pytest.skip("FastAPI is not installed")
    return build("fastapi_app", tmp_path_factory.mktemp("fastapi"))


@pytest.fixture(scope="session")
def _fastapi_app(fastapi_wasm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    yield from shared(fastapi_wasm, tmp_path_factory.mktemp("host"))


@pytest.fixture
def fastapi_app(_fastapi_app: App) -> App:
    """The app `fastapi_app`."""
    _fastapi_app.begin()
    return _fastapi_app
