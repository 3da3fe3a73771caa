"""The compared systems: how to install a system, start it, and count the tasks that it ran."""

import os
import re
import shutil
import sys
import time
from pathlib import Path

from running import PATIENCE, Failure, Running

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TARGET = ROOT / "target"
INSTALLED = TARGET / "compare"
GUESTS = TARGET / "compare/wasm/wasm32-wasip2/release/examples"
COMPOSED = INSTALLED / "composed.wasm"

WASMTIME, WORKERD = "48.0.8", "1.20261117.1"
PYTHON = ["fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0"]
WASMTIME_FEATURES = "cache,component-model-async,cranelift,parallel-compilation,pooling-allocator,run,serve"


class System:
    """A system that is not running. A subclass describes one system."""

    name = ""
    needs = None  # the name of the program, if it is not our own
    get = []  # the commands that install it into target/compare
    tasks = True

    def program(self):
        """Returns the path of the system's program, or None."""
        path = os.pathsep.join([str(INSTALLED / folder) for folder in ("bin", "venv/bin", "node_modules/.bin")])
        return shutil.which(self.needs, path=path + os.pathsep + os.environ.get("PATH", ""))

    def command(self, port, logged):
        raise NotImplementedError

    def environment(self):
        return {}

    def counts(self, run):
        """Ends the run. Returns how many tasks the requests added and how many ran, or None if the system cannot count."""
        run.stop()
        return None

    def start(self, cache=None, logged=False):
        return Running(self, cache, logged)


class Epilogue(System):
    name = "Epilogue"
    binary = TARGET / "pgo/epilogue"
    guest = "bench"
    options = []

    def program(self):
        return str(self.binary) if self.binary.exists() else None

    def command(self, port, logged):
        manifest = INSTALLED / f"{self.guest}.toml"
        manifest.write_text(
            'spin_manifest_version = 2\n[application]\nname = "bench"\n[[trigger.http]]\nroute = "/..."\n'
            f'component = "bench"\n[component.bench]\nsource = "{GUESTS / self.guest}.wasm"\n'
        )
        return [self.program(), "up", "-f", manifest, "--listen", f"127.0.0.1:{port}", "--quiet", *self.options]

    def environment(self):
        # The other systems write no access logs, so the host logs no event for a task that succeeded. The host still
        # logs an event for a task that failed.
        return {"EPILOGUE_LOG": "warn,epilogue::up=info"}

    def counts(self, run):
        log = run.stop()
        told = re.search(r"stopped after (\d+) requests? and (\d+) tasks?; the stop abandoned (\d+) of them", log)
        if not told:
            raise Failure(f"{self.name} did not say at its end what it had done:\n{log}")
        requests, ended, abandoned = map(int, told.groups())
        failed = sum(" WARN " in line or " ERROR " in line for line in log.splitlines())
        return {"requests": requests, "ran": ended - abandoned - failed}


class Unprofiled(Epilogue):
    """The host as a user builds it, without profile-guided optimization."""

    name = "Epilogue, without a profile"
    binary = TARGET / "dist/epilogue"


class Bare(Epilogue):
    """The host without extra headers. As in the other systems, a guest gets only the headers that the client sent."""

    name = "Epilogue, no Spin headers"
    options = ["--spin-headers=false"]


class Fresh(Epilogue):
    name = "Epilogue, --reuse 1"
    options = ["--reuse", "1"]


class Plain(System):
    """`wasmtime serve` with the guest that has no tasks."""

    name = "wasmtime serve, plain guest"
    needs = "wasmtime"
    get = [["cargo", "install", "wasmtime-cli", "--version", WASMTIME, "--locked", "--root", str(INSTALLED),
            "--no-default-features", "--features", WASMTIME_FEATURES]]
    tasks = False
    guest = GUESTS / "bench_plain.wasm"

    def command(self, port, logged):
        level = "info" if logged else "off"
        return [self.program(), "serve", "-Wcomponent-model-async", "-Sp3,cli,http", f"--env=EPILOGUE_LOG={level}",
                f"--addr=127.0.0.1:{port}", self.guest]


class Composed(Plain):
    """`wasmtime serve` with the guest as `epilogue compose` makes it."""

    name = "wasmtime serve, composed guest"
    tasks = True
    guest = COMPOSED

    def counts(self, run):
        log = run.stop()
        return {"ran": log.count("succeeded")} if run.logged else None


class Workerd(System):
    name = "workerd, waitUntil"
    needs = "workerd"
    get = [["npm", "install", "--no-save", "--prefix", str(INSTALLED), f"workerd@{WORKERD}"]]

    def command(self, port, logged):
        config = HERE / "apps/workerd.capnp"
        return [self.program(), "serve", config, f"--socket-addr=http=127.0.0.1:{port}"]

    def counts(self, run):
        last, since = None, time.monotonic()
        while True:
            told = re.findall(r"\d+", run.fetch("/counts"))
            asked, ran = map(int, told)
            if asked == ran or (ran == last and time.monotonic() - since > PATIENCE / 2):
                run.stop()
                return {"asked": asked, "ran": ran}
            if ran != last:
                last, since = ran, time.monotonic()
            time.sleep(0.1)


class FastApi(System):
    name = "FastAPI, 2 workers"
    needs = "uvicorn"
    get = [[sys.executable, "-m", "venv", str(INSTALLED / "venv")],
           [str(INSTALLED / "venv/bin/pip"), "install", "--quiet", *PYTHON]]

    def command(self, port, logged):
        return [self.program(), "fastapi_app:app", "--app-dir", HERE / "apps", "--port", str(port), "--workers", "2",
                "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]

    def counts(self, run):
        told = re.findall(r"asked (\d+) ran (\d+)", run.stop())
        if len(told) != 2:
            raise Failure(f"{len(told)} of FastAPI's 2 workers said at their end what they had done")
        return {"asked": sum(int(asked) for asked, _ in told), "ran": sum(int(ran) for _, ran in told)}


class Hyper(System):
    name = "hyper alone"
    binary = TARGET / "dist/hyper-alone"
    tasks = False

    def program(self):
        return str(self.binary) if self.binary.exists() else None

    def command(self, port, logged):
        return [self.program(), str(port)]


ALL = [Epilogue(), Unprofiled(), Bare(), Fresh(), Composed(), Plain(), Workerd(), FastApi(), Hyper()]
