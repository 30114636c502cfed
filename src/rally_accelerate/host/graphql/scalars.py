"""The two scalars of the vendor's schema."""

from datetime import UTC, datetime
from typing import Any

from ariadne import ScalarType

DATE = ScalarType("Date")
JSON = ScalarType("JSON")


@DATE.value_parser
def read_date(value: Any) -> int:
    """Epoch milliseconds from any form that real plug-ins send (accelerate-host.md 2.2).

    Raises:
        ValueError: It is none of them.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(value)
    if isinstance(value, str):
        text = value.strip()
        if text.lstrip("-").isdigit():
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
