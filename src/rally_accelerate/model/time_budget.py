"""The time that one run can spend on failing services; arithmetic on a clock, no I/O.

A scheduled run has to end before the next one is due, whichever service is down and however many requests fail. So the
time is counted for the whole run: overlapping failures once, failures one after the other together.
"""

import math
import time

#: A service that has not answered yet has at least this many seconds for its first answer, however small the budget.
FIRST_ANSWER_SECONDS = 30.0


class RetryBudget:
    """Seconds that the failing requests of one run may take together.

    Args:
        seconds: The total for the run; 0 means that nothing is tried twice.
        unanswered_seconds: The limit for a service that has never answered in this run.
    """

    def __init__(self, seconds: float, *, unanswered_seconds: float = math.inf) -> None:
        self.seconds = seconds
        self._unanswered_seconds = unanswered_seconds
        self._spent = 0.0
        #: How many requests are failing now, and since when at least one of them is.
        self._failing = 0
        self._since = 0.0
        self._answered: set[str] = set()
        self._first_failures: dict[str, float] = {}

    def record_response(self, service: str) -> None:
        """Record that a service sent a response, whatever it contains."""
        self._answered.add(service)

    def has_responded(self, service: str) -> bool:
        """Return whether a service has sent an answer in this run."""
        return service in self._answered

    def start_failure(self, service: str, *, since: float) -> None:
        """Start counting the time of a failed request.

        Args:
            service: The service that the request is for.
            since: From when on the time counts, by ``time.monotonic``.
        """
        self._first_failures.setdefault(service, since)
        self._since = min(self._since, since) if self._failing else since
        self._failing += 1

    def end_failure(self, *, counts: bool = True) -> None:
        """Stop counting the time of a request that succeeded or was given up.

        Args:
            counts: False for a request that is repeated in a smaller form: asking for less is no loss of time.
        """
        self._failing -= 1
        if not self._failing and counts:
            self._spent += max(0.0, time.monotonic() - self._since)

    def get_remaining(self, service: str) -> float:
        """Return the number of seconds in which further attempts can begin."""
        now = time.monotonic()
        remaining = self.seconds - self._spent - (now - self._since if self._failing else 0.0)
        if service not in self._answered:
            remaining = min(remaining, self._unanswered_seconds - (now - self._first_failures.get(service, now)))
        return remaining

    def get_limit(self, service: str, *, always: bool = False) -> float:
        """Return the time limit of an attempt in seconds, so that a silent service ends in time.

        A service that has answered before and is not failing has no limit of this kind, unless ``always`` is set.
        """
        if not self.seconds or (service in self._answered and not self._failing and not always):
            return math.inf
        return max(self.get_remaining(service), FIRST_ANSWER_SECONDS)
