"""Runs an app on the real host in tests.

pytest finds the fixture `host` by itself:

    from epilogue.testing import Host

    def test_the_log_is_written(host: Host) -> None:
        response = host.post("/send-notification/a@b.c")
        record = host.drained(response)
        assert [task.state for task in record.tasks] == ["succeeded"]

The fixture runs the app of the nearest `spin.toml`, as it was built last. Each test has its own host, with an empty
task engine. The fixture starts the host with the command `epilogue`, or with the command in the environment variable
`EPILOGUE`.

Each method that waits has a timeout of one minute. For the start of the host, the timeout is five minutes. If a wait
takes longer, the test gets an AssertionError with the output of the host and the app.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import httpx

from epilogue import _lines

SECONDS = 60.0
"""The timeout of every wait except the wait for the host's start, in seconds."""
_SECONDS_TO_START = 300.0

_T = TypeVar("_T")
# The messages of events after which the task goes on. Any other event is the last event of its task.
_OPEN = ("stored", "will be retried")


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """The record of a task that has ended."""

    id: int
    """The task's number within its request. The first task of a request has the number 1."""
    name: str
    """The name under which the task was added."""
    state: str
    """The task's final state, such as `succeeded`. The state is `dead` if a durable task has failed and the host does
    not retry it."""
    attempt: int
    """The number of the task's last attempt. The first attempt has the number 1. If the task never started, the value
    is 0."""
    error: str | None
    """The reason why the task did not succeed. None if the task succeeded."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """The record of a request whose tasks and teardown have ended."""

    id: str
    """The request's id, which is in all events about the request."""
    tasks: list[TaskRecord]
    """The request's tasks in the order in which they ended. The list includes durable tasks."""


class Host:
    """A running host, on a free port of this machine. When the `with` block ends, this class kills the host.

        with Host("spin.toml", "--max-requests", "10") as host:
            assert host.get("/").status_code == 200

    `app` is a manifest, or a folder with a `spin.toml`. `options` are options of `epilogue up`. `env` has environment
    variables for the host, in addition to the variables of this process. If `options` does not contain `--engine`, the
    host stores durable tasks in a temporary folder, and runs them.

    Set `composed` to True if `epilogue compose` has made the component. This class then reads the records from the
    lines that the component prints. A composed component has no durable tasks.

    Raises AssertionError if the host cannot run the app. The error contains the output of the host.
    """

    def __init__(
        self,
        app: str | os.PathLike[str],
        *options: str,
        env: Mapping[str, str] | None = None,
        composed: bool = False,
    ) -> None:
        self._app = Path(app)
        self._composed = composed
        self._options = options
        self._env = dict(env or {})
        self._scratch = tempfile.TemporaryDirectory(prefix="epilogue-")
        self._changed = threading.Condition()
        self._stdout: list[str] = []
        # The beginning of a line whose end has not come.
        self._begun = ""
        self._events: list[dict[str, Any]] = []
        self._start()

    @property
    def url(self) -> str:
        """The URL of the host, such as `http://127.0.0.1:41879`. After `restart`, the URL has another port."""
        return self._url

    @property
    def pid(self) -> int:
        """The process id of the host."""
        return self._process.pid

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that the host has logged so far. Each line that the app has printed to stderr is also an event."""
        with self._changed:
            return list(self._events)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Sends a GET request, with options of `httpx.request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Sends a POST request, with options of `httpx.request`."""
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Sends a request on a new connection, and returns the whole response."""
        headers = httpx.Headers(options.pop("headers", None))
        headers.setdefault("traceparent", f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01")
        options.setdefault("timeout", SECONDS)
        return httpx.request(method, self.url + path, headers=headers, **options)

    def drained(self, response: httpx.Response) -> RequestRecord:
        """Waits until the request of this response has ended, with all its tasks, including durable tasks, and its
        teardown. Returns the request's record."""
        trace_id = response.request.headers["traceparent"].split("-")[1]

        def find() -> RequestRecord | None:
            requests = (event["request"] for event in self._events if _is_end(event) and event.get("trace_id") == trace_id)
            return next(filter(None, map(self._record, requests)), None)

        return self._wait(find, "the end of the request and its tasks")

    def records(self) -> list[RequestRecord]:
        """Returns the records of all requests that have ended with their tasks, oldest first."""
        with self._changed:
            requests = dict.fromkeys(event["request"] for event in self._events if _is_end(event))
            return [record for record in map(self._record, requests) if record]

    def stdout(self, count: int = 0) -> list[str]:
        """Waits until the app has printed at least `count` lines to stdout. Returns all lines so far, including lines
        from before a restart."""
        return self._wait(lambda: list(self._stdout) if len(self._stdout) >= count else None, f"{count} lines on stdout")

    def printed(self, text: str) -> str:
        """Waits for a line on the app's stdout that contains the text, and returns the line."""
        return self._wait(lambda: next((line for line in self._stdout if text in line), None), repr(text))

    def logged(self, text: str) -> dict[str, Any]:
        """Waits for an event that contains the text in any field, and returns the event."""
        return self._wait(lambda: next((e for e in self._events if text in str(e)), None), f"an event with {text!r}")

    def stop(self) -> int:
        """Sends SIGTERM, so that the host stops when its requests and tasks have ended. Returns the host's exit
        code."""
        self._process.terminate()
        return self._wait_for_exit()

    def kill(self) -> None:
        """Kills the host at once. The effect is the same as that of a crash."""
        self._process.kill()
        self._wait_for_exit()

    def restart(self) -> None:
        """Kills the host if it is running, and starts a new host. The new host has the same task engine."""
        self.kill()
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._scratch.cleanup()

    def _start(self) -> None:
        command = [_command(), "up", "--from", str(self._app), "--listen", "127.0.0.1:0", "--log-format", "json"]
        command += ["--log", "info,epilogue::request=debug"]
        if self._composed:
            command += ["--env", "EPILOGUE_LOG=debug"]
        elif "--engine" not in self._options:
            command += ["--engine", f"sqlite:{self._scratch.name}/tasks.db", "--work"]
        self._process = subprocess.Popen(
            [*command, *self._options],
            env=os.environ | self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        addresses: list[str] = []
        streams = ((self._process.stdout, self._keep_line(addresses)), (self._process.stderr, self._keep_event))
        self._readers = [threading.Thread(target=self._read, args=stream, daemon=True) for stream in streams]
        for reader in self._readers:
            reader.start()
        try:
            # If the host has not compiled this component before, the start takes some time.
            routes = self._wait(lambda: addresses[:] if len(addresses) > 1 else None, "the host's start", _SECONDS_TO_START)
        except BaseException:
            self.kill()
            raise
        self._url = routes[0]

    def _keep_line(self, addresses: list[str]) -> Callable[[str], None]:
        """Returns a function that keeps the lines that the app prints. The host itself prints its address and a line
        for each route first. The function adds these lines to `addresses`."""

        def keep(line: str) -> None:
            if line.startswith("Serving ") and not addresses:
                addresses.append(line.removeprefix("Serving "))
            elif addresses and re.fullmatch(rf"  [\w-]+: {re.escape(addresses[0])}\S*( \(wildcard\))?", line):
                addresses.append(line)
            elif line != "Available Routes:":
                self._keep_text(line)

        return keep

    def _keep_text(self, line: str) -> None:
        """Keeps a line of the app. The host prints each line of the app as a JSON object, and a very long line as several
        objects."""
        event = json.loads(line) if line.startswith("{") else {"line": line}
        self._begun += event["line"]
        if not event.get("continues"):
            self._stdout.append(self._begun)
            self._begun = ""

    def _keep_event(self, line: str) -> None:
        event: dict[str, Any] = json.loads(line) if line.startswith("{") else {"message": line}
        if self._composed:
            # The host's own event about the request does not count the tasks, because the adapters run them.
            event.pop("stored", None)
            event = _lines.event(event.get("line", "")) or event
        self._events.append(event)

    def _read(self, stream: IO[str], keep: Callable[[str], None]) -> None:
        for line in stream:
            with self._changed:
                keep(line.rstrip("\n"))
                self._changed.notify_all()
        # The process has ended. This wakes all threads that wait for its output.
        self._process.wait()
        with self._changed:
            self._changed.notify_all()

    def _record(self, request: str) -> RequestRecord | None:
        """Returns the record of a request, or None if the request or one of its tasks has not ended."""
        events = [event for event in self._events if event.get("request") == request]
        tasks = [event for event in events if event["target"] == "epilogue::task"]
        ends = {event["task"]: event for event in tasks if event.get("message") not in _OPEN}
        stored = {event["task"] for event in tasks if event.get("message") == "stored"}
        # There is an event at the end of the request, and at the end of each batch of its durable tasks. The field
        # `stored` of the event says how many tasks were stored.
        counted = sum(event["stored"] for event in events if _is_end(event))
        # If a task is dead, the batch's later tasks wait for an operator, so this code does not wait for them.
        is_stuck = any(event["state"] == "dead" for event in ends.values())
        if counted < len(stored) or not (is_stuck or stored <= ends.keys()):
            return None
        return RequestRecord(request, [_task(event) for event in ends.values()])

    def _wait(self, find: Callable[[], _T | None], what: str, seconds: float = SECONDS) -> _T:
        found: _T | None = None

        def is_over() -> bool:
            nonlocal found
            found = find()
            return found is not None or self._process.poll() is not None

        with self._changed:
            self._changed.wait_for(is_over, seconds)
        if found is None and self._process.poll() is not None:
            self._wait_for_exit()
            found = find()
        if found is None:
            raise AssertionError(f"{what} did not come\n{self._said()}")
        return found

    def _wait_for_exit(self) -> int:
        try:
            code = self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the host did not stop\n{self._said()}") from None
        for reader in self._readers:
            reader.join(SECONDS)
        return code

    def _said(self) -> str:
        lines = [f"exit code of the host: {self._process.poll()}", "stdout:", *self._stdout, "stderr:"]
        return "\n".join([*lines, *(event["message"] if len(event) == 1 else json.dumps(event) for event in self.events)])


def _is_end(event: dict[str, Any]) -> bool:
    """Returns true for the event at the end of a request, or at the end of a batch of its durable tasks."""
    return "stored" in event


def _task(event: dict[str, Any]) -> TaskRecord:
    return TaskRecord(event["task"], event["name"], event["state"], event["attempt"], event.get("error"))


def _command() -> str:
    command = os.environ.get("EPILOGUE") or shutil.which("epilogue")
    if command is None:
        raise AssertionError("there is no command `epilogue`: install it, or set the variable EPILOGUE to its path")
    return command
