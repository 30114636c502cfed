"""The scalars of the vendor's schema."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ariadne import ScalarType

DATE = ScalarType("Date")
JSON = ScalarType("JSON")
PLUGIN_PROP_VALUE = ScalarType("PluginPropValue")

SCALARS = (DATE, JSON, PLUGIN_PROP_VALUE)

#: Values inside each other: what is written into answers and tables must be readable again everywhere.
DEEPEST = 100

#: The numbers that JSON's readers agree on.
LARGEST = 2**63 - 1

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
    """Epoch milliseconds from any form that real plug-ins send (accelerate-api-notes.md#dates-in-uploads).

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
    """Epoch milliseconds as a number; which form the vendor's server answers is not known."""
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


@JSON.serializer
@PLUGIN_PROP_VALUE.serializer
def write_json(value: Any) -> Any:
    """Any value as it is."""
    return value


@JSON.value_parser
@PLUGIN_PROP_VALUE.value_parser
def read_json(value: Any) -> Any:
    """Any value as it is.

    Raises:
        ValueError: Not every reader of JSON could read it.
    """
    level = [value]
    for _ in range(DEEPEST):
        if not level:
            return value
        level = [inner for each in level for inner in _inside(each)]
    raise ValueError(f"JSON must not be nested deeper than {DEEPEST} levels")


def _inside(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case int() if not -LARGEST - 1 <= value <= LARGEST:
            raise ValueError("JSON must not hold whole numbers of more than 64 bits")
        case float() if not math.isfinite(value):
            raise ValueError("JSON must not hold numbers without an end")
        case _:
            return ()
