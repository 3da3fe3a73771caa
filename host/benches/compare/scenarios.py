"""The scenarios. A scenario starts one system, sends it requests, and returns the figures of one run."""

import os
import tempfile
import threading
import time

import load
from running import Failure
from systems import ALL, Composed

MIB = 1 << 20
SLEEP = 50  # milliseconds
BODY = 64 * MIB
DRAINING, LONG = 10_000, 15_000  # requests, milliseconds
BURN = 0.2  # seconds
QUIET_RATE = 200  # requests without tasks per second, while the tasks of other requests compute


def check(run, tasks, answered):
    """Ends the run. Fails if a task of any request did not run, even if the client did not wait for the response."""
    counts = run.system.counts(run)
    if counts is None:
        return
    # `Running` sends one request at the start, which has no tasks.
    asked = counts.get("asked", tasks * (counts.get("requests", 0) - 1))
    if counts["ran"] != asked or asked < tasks * answered:
        raise Failure(f"{run.system.name}: {answered} requests with {tasks} tasks each were answered, "
                      f"{asked} tasks accepted, {counts['ran']} ran")


def throughput(tasks):
    def measure(system, seconds, known):
        with system.start() as run:
            load.wrk(run.url(f"/?tasks={tasks}"), 1)
            seen = load.wrk(run.url(f"/?tasks={tasks}"), seconds)
            check(run, tasks, seen["requests"])
        if tasks and isinstance(system, Composed):
            count_composed(system, tasks)
        return seen

    return measure


def count_composed(system, tasks, requests=2000):
    """Counts the tasks in a separate run, because a stock host cannot count tasks, and only logs a line for each task."""
    with system.start(logged=True) as run:
        load.counted(run.url(f"/?tasks={tasks}"), requests)
        time.sleep(1)  # `counts` stops the system, which would end running tasks.
        ran = system.counts(run)["ran"]
    if ran != tasks * requests:
        raise Failure(f"{system.name}: {ran} of {tasks * requests} tasks ran")


def latency(tasks):
    """Measures latencies. The clients send half as many requests per second as the system can answer without tasks."""

    def measure(system, seconds, known):
        key = ("half", system.name)
        if key not in known:
            with system.start() as run:
                known[key] = load.wrk(run.url("/"), seconds)["rate"] / 2
        with system.start() as run:
            seen = load.paced(run.url(f"/?tasks={tasks}&sleep={SLEEP}"), seconds, known[key])
            check(run, tasks, seen["requests"])
        return seen

    return measure


def busy(burning):
    def measure(system, seconds, known):
        with system.start() as run:
            path = f"/?tasks=1&burn={rounds(run, known)}"
            if not burning:
                return load.paced(run.url("/"), seconds, QUIET_RATE)
            interval = BURN / os.cpu_count()
            with load.Ticking(run, path, interval, round((seconds + 1) / interval)) as others:
                time.sleep(1)
                seen = load.paced(run.url("/"), seconds, QUIET_RATE)
            if others.errors:
                raise Failure(f"{system.name}: {others.errors[0]}")
            counts = system.counts(run)
            if counts["ran"] != len(others.threads):
                raise Failure(f"{system.name}: {counts['ran']} of {len(others.threads)} tasks ran")
            return seen

    return measure


def rounds(run, known):
    """Finds out how many rounds of the computation take 200 ms of a core. A guest cannot use a clock for this purpose.
    In workerd, the clock stands still while a guest computes. Elsewhere, tasks that run at the same time would all end
    after 200 ms, and so compute less."""
    key = ("rounds", run.system.name)
    count = known.get(key, 20_000)
    for _ in range(30):
        seconds = compute(run, count)
        if abs(seconds - BURN) < BURN / 5:
            known[key] = count
            return count
        # If the run was too short to measure, the next run has three times as many rounds. Otherwise, the next run has
        # the number of rounds that takes 200 ms at this speed. A compiler may make the loop faster until then.
        count = int(count * BURN / seconds) if seconds > BURN / 4 else 3 * count
    raise Failure(f"{run.system.name} computes at no even speed: no number of rounds takes {BURN} s of a core")


def compute(run, count):
    """Returns the processor seconds for `count` rounds. A compiler may optimize the loop during the first of five runs."""
    for _ in range(5):
        before = run.cpu()
        run.fetch(f"/?work={count}")
    return run.cpu() - before


def draining(system, seconds, known):
    with system.start() as run:
        # These requests have no tasks. The memory that the system needs for them must not count as memory of tasks.
        load.counted(run.url("/"), 2000)
        before = run.memory_shared_once()
        begin = time.monotonic()
        load.counted(run.url(f"/?tasks=1&sleep={LONG}"), DRAINING)
        took = time.monotonic() - begin
        held = run.memory_shared_once() - before
        if took > LONG / 1000:
            raise Failure(f"{system.name} took {took:.0f} s for {DRAINING} answers: they were not all draining at once")
        counts = system.counts(run)
        if counts["ran"] != DRAINING:
            raise Failure(f"{system.name}: {counts['ran']} of {DRAINING} tasks ran")
        return {"kib": held / DRAINING / 1024, "answers": took}


def body(system, seconds, known):
    with system.start() as run:
        path = f"/?body={BODY}"
        load.counted(run.url(path), 32)
        before, peak, over = run.memory(), [0], threading.Event()

        def watch():
            while not over.wait(0.02):
                peak[0] = max(peak[0], run.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            seen = load.wrk(run.url(path), max(seconds, 2), connections=2)
        finally:
            over.set()
            watcher.join()
        return {"mib": seen["rate"] * BODY / MIB, "grown": (peak[0] - before) / MIB}


def startup(cold):
    def measure(system, seconds, known):
        with tempfile.TemporaryDirectory(prefix="compare-") as cache:
            for _ in range(1 if cold else 2):
                with system.start(cache) as run:
                    seen = {"ms": run.startup * 1000}
        return seen

    return measure


OURS, _, BARE, FRESH, COMPOSED, PLAIN, WORKERD, FASTAPI, HYPER = ALL
TASKED = [system for system in ALL if system.tasks]
PEERS = [OURS, WORKERD, FASTAPI]

# A figure is a key of a measurement's result, the unit, and the number of digits.
RATES = [("rate", "requests/s", 0), ("p50", "ms p50", 2), ("p99", "ms p99", 2)]
LATENCIES = [("p50", "ms p50", 2), ("p99", "ms p99", 2)]
# Each scenario by name: its description, its systems, its function, and its figures.
SCENARIOS = {
    "no-tasks": ("no tasks", ALL, throughput(0), RATES),
    "tasks": ("3 tasks each", TASKED, throughput(3), RATES),
    "quiet": ("half the maximum rate, no tasks", PEERS, latency(0), LATENCIES),
    "sleeping": (f"half the maximum rate, 3 tasks that sleep {SLEEP} ms", PEERS, latency(3), LATENCIES),
    "idle": ("200 requests/s without tasks, alone", PEERS, busy(False), LATENCIES),
    "burning": ("the same beside requests whose tasks keep both cores busy, 200 ms each", PEERS, busy(True), LATENCIES),
    "draining": ("10,000 requests draining at once", PEERS, draining, [("kib", "KiB each", 1)]),
    "body": ("64 MiB streamed", [OURS, PLAIN], body, [("mib", "MiB/s", 0), ("grown", "MiB more memory", 1)]),
    "warm": ("start-up, compiled before", [OURS, PLAIN], startup(False), [("ms", "ms", 0)]),
    "cold": ("start-up, compiling", [OURS, PLAIN], startup(True), [("ms", "ms", 0)]),
}
