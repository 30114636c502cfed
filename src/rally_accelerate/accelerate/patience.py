"""For how long a request to Accelerate is tried again."""

import random
import time

from rally_accelerate.errors import Broken, TimedOut, Transient, Unreachable
from rally_accelerate.model.budget import RetryBudget

#: What the budget of a run calls Accelerate.
SERVICE = "Accelerate"

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
JITTER = 1.0


class Tries:
    """The attempts of one request.

    Args:
        budget: The time that all requests of the run may lose together.
        service: What the budget calls the service.
        tries_when_broken: How many bare failures of the server end the attempts; None for no limit of this kind.
    """

    def __init__(self, budget: RetryBudget, service: str, *, tries_when_broken: int | None = None) -> None:
        self._budget = budget
        self._service = service
        self._tries_when_broken = tries_when_broken
        self._began = 0.0
        self._broken = 0
        self._failures = 0

    def begins(self) -> None:
        """Note that an attempt begins."""
        self._began = time.monotonic()

    def close(self) -> None:
        """End the count of the time that this request loses."""
        if self._failures:
            self._budget.ended()
            self._failures = 0

    def wait_after(self, error: Exception) -> float | None:
        """Return for how many seconds to wait before the next attempt; None gives up."""
        if not isinstance(error, Transient) or not self._budget.seconds:
            return None
        if isinstance(error, Broken):
            self._broken += 1
            if self._broken == self._tries_when_broken:
                return None
        now = time.monotonic()
        # Where no answer was to be expected any more, the failed attempt is lost time as well.
        whole = isinstance(error, Unreachable | TimedOut) or not self._budget.has_answered(self._service)
        if not self._failures:
            self._budget.failing(self._service, since=self._began if whole else now)
        self._failures += 1
        # The next attempt will take as long as this one, and is to end in time too.
        left = self._budget.left(self._service) - (now - self._began if whole else 0.0)
        if left <= 0 or (error.retry_after or 0.0) >= left:
            return None
        if error.retry_after is not None:
            return error.retry_after
        doubled = FIRST_WAIT * 2.0 ** min(self._failures - 1, 10)
        # Jitter needs no cryptography; the last attempt is made when the time is over, not long after it.
        return min(min(LONGEST_WAIT, doubled) + random.uniform(0, JITTER), left)  # noqa: S311
