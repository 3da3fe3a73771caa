"""The tasks of an app: their names, their options and their functions."""

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
    """A function as a task, with the task's name and options."""

    name: str
    function: Callable[..., Any]
    options: TaskOptions


# The tasks with the decorator `@task`, by name. `find` looks up the functions of other tasks in their modules.
_named: dict[str, Callable[..., Any]] = {}


@overload
def task(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def task(*, name: str | None = None, **options: Unpack[Options]) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Unpack[Options]) -> Any:
    """Sets the name and the options of a function that runs as a background task.

        @task(durable=True, max_attempts=5, timeout=10)
        async def send_welcome(email: str) -> None: ...

    The decorator does not change the function, so the app can also call the function directly. The function may be
    `def` or `async def`.

    `name` is the name under which the host stores the task. The default name is the module and the function, such as
    `mail:send_welcome`. If you rename or move the function, the default name changes. The host then cannot run tasks
    that it has stored under the old name. To avoid this, set a `name`.

    Every function can be a task, also without this decorator. A function without this decorator has the default
    options.

    Raises ValueError if two tasks have the same name, or if the value of an option is not valid.
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        definition = Definition(name or default_name(function), function, TaskOptions(**options))
        setattr(function, _MARK, definition)
        if "<locals>" in function.__qualname__:
            # The function was made by another function and uses its variables, so the task must run in this instance.
            return function
        other = _named.setdefault(definition.name, function)
        if other is not function and default_name(other) != default_name(function):
            raise ValueError(
                f"two tasks are named {definition.name!r}, {default_name(other)} and {default_name(function)}: "
                'name one of them with @task(name="…")'
            )
        # After a reload of the module, the new function replaces the old function.
        _named[definition.name] = function
        return function

    return mark if function is None else mark(function)


def with_options(function: Callable[P, R], /, **options: Unpack[Options]) -> Callable[P, R]:
    """Returns a copy of the function with other task options. Pass the copy to `add_task`.

        tasks.add_task(with_options(write_log, run_when="always", timeout=5), "message")

    Each option of this call replaces the same option of `@task`. You can pass the copy to the `add_task` of `epilogue`,
    of FastAPI and of Starlette. You can also call the copy like the function.
    """
    own = definition_of(function)
    # The copy is a `partial`, because Starlette can see whether the function inside a `partial` is `async`.
    call = functools.partial(own.function)
    setattr(call, _MARK, dataclasses.replace(own, options=dataclasses.replace(own.options, **options)))
    return cast("Callable[P, R]", call)


def default_name(function: Callable[..., Any]) -> str:
    """Returns the default name of a task, in the form `module:qualified.name`."""
    if isinstance(function, functools.partial):
        return default_name(function.func)
    owner = function if hasattr(function, "__qualname__") else type(function)
    return f"{owner.__module__}:{owner.__qualname__}"


_DEFAULTS = TaskOptions()


def definition_of(function: Callable[..., Any]) -> Definition:
    """Returns the task's definition for `function`, also for a function without `@task`."""
    definition = getattr(function, _MARK, None)
    if isinstance(definition, Definition):
        if isinstance(function, functools.partial) or definition.function is function:
            return definition
        # The function is not the task's own function, but a bound method, or a wrapper with the same attributes.
        return dataclasses.replace(definition, function=function)
    return Definition(default_name(function), function, _DEFAULTS)


def find(name: str) -> Callable[..., Any] | None:
    """Returns the function of the task with this name. Looks for a function with `@task`, and then for a function of an
    imported module. Returns None if the app has no such function."""
    if name in _named:
        return _named[name]
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if path and callable(found) else None
