"""The apps of `epilogue new --python`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from epilogue import _lines
from epilogue.testing import Host
from frameworks.conftest import TEMPLATES, renamed

PAGE = Path(__file__).parents[4] / "docs" / "guide" / "tutorial" / "fastapi.md"


def pass_in(project: Path) -> str:
    """Runs the tests of a project, and returns what pytest prints at the end."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    tests = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)  # noqa: S603
    assert tests.returncode == 0, tests.stdout + tests.stderr
    return tests.stdout


def test_the_tests_of_the_fastapi_template_pass(project: Path) -> None:
    assert "3 passed" in pass_in(project)


def test_the_tests_of_the_plain_template_pass(project: Path, tmp_path: Path) -> None:
    """The component is that of all apps, in which the names of the template are others."""
    shutil.copytree(TEMPLATES / "asgi", tmp_path, dirs_exist_ok=True)
    manifest, tests = tmp_path / "spin.toml", tmp_path / "tests" / "test_app.py"
    variable = '[component.my-app.environment]\nAPP = "asgi_app"\n'
    manifest.write_text(manifest.read_text().replace("build/app.wasm", str(project / "build" / "app.wasm"), 1) + variable)
    tests.write_text(renamed(tests))
    assert "2 passed" in pass_in(tmp_path)


def test_the_guide_shows_what_the_fastapi_template_prints(project: Path) -> None:
    page = PAGE.read_text()
    sessions = re.findall(r"^\$ (curl .*)\n(.*)$", page, re.MULTILINE)
    assert len(sessions) == 2
    with Host(project) as host:
        for command, output in sessions:
            command = command.replace("http://127.0.0.1:3000", host.url)
            answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)  # noqa: S603, S607
            assert answer.stdout == output
        [shown] = re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        printed, told = shown.splitlines()
        assert host.printed(printed) == printed
        event = _lines.event(told.removeprefix("…"))
        assert event
        logged = host.logged(event["name"])
        for field in ("level", "target", "component", "task", "name", "state", "attempt"):
            assert logged[field] == event[field]
