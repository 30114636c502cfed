"""Searches that ask issues one by one: few of them at once, and nobody need wait for their end."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from rally_accelerate.errors import TooManyQueries
from rally_accelerate.host.store.turns import Turns

T = TypeVar("T")

log = logging.getLogger(__name__)

#: So many are remembered, and for so many seconds after they have ended: whoever asks meanwhile is told the same.
MOST = 50
KEPT_SECONDS = 60.0


class Patience(Generic[T]):
    """Lets slow searches take turns, and go on while whoever asked is told to come back."""

    def __init__(self) -> None:
        self.turns = Turns()
        self._tasks: OrderedDict[Hashable, asyncio.Task[T]] = OrderedDict()
        self._closing = False

    async def soon(self, key: Hashable, look: Callable[[], Awaitable[T]], *, seconds: float) -> T | None:
        """What a search says that ends within some seconds, or has ended a short time ago; else None.

        Args:
            key: The search.
            look: Has it done; called if it does not go on already.
            seconds: To wait.
        """
        task = self._tasks.get(key)
        if task is None:
            self._forget()
            task = self._tasks[key] = asyncio.ensure_future(look())
            task.add_done_callback(lambda done: self._ended(key, done))
        await asyncio.wait([task], timeout=seconds)
        return task.result() if task.done() else None

    async def close(self) -> None:
        """Stop what goes on."""
        self._closing = True
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _ended(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._closing:
            if isinstance(error, TooManyQueries):
                # It says nothing about the search: the next attempt begins it.
                self._drop(key, task)
                return
            # Whoever waits is told as well; when nobody does, the log is.
            log.warning("a search failed: %s", error)
        if not self._closing:
            task.get_loop().call_later(KEPT_SECONDS, self._drop, key, task)

    def _drop(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    def _forget(self) -> None:
        ended = [key for key, task in self._tasks.items() if task.done()]
        for key in ended[: max(0, len(self._tasks) - MOST)]:
            del self._tasks[key]
