"""What the build says if a component cannot be built."""

from pathlib import Path

import pytest

from epilogue.build import _componentize


def test_a_package_with_a_wit_of_its_own_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spin_sdk").mkdir()
    (tmp_path / "spin_sdk" / "componentize-py.toml").touch()
    error = "AttributeError: module 'epilogue.bindings.exports' has no attribute 'Handler'"
    assert "spin_sdk" not in _componentize._explain("app", error)
    monkeypatch.syspath_prepend(tmp_path)
    assert "cannot join the WIT of spin_sdk with that of epilogue" in _componentize._explain("app", error)
