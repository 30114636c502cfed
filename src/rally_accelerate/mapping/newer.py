"""Fields that only newer servers take: sent when a setting says that the server has them.

See accelerate-api-notes.md#newer-fields.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rally_accelerate.mapping import fields

#: What is shown in an issue's details besides (``additionalInfo``).
_DETAILS = ("Environment", "BlockedReason", "Package")


def extras_of(row: fields.Fields) -> Mapping[str, Any]:
    """The newer fields that Rally's own data fills, by Accelerate's names.

    Severity and impact need rules: their words are the server's (``SEV1`` to ``SEV5``), and nobody but the user knows
    which of Rally's they are.
    """
    resolved: datetime | None = fields.instant(row, "AcceptedDate") or fields.instant(row, "ClosedDate")
    value = fields.number(row, "UserBusinessValue")
    details = {name: text for name in _DETAILS if (text := fields.text(row, name))}
    found = {
        "resolved": resolved,
        "resolution": fields.rating(row, "Resolution"),
        "businessValue": value,
        "additionalInfo": details or None,
    }
    return {name: each for name, each in found.items() if each is not None}
