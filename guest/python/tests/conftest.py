"""Builds the apps in `apps/`, and runs them on the host."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

ROOT = Path(__file__).parent.parent
APPS = ROOT / "tests" / "apps"
SECONDS = 60

T = TypeVar("T")

MANIFEST = """
spin_manifest_version = 2
[application]
name = "app"
[[trigger.http]]
route = "{route}"
component = "app"
[component.app]
source = "{source}"
environment = {{ GREETING = "hello" }}
"""


def binary() -> str:
    """The host. Without one the tests are skipped."""
    found = os.environ.get("EPILOGUE") or shutil.which("epilogue")
    if not found:
        built = ROOT.parent.parent / "target" / "debug" / "epilogue"
        found = str(built) if built.exists() else None
    if not found:
        pytest.skip("there is no `epilogue`: build it, or set EPILOGUE to its path")
    return found


class Host:
    """A running host with one app. It collects what the guest prints and what the host logs."""

    def __init__(self, folder: Path, wasm: Path, route: str = "/...", *options: str, command: str = "up") -> None:
        self.folder = folder
        (folder / "spin.toml").write_text(MANIFEST.format(route=route, source=wasm))
        listen = ["--listen", "127.0.0.1:0"] if command == "up" else []
        self.process = subprocess.Popen(  # noqa: S603
            [binary(), command, *listen, "--log-format", "json", *options],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.output: list[str] = []
        self.events: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        for stream, keep in ((self.process.stdout, self.output.append), (self.process.stderr, self._keep_event)):
            threading.Thread(target=self._read, args=(stream, keep), daemon=True).start()
        self.url = ""
        self.markers = 0
        if command == "up":
            self.url = self.line_with("Serving http").removeprefix("Serving ")
            self.line_with("  app: ")

    def _keep_event(self, line: str) -> None:
        self.events.append(json.loads(line) if line.startswith("{") else {"message": line})

    def _read(self, stream: Any, keep: Callable[[str], None]) -> None:
        for line in stream:
            with self._changed:
                keep(line.rstrip("\n"))
                self._changed.notify_all()

    def wait_for(self, found: Callable[[], T | None], what: str) -> T:
        """Waits until `found` returns something."""
        with self._changed:
            if not self._changed.wait_for(lambda: found() is not None, SECONDS):
                pytest.fail(f"{what} did not come. Output: {self.output}. Events: {self.events}")
            value = found()
            assert value is not None
            return value

    def line_with(self, text: str) -> str:
        """Waits for a line that the guest or the host prints to stdout."""
        return self.wait_for(lambda: next((line for line in self.output if text in line), None), repr(text))

    def logged(self, text: str) -> None:
        """Waits for an event or a line on stderr that contains the text."""
        self.wait_for(lambda: next((e for e in self.events if text in json.dumps(e)), None), repr(text))

    def states(self, *numbers: int) -> list[str]:
        """Waits for the final states of these tasks of one request."""

        def found() -> list[str] | None:
            requests: dict[str, dict[int, str]] = {}
            for event in self.events:
                if event.get("target") == "epilogue::task" and "state" in event:
                    requests.setdefault(event["request"], {})[event["task"]] = event["state"]
            return next(([ends[n] for n in numbers] for ends in requests.values() if ends.keys() >= set(numbers)), None)

        return self.wait_for(found, f"the states of {numbers}")

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, urllib.parse.urljoin(self.url, path), timeout=SECONDS, **options)

    def fresh(self) -> "Host":
        """Forgets what earlier tests have printed and logged. What the app prints now comes after it."""
        self.markers += 1
        marker = f"marker {self.markers}"
        self.get("/marker", params={"text": marker})
        self.line_with(marker)
        self.logged(marker)
        with self._changed:
            self.output.clear()
            self.events.clear()
        return self

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(SECONDS)


def build(app: str, folder: Path) -> Path:
    """Builds an app into a component."""
    pytest.importorskip("componentize_py")
    # componentize-py reads nothing through links that leave the package, as `wit` does in the repository.
    package = folder / "package"
    shutil.copytree(ROOT / "src", package)
    wasm = folder / f"{app}.wasm"
    paths = [str(APPS), str(package), *filter(None, os.environ.get("EPILOGUE_GUEST_PACKAGES", "").split(":"))]
    command = [str(Path(sys.executable).parent / "componentize-py"), "-w", "epilogue:background/service", "componentize"]
    for path in paths:
        command += ["-p", path]
    result = subprocess.run([*command, app, "-o", str(wasm)], capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode != 0:
        raise RuntimeError(result.stdout + result.stderr)
    return wasm


@pytest.fixture(scope="session")
def plain_wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary()
    return build("plain", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def _plain_host(plain_wasm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("host"), plain_wasm)
    yield host
    assert host.stop() == 0


@pytest.fixture
def plain(_plain_host: Host) -> Host:
    """The app `plain` on a host that all tests share."""
    return _plain_host.fresh()
