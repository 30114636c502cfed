"""What is tried again, for how long, and with which waits."""

import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TypeVar

import stamina

from rally_accelerate.errors import Transient, Unreachable
from rally_accelerate.model.budget import RetryBudget
from rally_accelerate.model.trouble import trying

logger = logging.getLogger(__name__)

#: What the budget of a run calls Rally.
SERVICE = "Rally"

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
JITTER = 2.0

#: Who tries for no longer than this waits before a screen: an attempt that itself took longer is the last one, also
#: where the next would ask for less.
LITTLE_PATIENCE = 10.0

#: For so long it asks for less and less before such a screen.
LONGEST_SHRINKING = 20.0

#: For so long a run asks for less and less as if no time were lost. A service that has not answered by then may hang:
#: what follows counts as time that the run loses.
LONGEST_EASING = 60.0

#: What fails sooner does not fail because of the size of what was asked for.
AT_ONCE_SECONDS = 5.0

T = TypeVar("T")


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    *,
    seconds: float,
    eased: Callable[[Transient], bool] = lambda _: False,
    retried: Callable[[], None] = lambda: None,
    budget: RetryBudget | None = None,
) -> T:
    """Run an attempt until it succeeds, fails for good, or has failed for too long.

    Waits double from one second to thirty, with jitter; a wait that the service asks for is kept exactly. In
    tests ``stamina.set_testing`` switches all waits off.

    Args:
        attempt: What is tried; makes its request anew each time.
        seconds: For how long after the first failure further attempts begin; 0 means one attempt only.
        eased: Told of each failure; answers whether the next attempt will ask for less. Then it is another
            request, and the time begins anew, as long as all attempts together take less than
            ``LONGEST_EASING``: a page that takes too long is halved until it fits, not given up after two tries.
        retried: Called before each further attempt.
        budget: The time that all requests of the run may lose together; None leaves this request to itself.

    Raises:
        RallyAccelerateError: What the last attempt raised.
    """
    with trying() as tell, closing(_Patience(seconds, eased, tell, budget)) as patience:
        async for try_ in stamina.retry_context(on=patience.decide, attempts=None, timeout=None):
            with try_:
                patience.begins()
                if try_.num > 1:
                    retried()
                    logger.warning("Trying again (attempt %d) after: %s", try_.num, patience.last)
                result = await attempt()
                patience.succeeded()
                return result
    raise AssertionError("stamina ends with a result or an exception")


class _Patience:
    """Decides after each failure whether to go on, and how long to wait."""

    def __init__(
        self,
        seconds: float,
        eased: Callable[[Transient], bool],
        tell: Callable[[str, str], None],
        budget: RetryBudget | None,
    ) -> None:
        self._is_run = budget is not None
        self._seconds = seconds
        self._eased = eased
        self._tell = tell
        self._budget = budget or RetryBudget(seconds)
        self._until: float | None = None
        self._began = 0.0
        self._first: float | None = None
        self._failures = 0
        self._counted = False
        self._asked_less = False
        self._started: float | None = None
        self._succeeded = False
        self.last: Transient | None = None

    def begins(self) -> None:
        """Note that an attempt begins."""
        self._began = time.monotonic()
        if self._started is None:
            self._started = self._began

    def succeeded(self) -> None:
        """Note that the last attempt brought an answer."""
        self._succeeded = True

    def close(self) -> None:
        """End the count of the time that this request loses; a smaller page that came is no loss."""
        if self._counted:
            self._budget.ended(counts=not (self._succeeded and self._asked_less))
            self._counted = False

    def decide(self, error: Exception) -> bool | float:
        """Return False to give up, or for how many seconds to wait before the next attempt; stamina's hook."""
        if not isinstance(error, Transient):
            return False
        now = time.monotonic()
        if self._first is None:
            self._first = now
        if self._seconds <= LITTLE_PATIENCE and (
            now - self._began > self._seconds or now - self._first > LONGEST_SHRINKING
        ):
            return False
        self._failures += 1
        eased = self._eased(error) and not self._is_dead(now)
        self._asked_less |= eased
        if eased and not self._may_hang(now):
            if self._counted:
                self._budget.ended(counts=False)
                self._counted = False
            self._until = now + self._seconds
            left = self._seconds
        else:
            if eased and not self._counted:
                self._until = now + self._seconds
            self._count(error, now)
            if self._until is None:
                self._until = now + self._seconds
            left = min(self._until - now, self._budget.left(SERVICE))
            if self._whole(error):
                # The next attempt will take as long as this one, and is to end in time too.
                left -= now - self._began
        self.last = error
        if left <= 0 or (error.retry_after or 0.0) >= left:
            return False
        # Told now, not when the next attempt begins: whoever looks on sees nothing else during a long wait.
        self._tell(str(error), error.hint)
        if error.retry_after:
            return error.retry_after
        # The last attempt is made when the time is over, not up to half a minute later.
        return min(backoff(self._failures), left)

    def _is_dead(self, now: float) -> bool:
        """Return whether asking for less changes nothing: no answer ever came, or the failure came at once."""
        silent = not self._budget.has_answered(SERVICE)
        return self._is_run and (silent or now - self._began < AT_ONCE_SECONDS)

    def _may_hang(self, now: float) -> bool:
        """Return whether so much time has passed that more of it is lost, even if the next attempt asks for less."""
        return self._is_run and self._started is not None and now - self._started >= LONGEST_EASING

    def _count(self, error: Transient, now: float) -> None:
        """Count the time that is lost, with the failed attempt where no answer was to be expected any more."""
        if self._counted:
            return
        self._budget.failing(SERVICE, since=self._began if self._whole(error) else now)
        self._counted = True

    def _whole(self, error: Transient) -> bool:
        # A request that was made smaller is another one, whose time begins with its failure.
        return isinstance(error, Unreachable) or (not self._asked_less and not self._budget.has_answered(SERVICE))


def backoff(failures: int) -> float:
    """Return how many seconds to wait after so many failures of a request."""
    # Jitter needs no cryptography.
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 10)) + random.uniform(0, JITTER)  # noqa: S311
