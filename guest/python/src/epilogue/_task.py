"""Functions as tasks: their names, their options, and the functions behind the names."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, Unpack, cast, overload

from epilogue._options import Options, TaskOptions

P = ParamSpec("P")
R = TypeVar("R")

_MARK = "__epilogue_task__"


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """The task that a function stands for."""

    name: str
    function: Callable[..., Any]
    options: TaskOptions


# Only the tasks that `@task` has named. All others are found in their module.
_named: dict[str, Callable[..., Any]] = {}


@overload
def task(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def task(*, name: str | None = None, **options: Unpack[Options]) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Unpack[Options]) -> Any:
    """Sets the name and the options of a function that runs as a background task.

        @task(durable=True, max_attempts=5, timeout=10)
        async def send_welcome(email: str) -> None: ...

    The function stays as it is: a direct call runs it now. It may be `def` or `async def`.

    `name` is the name under which the host knows and stores the task. Default: the module and the function, such as
    `mail:send_welcome`. The host finds a stored task by this name, also after the app has changed. Set a name that
    survives refactoring.

    Every function can be a task, also without this decorator. A function without it has the default options.

    Raises ValueError if two functions have the same name, or if an option has no valid value.
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        definition = Definition(name or default_name(function), function, TaskOptions(**options))
        setattr(function, _MARK, definition)
        if "<locals>" in function.__qualname__:
            # Each call of the outer function makes another one, with other variables: it stays in this instance.
            return function
        other = _named.setdefault(definition.name, function)
        if other is not function and default_name(other) != default_name(function):
            raise ValueError(
                f"two tasks are named {definition.name!r}, {default_name(other)} and {default_name(function)}: "
                'name one of them with @task(name="…")'
            )
        # A reload of the module defines the same task again.
        _named[definition.name] = function
        return function

    return mark if function is None else mark(function)


def with_options(function: Callable[P, R], /, **options: Unpack[Options]) -> Callable[P, R]:
    """Returns the function with other options, for one `add_task`.

        tasks.add_task(with_options(write_log, run_when="always", timeout=5), "message")

    The options replace those of `@task`, one by one. The result works with the `add_task` of `epilogue`, of FastAPI and
    of Starlette. You can also call the result like the function.
    """
    own = definition_of(function)
    # Starlette looks through a `partial` to see whether the function is `async`.
    call = functools.partial(own.function)
    setattr(call, _MARK, dataclasses.replace(own, options=dataclasses.replace(own.options, **options)))
    return cast("Callable[P, R]", call)


def default_name(function: Callable[..., Any]) -> str:
    """The name of a function without `@task`: `module:qualified.name`."""
    if isinstance(function, functools.partial):
        return default_name(function.func)
    owner = function if hasattr(function, "__qualname__") else type(function)
    return f"{owner.__module__}:{owner.__qualname__}"


_DEFAULTS = TaskOptions()


def definition_of(function: Callable[..., Any]) -> Definition:
    """The task that `function` stands for, also without `@task`."""
    definition = getattr(function, _MARK, None)
    if isinstance(definition, Definition):
        if isinstance(function, functools.partial) or definition.function is function:
            return definition
        # A bound method, or a wrapper that has copied the attributes of the function.
        return dataclasses.replace(definition, function=function)
    return Definition(default_name(function), function, _DEFAULTS)


def find(name: str) -> Callable[..., Any] | None:
    """The function of this name: a task that `@task` has named, or a function of a module that has been imported."""
    if name in _named:
        return _named[name]
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if path and callable(found) else None
