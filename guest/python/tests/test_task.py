import asyncio
import functools
import inspect
from typing import Any

import pytest

from epilogue import _task, task, with_options
from epilogue._task import default_name, definition_of, find


def write_log(message: str) -> str:
    return message


@task(name="mail.welcome", durable=True, max_attempts=3)
async def send_welcome(email: str) -> str:
    return email


class Mailer:
    def send(self) -> None: ...

    def __call__(self) -> None: ...


def test_a_task_is_named_after_its_module_and_function() -> None:
    assert definition_of(write_log).name == f"{__name__}:write_log"
    assert definition_of(send_welcome).name == "mail.welcome"
    assert default_name(Mailer().send) == f"{__name__}:Mailer.send"
    assert default_name(Mailer()) == f"{__name__}:Mailer"
    assert default_name(functools.partial(write_log, "a")) == f"{__name__}:write_log"


def test_a_method_and_a_wrapper_keep_themselves_and_the_options() -> None:
    class Shop:
        @task(max_attempts=4)
        def sell(self) -> None: ...

    @functools.wraps(send_welcome)
    async def wrapper(email: str) -> str:
        return await send_welcome(email)

    shop = Shop()
    for function, attempts in ((shop.sell, 4), (wrapper, 3)):
        definition = definition_of(function)
        assert definition.function == function
        assert definition.options.max_attempts == attempts


def test_a_nested_function_is_not_found_by_its_name() -> None:
    @task
    def nested() -> None: ...

    assert find(default_name(nested)) is None


def test_a_task_is_found_by_its_name() -> None:
    assert find("mail.welcome") is send_welcome
    assert find(f"{__name__}:write_log") is write_log
    assert find(f"{__name__}:nothing") is None
    assert find("no.such.module:f") is None
    assert find("") is None


def test_a_task_is_still_a_function() -> None:
    assert asyncio.run(send_welcome("a@b.c")) == "a@b.c"
    assert task(write_log)("now") == "now"


def test_options_replace_those_of_the_function_one_by_one() -> None:
    options = definition_of(with_options(send_welcome, max_attempts=5)).options
    assert (options.durable, options.max_attempts) == (True, 5)
    assert definition_of(send_welcome).options.max_attempts == 3
    assert definition_of(with_options(with_options(write_log, timeout=1), durable=True)).options.timeout == 1


def test_a_function_with_options_is_still_found_and_still_async() -> None:
    call = with_options(send_welcome, timeout=5)
    assert definition_of(call).function is send_welcome
    assert isinstance(call, functools.partial)
    assert inspect.iscoroutinefunction(call.func)
    assert asyncio.run(call("a")) == "a"


def test_two_functions_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match=r"two tasks are named 'mail.welcome', .*send_welcome and .*write_log"):
        task(name="mail.welcome")(write_log)


def test_a_module_may_be_reloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_task, "_named", {})

    def define() -> Any:
        def again() -> None: ...

        again.__qualname__ = "again"
        return task(name="again")(again)

    define()
    again = define()
    assert find("again") is again


def test_wrong_options_are_refused_at_the_definition() -> None:
    with pytest.raises(ValueError, match="run_when"):
        task(run_when="never")(write_log)  # type: ignore[call-overload]
