"""The queue of the current request."""

from collections.abc import Callable
from typing import Any, ParamSpec

from epilogue import _args, _host, _waiting
from epilogue._errors import EnqueueError, EnqueueErrorKind
from epilogue._options import FailurePolicy, TaskOptions, nanoseconds
from epilogue._task import Definition, definition_of, find

P = ParamSpec("P")


class BackgroundTasks:
    """The queue of the current request. A request has one queue. All objects of this class add to this queue.

    The host runs the tasks after it has sent the response, one at a time, in the order in which they were added. The
    handler, its dependencies, libraries, running tasks and the teardown all add tasks to the same queue.

    In a handler of FastAPI, use FastAPI's own `BackgroundTasks` as a parameter. When the handler has returned its
    response, this package adds FastAPI's tasks to the same queue.
    """

    __slots__ = ()

    def add_task(self, function: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> int:
        """Adds a task that calls `function(*args, **kwargs)`, and returns the task's number within the request.

        `function` may be `def` or `async def`. To set options of the task, use `@task` or `with_options`.

        A task can run in any instance if its function is a function of a module, and if its arguments are JSON. All
        other tasks, such as lambdas and methods, stay in this instance's memory. If the instance dies before such a
        task has run, the host records the task as `abandoned`.

        Raises EnqueueError if the host refuses the task. A refused task never runs.
        """
        return enqueue(definition_of(function), args, kwargs)

    def cancel(self, id: int) -> bool:  # noqa: A002
        """Cancels a task that has not started. The host records the task as `cancelled`.

        Returns False if the task has already started, ended or been cancelled, or if the request has no task with this
        number.
        """
        cancelled = bool(_host.is_there and _host.queue.cancel(id))
        if cancelled:
            _waiting.end(id)
        return cancelled

    def on_failure(self, policy: FailurePolicy) -> None:
        """Sets whether the host runs the remaining tasks of this request after a task has failed. With `"continue"`,
        the host runs them. With `"stop"`, the host skips them.

        If you do not call this method, the operator's setting `on-failure` decides, which is `"stop"` by default.
        """
        if policy not in ("stop", "continue"):
            raise ValueError(f'the policy is "stop" or "continue", not {policy!r}')
        if _host.is_there:
            _host.queue.on_failure(_host.types.FailurePolicy[policy.upper()])


def enqueue(task: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Adds a task to the queue of the current request."""
    if not _host.is_there:
        raise EnqueueError(EnqueueErrorKind.CLOSED)
    reason = _reason_to_keep(task, args, kwargs)
    if reason is None:
        text = _args.write(args, kwargs)
    elif task.options.durable:
        raise EnqueueError(EnqueueErrorKind.BAD_ARGS, f"the durable task {task.name!r} cannot be stored: {reason}")
    else:
        text = _args.keep(_args.Closure(task.function, args, kwargs))
    try:
        id_: int = _host.queue.add_task(task.name, text, _wit_options(task.options, reason is not None))
    except Exception as error:
        _args.forget(text)
        # The exception is componentize-py's `Err`. Its value is the host's `enqueue-error`.
        if not hasattr(error, "value"):
            raise
        raise EnqueueError.from_wit(error.value) from None
    return id_


def _reason_to_keep(task: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Returns the reason why the task must stay in this instance's memory. Returns None if the task can run in any
    instance."""
    if find(task.name) is not task.function:
        return "its function is not found by this name in its module. It must be a function of a module"
    for value in (*args, *kwargs.values()):
        lost = _args.lossy(value)
        if lost is not None:
            return f"JSON cannot keep the argument {lost}. Pass str, int, float, bool, None, list or dict"
    return None


def _wit_options(options: TaskOptions, instance_bound: bool) -> Any:
    types, backoff = _host.types, options.backoff
    return types.TaskOptions(
        run_when=types.RunWhen[options.run_when.upper()],
        timeout=None if options.timeout is None else nanoseconds(options.timeout),
        max_attempts=options.max_attempts,
        backoff=None if backoff is None else types.Backoff(nanoseconds(backoff.first), nanoseconds(backoff.max)),
        cancel_on_disconnect=options.cancel_on_disconnect,
        instance_bound=instance_bound,
        durable=options.durable,
    )
