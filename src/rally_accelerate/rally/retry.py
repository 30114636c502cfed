"""What is tried again, for how long, and with which waits."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from rally_accelerate.errors import Transient
from rally_accelerate.model.trouble import trying

logger = logging.getLogger(__name__)

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
JITTER = 2.0

#: Who tries for no longer than this waits before a screen: an attempt that itself took longer is the last one, also
#: where the next would ask for less.
LITTLE_PATIENCE = 10.0

#: For so long it asks for less and less before such a screen.
LONGEST_SHRINKING = 20.0

T = TypeVar("T")


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    *,
    seconds: float,
    eased: Callable[[Transient], bool] = lambda _: False,
    retried: Callable[[], None] = lambda: None,
) -> T:
    """Run an attempt until it succeeds, fails for good, or has failed for too long.

    Waits double from one second to thirty, with jitter; a wait that the service asks for is kept exactly. In
    tests ``stamina.set_testing`` switches all waits off.

    Args:
        attempt: What is tried; makes its request anew each time.
        seconds: For how long after the first failure further attempts begin; 0 means one attempt only.
        eased: Told of each failure; answers whether the next attempt will ask for less. Then it is another
            request, and the time begins anew: a page that takes too long is halved until it fits, not given
            up after two tries.
        retried: Called before each further attempt.

    Raises:
        RallyAccelerateError: What the last attempt raised.
    """
    with trying() as tell:
        patience = _Patience(seconds, eased, tell)
        async for try_ in stamina.retry_context(
            on=patience.decide,
            attempts=None,
            timeout=None,
            wait_initial=FIRST_WAIT,
            wait_max=LONGEST_WAIT,
            wait_jitter=JITTER,
        ):
            with try_:
                patience.begins()
                if try_.num > 1:
                    retried()
                    logger.warning("Trying again (attempt %d) after: %s", try_.num, patience.last)
                return await attempt()
    raise AssertionError("stamina ends with a result or an exception")


class _Patience:
    """Decides after each failure whether to go on, and how long to wait when the service says."""

    def __init__(self, seconds: float, eased: Callable[[Transient], bool], tell: Callable[[str, str], None]) -> None:
        self._seconds = seconds
        self._eased = eased
        self._tell = tell
        self._until: float | None = None
        self._began = 0.0
        self._first: float | None = None
        self.last: Transient | None = None

    def begins(self) -> None:
        """An attempt begins now."""
        self._began = time.monotonic()

    def decide(self, error: Exception) -> bool | float:
        """Stamina's hook: False gives up, True waits as usual, a number waits exactly so long."""
        if not isinstance(error, Transient):
            return False
        now = time.monotonic()
        if self._first is None:
            self._first = now
        if self._seconds <= LITTLE_PATIENCE and (
            now - self._began > self._seconds or now - self._first > LONGEST_SHRINKING
        ):
            return False
        if self._eased(error) or self._until is None:
            self._until = now + self._seconds
        self.last = error
        wait = error.retry_after or 0.0
        if now + wait >= self._until:
            return False
        # Told now, not when the next attempt begins: whoever looks on sees nothing else during a long wait.
        self._tell(str(error), error.hint)
        return wait if wait > 0 else True
