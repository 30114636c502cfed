"""One value is fetched ahead, never two, and nothing is left running."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from rally_accelerate.rally.client import Prefetcher


class Source:
    def __init__(self, *, fails_at: Any = None) -> None:
        self.fetched = 0
        self.closed = False
        self.fails_at = fails_at

    async def values(self) -> Any:
        try:
            for number in range(1, 6):
                await asyncio.sleep(0)
                if number == self.fails_at:
                    raise RuntimeError("no more")
                self.fetched = number
                yield number
        finally:
            self.closed = True


async def test_every_value_once_and_one_ahead() -> None:
    source, seen = Source(), []
    async for value in Prefetcher().iterate(source.values()):
        for _ in range(10):
            await asyncio.sleep(0)
        seen.append((value, source.fetched))
    assert seen == [(1, 2), (2, 3), (3, 4), (4, 5), (5, 5)]
    assert source.closed


async def test_a_consumer_that_stops_early_leaves_nothing_running() -> None:
    source = Source()
    async with aclosing(Prefetcher().iterate(source.values())) as values:
        async for _ in values:
            break
    assert source.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_owner_stops_a_forgotten_look_ahead() -> None:
    ahead, source = Prefetcher(), Source()
    values = ahead.iterate(source.values())
    await anext(values)
    await ahead.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await values.aclose()


async def test_an_error_comes_after_the_value_before_it() -> None:
    values = Prefetcher().iterate(Source(fails_at=3).values())
    assert [await anext(values), await anext(values)] == [1, 2]
    with pytest.raises(RuntimeError):
        await anext(values)
