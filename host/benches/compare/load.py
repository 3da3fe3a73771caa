"""The clients, which send requests to a system and return what they measured."""

import re
import shutil
import subprocess
import tempfile
import threading
import time

from running import PATIENCE, Failure

CONNECTIONS = 32
TOOLS = {"wrk": "wrk", "h2load": "nghttp2-client"}  # the tools, and their packages in Debian


def missing():
    return [package for tool, package in TOOLS.items() if not shutil.which(tool)]


def call(command, seconds):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failure(f"{command[0]} did not end: {' '.join(command)}") from None
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def wrk(url, seconds, connections=CONNECTIONS):
    """Sends requests as fast as the system answers. Returns requests per second, and latencies in milliseconds."""
    out = call(["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "30", "--latency", url], seconds)
    if re.search(r"Non-2xx|Socket errors", out):
        raise Failure(f"not every request was answered well:\n{out}")
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
        "requests": int(re.search(r"(\d+) requests in", out)[1]),
        "p50": milliseconds(re.search(r"^ +50% +(\S+)", out, re.M)[1]),
        "p99": milliseconds(re.search(r"^ +99% +(\S+)", out, re.M)[1]),
    }


def milliseconds(text):
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]


def paced(url, seconds, rate):
    """Sends `rate` requests per second for `seconds`. Returns the number of answers, and latencies in milliseconds."""
    # h2load paces each connection separately, in whole requests per second.
    connections = min(CONNECTIONS, max(1, int(rate)))
    each = max(1, round(rate / connections))
    with tempfile.NamedTemporaryFile("r") as log:
        call(["h2load", "--h1", f"-c{connections}", f"--rps={each}", f"-n{connections * each * seconds}",
              f"--log-file={log.name}", url], seconds)
        lines = [line.split("\t") for line in log]
    bad = [status for _, status, _ in lines if status != "200"]
    if bad or not lines:
        raise Failure(f"{len(bad)} of {len(lines)} requests to {url} were not answered well")
    times = sorted(int(time) / 1000 for _, _, time in lines)
    return {"requests": len(times), "p50": quantile(times, 0.5), "p99": quantile(times, 0.99)}


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def counted(url, requests):
    """Sends exactly `requests` requests, and returns the seconds that they took."""
    out = call(["h2load", "--h1", f"-c{CONNECTIONS}", f"-n{requests}", url], 0)
    if f" {requests} 2xx" not in out:
        raise Failure(f"not every request was answered well:\n{out}")
    return float(re.search(r"finished in ([\d.]+)s", out)[1]) if re.search(r"finished in [\d.]+s", out) else None


class Ticking:
    """Sends `count` requests, one every `interval` seconds, even if earlier requests have no answer yet. Each request
    has its own connection, like a request of another client."""

    def __init__(self, run, path, interval, count):
        self.run, self.path, self.interval, self.count = run, path, interval, count
        self.ended, self.threads, self.errors = threading.Event(), [], []
        self.clock = threading.Thread(target=self.tick)

    def tick(self):
        begin = time.monotonic()
        for number in range(self.count):
            if self.ended.wait(max(0, begin + number * self.interval - time.monotonic())):
                break
            self.threads.append(threading.Thread(target=self.send))
            self.threads[-1].start()

    def send(self):
        try:
            self.run.fetch(self.path)
        except OSError as error:
            self.errors.append(error)

    def __enter__(self):
        self.clock.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.clock.join()
        for thread in self.threads:
            thread.join()
