"""Starts a system's process, measures it, and stops it."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

PATIENCE = 60


class Failure(Exception):
    """The reason why a run has no valid figures."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    """A system's process, from its start until `stop`."""

    def __init__(self, system, cache, logged):
        self.system, self.logged, self.port = system, logged, free_port()
        self.output = tempfile.TemporaryFile("w+b")
        environment = {**os.environ, **system.environment()}
        if cache:
            environment["XDG_CACHE_HOME"] = str(cache)
        begin = time.monotonic()
        # The system gets its own session, so that this tool can find and kill all processes of the system.
        self.process = subprocess.Popen(
            [str(part) for part in system.command(self.port, logged)], env=environment,
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True,
        )
        try:
            while not self.accepts():
                if self.process.poll() is not None or time.monotonic() - begin > PATIENCE:
                    raise Failure(f"{system.name} does not start:\n{self.log()}")
                time.sleep(0.001)
            self.startup = time.monotonic() - begin
            self.fetch("/")
        except BaseException:
            self.kill()
            raise

    def accepts(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def fetch(self, path):
        with urllib.request.urlopen(self.url(path), timeout=PATIENCE) as response:
            return response.read().decode()

    def stats(self):
        """Returns the kernel's figures for each process of the system, by process id. The first figure is the third field in
        `man proc_pid_stat`."""
        mine = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, *fields = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue  # The process ended before its file was read.
            if int(fields[2]) == self.process.pid and state != "Z":
                mine[int(stat.parent.name)] = [state, *map(int, fields)]
        return mine

    def memory(self):
        """Returns the resident bytes of all processes of the system."""
        return sum(fields[21] for fields in self.stats().values()) * os.sysconf("SC_PAGE_SIZE")

    def memory_shared_once(self):
        """Returns the resident bytes of all processes of the system. If a page is mapped more than once, for example a page
        of the instances' initial memory, the page counts once."""
        sizes = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.stats()]
        return sum(int(re.search(r"^Pss: +(\d+) kB", size, re.M)[1]) * 1024 for size in sizes)

    def cpu(self):
        """Returns the processor time that all processes of the system have used, in seconds."""
        return sum(fields[11] + fields[12] for fields in self.stats().values()) / os.sysconf("SC_CLK_TCK")

    def log(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def stop(self):
        """Asks the system to end, waits until it has ended, and returns everything that it has printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Failure(f"{self.system.name} did not end within {PATIENCE} s") from None
        return self.log()

    def kill(self):
        for pid in self.stats():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, _, error, __):
        if self.process.poll() is None:
            self.kill()
        if isinstance(error, Failure):
            error.args = ("\n".join([str(error), "It printed last:", *self.log().splitlines()[-5:]]),)
