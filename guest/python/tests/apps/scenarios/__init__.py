"""What the app `plain` does, one module for each area. Each path is one scenario: `GET /NAME` calls the function NAME."""

from collections.abc import Awaitable, Callable
from typing import Any

from epilogue import BackgroundTasks

Scenario = Callable[[dict[str, Any], Any, Any], Awaitable[str | None]]
scenarios: dict[str, Scenario] = {}
tasks = BackgroundTasks()


def scenario(function: Scenario) -> Scenario:
    """Serves the function. It returns the response's body, or None if it has sent the response."""
    scenarios[f"/{function.__name__}"] = function
    return function


async def answer(send: Any, body: str, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})


def say(*words: object) -> None:
    print(*words)


def fail() -> None:
    raise ValueError("it broke")
