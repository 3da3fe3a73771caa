"""The app of `epilogue new --python`."""

import subprocess
import sys
from pathlib import Path


def test_its_own_tests_pass(project: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    tests = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)  # noqa: S603
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "3 passed" in tests.stdout
