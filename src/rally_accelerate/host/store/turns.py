"""Turns for work that takes long: a few at once, and a fair share for each user.

Without shares, one user's long queries would be done one after the other before anybody else's.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from rally_accelerate.errors import TooManyQueries

#: Each has a connection and a thread, and takes the time of everybody else.
AT_ONCE = 2

#: Of one user. A GraphQL request can have as many operations.
MOST_WAITING = 20

#: The user, or the key of the server's own, in whose name the current task works; the guard sets it.
asker: ContextVar[str] = ContextVar("asker", default="")


class Turns:
    """Gives turns to users in rotation, to each of them only one at a time.

    Args:
        at_once: How many turns there are.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._running: set[str] = set()
        #: First comes the user whose last turn ended first.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn of the current user, and keep it for as long as the context lasts.

        Raises:
            TooManyQueries: Too many of the user's are waiting.
        """
        who = asker.get()
        await self._begun(who)
        try:
            yield
        finally:
            self._ended(who)

    async def _begun(self, who: str) -> None:
        queue = self._waiting.setdefault(who, deque())
        if len(queue) >= MOST_WAITING:
            raise TooManyQueries(
                f"{MOST_WAITING} of your slow queries are waiting already, and each user has one evaluated at a time",
                hint="Wait until some have ended, then try again.",
            )
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(mine)
        self._give()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                # The turn was given at the same moment.
                self._ended(who)
            raise

    def _ended(self, who: str) -> None:
        self._running.discard(who)
        if who in self._waiting:
            self._waiting.move_to_end(who)
        self._give()

    def _give(self) -> None:
        for who in list(self._waiting):
            queue = self._waiting[who]
            while queue and queue[0].done():
                # Its task was cancelled.
                queue.popleft()
            if not queue:
                del self._waiting[who]
            elif len(self._running) < self._at_once and who not in self._running:
                self._running.add(who)
                queue.popleft().set_result(None)
