"""What a simulated Rally has been asked for."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

#: Rally's own limit of simultaneous requests of one user (rally-api-notes.md#limits).
LIMIT = 12


class Stats:
    """Counts; every member may be read and reset from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._in_flight: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Begin at zero; requests in flight stay so."""
        with self._lock:
            self.requests: Counter[str] = Counter()
            self.statuses: Counter[int] = Counter()
            #: ``METHOD /path`` of everything that tried to change something.
            self.write_attempts: list[str] = []
            self.bytes = 0
            self.faults: Counter[str] = Counter()
            self.max_in_flight = 0

    @property
    def total(self) -> int:
        """How many requests there were."""
        return sum(self.requests.values())

    @contextmanager
    def request(self, kind: str, user: str) -> Iterator[None]:
        """Count a request while it is being answered.

        Args:
            kind: See ``wsapi.kind_of_request``.
            user: Whose simultaneous requests are counted.
        """
        with self._lock:
            self.requests[kind] += 1
            self._in_flight[user] += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight[user])
        try:
            yield
        finally:
            with self._lock:
                self._in_flight[user] -= 1

    def answered(self, status: int, size: int) -> None:
        """An answer with a body of so many bytes went out."""
        with self._lock:
            self.statuses[status] += 1
            self.bytes += size

    def refused_write(self, attempt: str) -> None:
        """Somebody tried to write."""
        with self._lock:
            self.write_attempts.append(attempt)

    def faulted(self, fault: str) -> None:
        """A fault was played."""
        with self._lock:
            self.faults[fault] += 1

    def as_json(self) -> Mapping[str, Any]:
        """Everything as plain values."""
        with self._lock:
            return {
                "requests": dict(self.requests),
                "total": sum(self.requests.values()),
                "statuses": {str(status): count for status, count in self.statuses.items()},
                "writeAttempts": list(self.write_attempts),
                "bytes": self.bytes,
                "faults": dict(self.faults),
                "maxInFlight": self.max_in_flight,
                "limit": LIMIT,
            }
