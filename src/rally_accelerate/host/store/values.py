"""Values on their way into the store and out of it."""

import secrets
from datetime import UTC, datetime


def ms(moment: datetime) -> int:
    """An instant as the store keeps it: whole epoch milliseconds."""
    return round(moment.timestamp() * 1000)


def instant(value: int) -> datetime:
    """An instant as the rest of the program knows it: aware UTC."""
    return datetime.fromtimestamp(value / 1000, UTC)


def new_id() -> str:
    """An id in the form of the vendor's: 24 hexadecimal digits."""
    return secrets.token_hex(12)
