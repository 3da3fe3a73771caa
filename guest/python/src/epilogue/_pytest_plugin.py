"""The fixtures of `epilogue.testing`. If this package is installed, pytest loads this module in every project. So this
module imports no other module of the package before a test uses a fixture.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from epilogue.testing import Host


@pytest.fixture
def host_options() -> Sequence[str]:
    """The command-line options with which the fixture `host` starts `epilogue up`. To change the options, define a
    fixture with the same name, `host_options`, in your project."""
    return ()


@pytest.fixture
def host(request: pytest.FixtureRequest, host_options: Sequence[str]) -> "Iterator[Host]":
    """A running host for one test. The host serves the app of the nearest `spin.toml`, as it was built last."""
    from epilogue.testing import Host

    with Host(_find_manifest(request.path.parent), *host_options) as host:
        yield host


def _find_manifest(folder: Path) -> Path:
    for parent in (folder, *folder.parents):
        if (parent / "spin.toml").is_file():
            return parent / "spin.toml"
    raise AssertionError(f"there is no spin.toml in {folder} or above it")
