"""The simulator's clock, which follows real time from a configurable start or is frozen, and date formats."""

import time
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def from_datetime(moment: datetime) -> int:
    """Convert an aware datetime to milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def to_datetime(milliseconds: int) -> datetime:
    """Convert milliseconds since 1970 to an aware UTC datetime."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def format_iso(milliseconds: int) -> str:
    """Format a time as UTC ISO-8601 with milliseconds and ``Z`` (rally-api-notes.md#dates)."""
    day, rest = divmod(milliseconds, DAY)
    hour, rest = divmod(rest, HOUR)
    minute, rest = divmod(rest, MINUTE)
    return f"{_format_date(day)}T{hour:02d}:{minute:02d}:{rest // SECOND:02d}.{rest % SECOND:03d}Z"


@lru_cache(maxsize=4096)
def _format_date(day: int) -> str:
    year, month, number, *_ = time.gmtime(day * 86_400)
    return f"{year:04d}-{month:02d}-{number:02d}"


def format_mountain_time(milliseconds: int) -> str:
    """Format a time as in revision texts: server-local, ``MST`` or ``MDT``, without milliseconds.

    See rally-api-notes.md#revision-texts.
    """
    seconds = milliseconds // SECOND
    zone, shift = ("MDT", 6 * 3600) if _is_daylight_saving(seconds) else ("MST", 7 * 3600)
    day, rest = divmod(seconds - shift, 86_400)
    date, year = _format_mountain_date(day)
    return f"{date} {rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d} {zone} {year}"


@lru_cache(maxsize=4096)
def _format_mountain_date(day: int) -> tuple[str, int]:
    year, month, number, _, _, _, weekday, *_ = time.gmtime(day * 86_400)
    return f"{_DAYS[weekday]} {_MONTHS[month - 1]} {number:02d}", year


def _is_daylight_saving(seconds: int) -> bool:
    # Within hours of New Year, the UTC year can differ from the local year, but both are in winter.
    begin, end = _daylight_saving_period(time.gmtime(seconds).tm_year)
    return begin <= seconds < end


@cache
def _daylight_saving_period(year: int) -> tuple[int, int]:
    # Written out so that the text does not depend on a time zone database, which some machines lack:
    # since 2007 from 02:00 MST on the second Sunday of March to 02:00 MDT on the first Sunday of November.
    march = datetime(year, 3, 8, tzinfo=UTC)
    november = datetime(year, 11, 1, tzinfo=UTC)
    begin = march + timedelta(days=(6 - march.weekday()) % 7, hours=9)
    end = november + timedelta(days=(6 - november.weekday()) % 7, hours=8)
    return int(begin.timestamp()), int(end.timestamp())


def parse_instant(text: str) -> int | None:
    """Parse a date of a query to milliseconds; return None for other texts (rally-api-notes.md#query-language).

    A date without a time means UTC midnight (assumed: Rally's time zone for it is unknown).
    """
    value = text.strip()
    if not value[:4].isdecimal() or value[4:5] != "-":
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return from_datetime(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


class Clock:
    """The simulated time.

    Args:
        start: The initial time, aware; None is the real time.
        frozen: Whether the time changes only by ``advance``.
    """

    def __init__(self, start: datetime | None = None, *, frozen: bool = False) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError("the clock's start needs a time zone")
        self._is_frozen = frozen
        self._origin = from_datetime(start if start is not None else datetime.now(UTC))
        self._since = time.monotonic()

    @classmethod
    def frozen(cls, start: datetime) -> "Clock":
        """Create a clock that shows ``start`` until it is advanced."""
        return cls(start, frozen=True)

    def now(self) -> datetime:
        """Return the simulated time, aware UTC."""
        return to_datetime(self.milliseconds())

    def milliseconds(self) -> int:
        """Return the simulated time in milliseconds since 1970."""
        if self._is_frozen:
            return self._origin
        return self._origin + int((time.monotonic() - self._since) * 1000)

    def stop(self) -> None:
        """Freeze the clock until it is advanced or started."""
        self._origin, self._is_frozen = self.milliseconds(), True

    def start(self) -> None:
        """Let the clock follow real time from its current time."""
        self._origin, self._since, self._is_frozen = self.milliseconds(), time.monotonic(), False

    def advance(self, step: timedelta) -> None:
        """Move the clock forward by ``step``.

        Raises:
            ValueError: The step is negative.
        """
        if step < timedelta(0):
            raise ValueError("the clock does not run backwards")
        self._origin += int(step / timedelta(milliseconds=1))
