"""Issues whose items are gone, read back and told so; pure.

Accelerate knows no deletion of one issue (accelerate-host.md 2.4). What it holds is the only whole copy that is left,
so it is read back and sent again with another status and one more entry of history; nothing else changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from rally_accelerate.accelerate.payload import Packed

#: Fields of the read type that the input type has too (accelerate-host.md 2.2).
SCALARS = (
    "_id",
    "id",
    "name",
    "description",
    "status",
    "url",
    "creator",
    "owner",
    "created",
    "lastUpdate",
    "type",
    "normalizedType",
    "priority",
    "storyPoints",
    "epic",
    "rawIssue",
)
LISTS = ("versionIds", "components", "labels", "comments", "history", "releases", "sprints", "relations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """One issue that gets a last status."""

    external_id: str
    status: str
    instant: datetime
    user: str


def retired(held: Mapping[str, Any], retirement: Retirement) -> Packed:
    """The issue with its last status, ready to be uploaded.

    Args:
        held: The issue as Accelerate holds it.
        retirement: What became of it.
    """
    item = {name: held.get(name) for name in (*SCALARS, "project") if held.get(name) is not None}
    item |= {name: held.get(name) or [] for name in LISTS}
    history = held.get("history")
    before = str(held.get("status") or "")
    if before != retirement.status:
        entry = {
            "timestamp": str(round(retirement.instant.timestamp() * 1000)),
            "content": {
                "field": "status",
                "type": "string",
                "from": before,
                "to": retirement.status,
                "user": retirement.user,
                "userDisplayName": retirement.user,
            },
        }
        item["history"] = [*(history if isinstance(history, list) else ()), entry]
    item["status"] = retirement.status
    return Packed(retirement.external_id, str(held.get("id") or retirement.external_id), orjson.dumps(item))
