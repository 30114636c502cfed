"""The two scalars of the vendor's schema."""

from datetime import UTC, datetime
from typing import Any

from ariadne import ScalarType

DATE = ScalarType("Date")
JSON = ScalarType("JSON")


#: The years 1 to 9999 in epoch milliseconds: no calendar shows others.
#: More digits than any such instant has.
LONGEST = 20
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999


@DATE.value_parser
def read_date(value: Any) -> int:
    """Epoch milliseconds, as ``any_date`` reads them, of a year that can be shown.

    Raises:
        ValueError: It is no such instant.
    """
    found = any_date(value)
    if not FIRST_MS <= found <= LAST_MS:
        raise ValueError("Date must lie in the years 1 to 9999")
    return found


def any_date(value: Any) -> int:
    """Epoch milliseconds from any form that real plug-ins send (accelerate-host.md 2.2).

    Raises:
        ValueError: It is none of them.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(value)
    if isinstance(value, str):
        text = value.strip()
        if text.lstrip("-").isdecimal() and len(text) <= LONGEST:
            return int(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return round(aware.timestamp() * 1000)
    raise ValueError("Date must be epoch milliseconds, as a number or as text, or an ISO 8601 text")


@DATE.serializer
def write_date(value: Any) -> Any:
    """Epoch milliseconds as a number; which form the vendor's server answers is not known [U]."""
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


@JSON.serializer
def write_json(value: Any) -> Any:
    """Any value as it is."""
    return value


@JSON.value_parser
def read_json(value: Any) -> Any:
    """Any value as it is."""
    return value
