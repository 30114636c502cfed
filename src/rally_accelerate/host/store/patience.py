"""Searches that ask issues one by one: few of them at once, and nobody need wait for their end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable

log = logging.getLogger(__name__)

#: Each has a connection and a thread, and takes the time of everybody else.
AT_ONCE = 2

#: So many that have ended are remembered until somebody asks for them.
MOST = 50


class Patience:
    """Lets slow searches take turns, and go on while whoever asked is told to come back."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(AT_ONCE)
        self._going_on: dict[Hashable, asyncio.Task[None]] = {}
        self._closing = False

    async def soon(self, key: Hashable, look: Callable[[], Awaitable[None]], *, seconds: float) -> bool:
        """Whether a search ends within some seconds, or has ended since it was asked for last.

        Args:
            key: The search.
            look: Has it done; called if it does not go on already.
            seconds: To wait.
        """
        task = self._going_on.get(key)
        if task is None:
            self._forget()
            task = self._going_on[key] = asyncio.ensure_future(look())
            task.add_done_callback(self._told)
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            return False
        # Once: what it found is kept elsewhere, until the issues change.
        if self._going_on.get(key) is task:
            del self._going_on[key]
        task.result()
        return True

    async def close(self) -> None:
        """Stop what goes on."""
        self._closing = True
        for task in self._going_on.values():
            task.cancel()
        await asyncio.gather(*self._going_on.values(), return_exceptions=True)

    def _forget(self) -> None:
        ended = [key for key, task in self._going_on.items() if task.done()]
        for key in ended[: max(0, len(self._going_on) - MOST)]:
            del self._going_on[key]

    def _told(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._closing:
            # Whoever asks again is told as well; when nobody does, the log is.
            log.warning("a search failed: %s", error)
