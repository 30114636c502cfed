"""One step of look-ahead: the next value is fetched while the present one is being worked on."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

T = TypeVar("T")


class LookAhead:
    """Every look-ahead of one owner, so that it can stop them all.

    A consumer may merely forget its iterator, which Python then closes at a time of its own; the owner's end
    must not wait for that.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def over(self, source: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """The values of a source, each fetched while the one before is in use.

        Args:
            source: Where the values come from; closed at the end, also when the consumer stops early.
        """
        task = self._begin(source)
        try:
            while (value := await task) is not None:
                held, value = [value], None
                task = self._begin(source)
                # Handed over, not shared: while the next value is awaited, nothing here keeps this one in memory.
                yield held.pop()
        finally:
            await _gone(task)
            await source.aclose()

    async def stop(self) -> None:
        """Cancel what is running and wait until it is gone."""
        await _gone(*self._running)

    def _begin(self, source: AsyncGenerator[T]) -> asyncio.Task[T | None]:
        async def step() -> T | None:
            return await anext(source, None)

        task = asyncio.create_task(step())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


async def _gone(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    # What they brought or failed with is nobody's any more.
    await asyncio.gather(*tasks, return_exceptions=True)
