"""Waiting for a condition with a deadline: a condition that never holds fails the test instead of blocking the run."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

#: Far longer than anything takes that happens at all, also on a loaded machine; only a failing test waits so long.
PATIENCE_SECONDS = 120.0


@overload
async def until(condition: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE_SECONDS) -> T: ...


@overload
async def until(condition: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T: ...


async def until(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Return the first true value of a condition that is asked again and again.

    Args:
        condition: A function or coroutine function without arguments.
        seconds: After how many seconds the test fails.

    Raises:
        AssertionError: The condition did not hold in time.
    """
    end = time.monotonic() + seconds
    while True:
        value = condition()
        result = await value if inspect.isawaitable(value) else value
        if result:
            return result
        assert time.monotonic() < end, f"the condition did not hold within {seconds:g} s"
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
    """Return the first true value of a condition, asked again and again without an event loop.

    Raises:
        AssertionError: The condition did not hold in time.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"the condition did not hold within {seconds:g} s"
        time.sleep(0.02)
    return value
