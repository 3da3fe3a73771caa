"""The guide's pages about Python name tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LANGUAGES = ROOT / "docs" / "guide" / "reference" / "languages.md"
NAMED = re.findall(r"`((?:test_|s\d+ |an instance )[^`]+)`", LANGUAGES.read_text())


@pytest.mark.parametrize(
    ("language", "pattern", "names"),
    [
        ("python", r"^def (test_\w+)\(", [name for name in NAMED if name.startswith("test_")]),
        ("typescript", r'^ +test\("([^"]+)"', [name for name in NAMED if not name.startswith("test_")]),
    ],
)
def test_the_tests_that_the_guide_names_exist(language: str, pattern: str, names: list[str]) -> None:
    files = [file for suffix in ("py", "js") for file in (ROOT / "guest" / language / "tests").glob(f"*.{suffix}")]
    tests = {name for file in files for name in re.findall(pattern, file.read_text(), re.MULTILINE)}
    assert len(names) > 10
    assert set(names) - tests == set()
