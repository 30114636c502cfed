"""Limit of concurrent requests per Rally user, shared by all clients in the process.

Rally slows a user's thirteenth simultaneous request and may disable the account (rally-api-notes.md#limits).
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from rally_accelerate.config.model import MOST_REQUESTS_IN_FLIGHT, Properties


class Limiter:
    """Limit of concurrent tasks, first come, first served. All tasks run in one event loop."""

    def __init__(self) -> None:
        self._limits: list[int] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.in_flight = 0
        #: The maximum number of concurrent requests so far.
        self.peak = 0

    @property
    def limit(self) -> int:
        """The lowest limit of all registered users."""
        return min(self._limits, default=MOST_REQUESTS_IN_FLIGHT)

    @contextmanager
    def register(self, limit: int) -> Iterator["Limiter"]:
        """Register a user of the limiter; while registered, at most ``limit`` requests of this user are in flight."""
        limit = max(1, min(limit, MOST_REQUESTS_IN_FLIGHT))
        self._limits.append(limit)
        try:
            yield self
        finally:
            self._limits.remove(limit)
            self._wake()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold the slot of one request; wait until one is free."""
        await self._acquire()
        try:
            yield
        finally:
            self.in_flight -= 1
            self._wake()

    async def _acquire(self) -> None:
        if self.in_flight >= self.limit or self._waiting:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    # The place was given in the moment of the cancellation: hand it on, or it is lost for
                    # ever.
                    self.in_flight -= 1
                    self._wake()
                elif turn in self._waiting:
                    self._waiting.remove(turn)
                raise
            return
        self._take()

    def _take(self) -> None:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    def _wake(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._take()
                turn.set_result(None)


class LimiterPool:
    """The limiters of a process, one for each Rally user."""

    def __init__(self) -> None:
        self._limiters: dict[str, Limiter] = {}

    @contextmanager
    def acquire(self, properties: Properties) -> Iterator[Limiter]:
        """Provide the limiter of the user that these properties log in as, while the context is active."""
        limiter = self._limiters.setdefault(user_key(properties), Limiter())
        with limiter.register(properties.max_requests_in_flight):
            yield limiter


def user_key(properties: Properties) -> str:
    """Return a key that identifies a Rally user: the server and a hash of the credentials."""
    if properties.api_key is not None and properties.api_key.get_secret_value():
        who = f"key\0{properties.api_key.get_secret_value()}"
    else:
        # The password does not make another user.
        who = f"user\0{properties.username.casefold()}"
    return f"{properties.base_url} {hashlib.sha256(who.encode()).hexdigest()[:16]}"
