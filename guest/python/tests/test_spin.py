"""A guest that was built with Spin's own SDK runs on the host, with a key-value store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from epilogue.testing import Host

MANIFEST = """
spin_manifest_version = 2
[application]
name = "counter"
[[trigger.http]]
route = "/..."
component = "counter"
[component.counter]
source = "counter.wasm"
key_value_stores = ["default"]
"""


def test_a_key_value_store_is_shared_by_requests_and_hosts(tmp_path: Path) -> None:
    sdk = os.environ.get("SPIN_SDK")
    if sdk is None:
        pytest.skip("the variable SPIN_SDK does not name a folder with the package spin-sdk")
    componentize = Path(sys.executable).with_name("componentize-py")
    # Without the environment's own packages: componentize-py joins the WIT of all that it finds.
    environment = {name: value for name, value in os.environ.items() if name not in ("PATH", "VIRTUAL_ENV")}
    world = ["-w", "spin:up/http-trigger@4.1.0", "componentize", "-p", sdk, "-p", str(Path(__file__).parent / "spin")]
    command = [str(componentize), *world, "counter", "-o", str(tmp_path / "counter.wasm")]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)  # noqa: S603
    manifest = tmp_path / "spin.toml"
    manifest.write_text(MANIFEST)
    for expected in (["1", "2"], ["3"]):
        with Host(manifest) as host:
            assert [host.get("/").text for _ in expected] == expected
