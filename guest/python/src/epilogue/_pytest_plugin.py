"""The fixtures of `epilogue.testing`. pytest loads this module in every project that has the package installed, so this
module imports no other module of the package.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from epilogue.testing import Host


@pytest.fixture
def host_options() -> Sequence[str]:
    """The options of `epilogue up` for the fixture `host`. A project can replace this fixture with its own fixture
    `host_options`."""
    return ()


@pytest.fixture
def host(request: pytest.FixtureRequest, host_options: Sequence[str]) -> "Iterator[Host]":
    """A host that serves the last build of the app of the nearest `spin.toml`."""
    from epilogue.testing import Host

    with Host(_find_manifest(request.path.parent), *host_options) as host:
        yield host


def _find_manifest(folder: Path) -> Path:
    for parent in (folder, *folder.parents):
        if (parent / "spin.toml").is_file():
            return parent / "spin.toml"
    raise AssertionError(f"there is no spin.toml in {folder} or above it")
