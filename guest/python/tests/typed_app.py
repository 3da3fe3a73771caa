"""mypy checks this file: a wrong call must be an error. `test_typing` runs mypy, which reports each `type: ignore` that it
does not need."""

from datetime import timedelta

from epilogue import BackgroundTasks, Backoff, on_teardown, stopping, task, with_options


@task
async def write_log(message: str, level: int = 0) -> None: ...


@task(name="mail.send", durable=True, backoff=Backoff(1, timedelta(minutes=5)), timeout=5.5, max_attempts=3)
def send(to: str) -> bool:
    return bool(to)


tasks = BackgroundTasks()
number: int = tasks.add_task(write_log, "message", level=3)
tasks.add_task(with_options(send, run_when="always", cancel_on_disconnect=False), "a@b.c")
tasks.add_task(lambda: None)
tasks.on_failure("continue")
on_teardown(lambda: print("closed"))
sent: bool = send("a@b.c")

tasks.add_task(write_log)  # type: ignore[call-arg]
tasks.add_task(write_log, 7)  # type: ignore[arg-type]
tasks.add_task(write_log, "message", lvl=3)  # type: ignore[call-arg]
tasks.add_task(with_options(send, timeout=1), 7)  # type: ignore[arg-type]
tasks.add_task("write_log", "message")  # type: ignore[arg-type]
with_options(send, attempts=3)  # type: ignore[call-arg]
with_options(send, run_when="never")  # type: ignore[arg-type]
tasks.on_failure("perhaps")  # type: ignore[arg-type]


async def use_stopping() -> timedelta:
    return (await stopping()).grace
