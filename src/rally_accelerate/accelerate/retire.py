"""The last upload of an issue whose work item was removed; pure.

Accelerate has no operation that deletes one issue (accelerate-api-notes.md#updates-and-deletion), so a removed item
gets a last status. An upload replaces an issue whole, and what Accelerate returns has no history, comments, raw issue
or relations (accelerate-api-notes.md#reading-issues-back): the document is made from what is known here, never from
what is read back alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from rally_accelerate.accelerate.payload import Packed

#: Fields of an issue that Accelerate returns and that can be sent again as they are
#: (accelerate-api-notes.md#reading-issues-back).
READ_BACK = (
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
)
READ_BACK_LISTS = ("versionIds", "components", "labels")

#: What a release, a sprint and a project are sent with. ``previous`` of a sprint is not: its meaning is not public.
_RELEASE = ("id", "description", "name", "archived", "released", "releaseDate")
_SPRINT = ("id", "name", "description", "startTime", "endTime", "completeTime", "url", "active")
_PROJECT = ("id", "key", "name")

#: Every field of an issue, for who asks which there are.
SCALARS = (*READ_BACK, "rawIssue")
LISTS = (*READ_BACK_LISTS, "comments", "history", "releases", "sprints", "relations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """One issue that gets a last status."""

    external_id: str
    status: str
    instant: datetime
    user: str
    #: The whole issue as an ``IssueDataItemIn``, with the status and the history that it had before.
    document: Mapping[str, Any]
    #: The user's id in the source; empty when it is not known.
    user_id: str = ""


def completed(document: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document in which everything that Accelerate returns is as it was uploaded last.

    Args:
        document: The issue as it can be made without Accelerate, with history, comments, raw issue and relations.
        held: The issue as Accelerate returns it.
    """
    found = dict(document)
    found |= {name: held[name] for name in READ_BACK if name in held}
    # Null items in lists are refused by newer servers (accelerate-api-notes.md#lists-in-uploads).
    found |= {name: [each for each in held[name] or () if each is not None] for name in READ_BACK_LISTS if name in held}
    for name, parts in (("releases", _RELEASE), ("sprints", _SPRINT)):
        if name in held:
            found[name] = [_part(each, parts) for each in held[name] or () if isinstance(each, Mapping)]
    if isinstance(held.get("comments"), list) and len(held["comments"]) > len(found.get("comments") or ()):
        # No published version returns them; the embedded server does.
        found["comments"] = held["comments"]
    if isinstance(held.get("project"), Mapping):
        found["project"] = _part(held["project"], _PROJECT)
    return found


def retired(retirement: Retirement) -> Packed:
    """Return the issue with its last status and one more entry of history, ready to be uploaded."""
    item = dict(retirement.document)
    history = list(item.get("history") or ())
    before = _last_status(history) or str(item.get("status") or "")
    if before != retirement.status:
        entry = {
            "timestamp": str(round(retirement.instant.timestamp() * 1000)),
            "content": {
                "field": "status",
                "type": "string",
                "from": before,
                "to": retirement.status,
                "user": retirement.user_id or retirement.user,
                "userDisplayName": retirement.user,
            },
        }
        history.append(entry)
    item |= {"history": history, "status": retirement.status}
    return Packed(retirement.external_id, str(item.get("id") or retirement.external_id), orjson.dumps(item))


def _last_status(history: list[Any]) -> str:
    """Return the status that a history ends with; empty when it tells none."""
    for entry in reversed(history):
        content = entry.get("content") if isinstance(entry, Mapping) else None
        if isinstance(content, Mapping) and content.get("field") == "status" and isinstance(content.get("to"), str):
            return str(content["to"])
    return ""


def _part(held: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: held[name] for name in names if held.get(name) is not None}
