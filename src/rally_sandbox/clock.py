"""The simulator's clock: it follows real time from a settable start, or stands still until it is advanced."""

import time
from datetime import UTC, datetime, timedelta

from rally_sandbox.instants import from_datetime, to_datetime


class Clock:
    """What time it is in the simulated Rally.

    Args:
        start: The time shown at first, aware; None is the real time.
        still: Whether the clock stands still and moves only by ``advance``.
    """

    def __init__(self, start: datetime | None = None, *, still: bool = False) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError("the clock's start needs a time zone")
        self._still = still
        self._origin = from_datetime(start if start is not None else datetime.now(UTC))
        self._since = time.monotonic()

    @classmethod
    def standing(cls, start: datetime) -> "Clock":
        """A clock that shows ``start`` until it is advanced."""
        return cls(start, still=True)

    def now(self) -> datetime:
        """The simulated time, aware UTC."""
        return to_datetime(self.milliseconds())

    def milliseconds(self) -> int:
        """The simulated time in milliseconds since 1970."""
        if self._still:
            return self._origin
        return self._origin + int((time.monotonic() - self._since) * 1000)

    def stop(self) -> None:
        """Let the clock show the same time until it is advanced or started."""
        self._origin, self._still = self.milliseconds(), True

    def start(self) -> None:
        """Let the clock go on from the time it shows."""
        self._origin, self._since, self._still = self.milliseconds(), time.monotonic(), False

    def advance(self, step: timedelta) -> None:
        """Let ``step`` pass at once.

        Raises:
            ValueError: The step is negative; no clock of a server that issues ids runs backwards.
        """
        if step < timedelta(0):
            raise ValueError("the clock does not run backwards")
        self._origin += int(step / timedelta(milliseconds=1))
