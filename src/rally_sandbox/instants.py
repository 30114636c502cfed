"""Moments as integer milliseconds since 1970, and the two texts that Rally writes for them."""

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
    """Milliseconds of an aware datetime."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def to_datetime(milliseconds: int) -> datetime:
    """The aware UTC datetime of a moment."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def iso(milliseconds: int) -> str:
    """UTC ISO-8601 with milliseconds and ``Z`` (rally-api-notes.md#dates)."""
    day, rest = divmod(milliseconds, DAY)
    hour, rest = divmod(rest, HOUR)
    minute, rest = divmod(rest, MINUTE)
    return f"{_date(day)}T{hour:02d}:{minute:02d}:{rest // SECOND:02d}.{rest % SECOND:03d}Z"


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    year, month, number, *_ = time.gmtime(day * 86_400)
    return f"{year:04d}-{month:02d}-{number:02d}"


def mountain(milliseconds: int) -> str:
    """The date as revision texts show it: server-local, ``MST`` or ``MDT``, no milliseconds.

    See rally-api-notes.md#revision-texts.
    """
    seconds = milliseconds // SECOND
    zone, shift = ("MDT", 6 * 3600) if _is_summer(seconds) else ("MST", 7 * 3600)
    day, rest = divmod(seconds - shift, 86_400)
    date, year = _mountain_date(day)
    return f"{date} {rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d} {zone} {year}"


@lru_cache(maxsize=4096)
def _mountain_date(day: int) -> tuple[str, int]:
    year, month, number, _, _, _, weekday, *_ = time.gmtime(day * 86_400)
    return f"{_DAYS[weekday]} {_MONTHS[month - 1]} {number:02d}", year


def _is_summer(seconds: int) -> bool:
    # Within hours of New Year the year of UTC may be the wrong one, but both are winter then.
    begin, end = _summer(time.gmtime(seconds).tm_year)
    return begin <= seconds < end


@cache
def _summer(year: int) -> tuple[int, int]:
    # Written out so that the text does not depend on a time zone database, which some machines lack:
    # since 2007 from 02:00 MST on the second Sunday of March to 02:00 MDT on the first Sunday of November.
    march = datetime(year, 3, 8, tzinfo=UTC)
    november = datetime(year, 11, 1, tzinfo=UTC)
    begin = march + timedelta(days=(6 - march.weekday()) % 7, hours=9)
    end = november + timedelta(days=(6 - november.weekday()) % 7, hours=8)
    return int(begin.timestamp()), int(end.timestamp())


def parse(text: str) -> int | None:
    """A date of a query as milliseconds, or None when it is none (rally-api-notes.md#query-language).

    A date without a time is taken as UTC midnight; which zone Rally takes is not known.
    """
    value = text.strip()
    if not value[:4].isdecimal() or value[4:5] != "-":
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return from_datetime(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
