"""Pure: issues as input objects, and input objects in parcels bounded by count and by bytes.

Field names and types: accelerate-api-notes.md#issue-fields and accelerate-api-notes.md#issue-history. Only the set that
old and new servers share is sent: an older server refuses a whole upload for one unknown field.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from rally_accelerate.accelerate.documents import UPLOAD_ISSUES
from rally_accelerate.model.issue import HistoryEntry, Issue, Release, Sprint

OPERATION = "uploadIssueData"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large one upload may be. Accelerate's own limit is not public; gateways answer 413.

    See accelerate-api-notes.md#upload-size.
    """

    items: int = 500
    #: Bytes of the whole request body.
    size: int = 4_000_000


@dataclass(frozen=True, slots=True)
class Packed:
    """One issue, ready to be put into a body."""

    external_id: str
    display_id: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Whose issues an upload holds."""

    source: str
    tracker_id: str
    tenant_id: str
    base_url: str


def pack(issue: Issue) -> Packed:
    """Serialize an issue to its input object."""
    return Packed(issue.external_id, issue.display_id, orjson.dumps(item_in(issue)))


def item_in(issue: Issue) -> dict[str, Any]:
    """Return the issue as an ``IssueDataItemIn``, without empty optional fields.

    Lists are always sent, empty ones too: it is not known whether an omitted field keeps its old value
    (accelerate-api-notes.md#updates-and-deletion), and a tag that was taken off must go.
    """
    item: dict[str, Any] = {
        "_id": issue.external_id,
        "id": issue.display_id,
        "name": issue.name,
        "description": issue.description,
        "status": issue.status,
        "url": issue.url,
        "creator": issue.creator,
        # Null for the same reason: an owner that was taken off must go.
        "owner": issue.owner,
        "created": _ms(issue.created),
        "lastUpdate": _ms(issue.last_update),
        "type": issue.type,
        "normalizedType": issue.normalized_type.value,
        "priority": issue.priority,
        "storyPoints": issue.story_points,
        "labels": list(issue.labels),
        "components": list(issue.components),
        "versionIds": list(issue.version_ids),
        "sprints": [_sprint(sprint) for sprint in issue.sprints],
        "releases": [_release(release) for release in issue.releases],
        "comments": [
            {
                "id": comment.id,
                "user": comment.user,
                "created": _ms(comment.created),
                "updated": _ms(comment.updated),
                "comment": comment.text,
            }
            for comment in issue.comments
        ],
        "relations": [{"id": relation.id, "type": relation.type.value} for relation in issue.relations],
        "history": _history(issue.history),
        "epic": issue.epic,
        "rawIssue": dict(issue.raw),
    }
    for name, value in issue.extras.items():
        item[name] = _ms(value) if isinstance(value, datetime) else value
    if issue.project is not None:
        item["project"] = _without_none(id=issue.project.id, key=issue.project.key, name=issue.project.name)
    return item


def batches(packed: Iterable[Packed], *, limits: Limits, address: Address) -> Iterator[list[Packed]]:
    """Yield the packed issues in batches within the limits, in order; an issue over the limit gets its own batch."""
    envelope = len(body((), address=address))
    batch: list[Packed] = []
    size = envelope
    for one in packed:
        more = len(one.body) + 1
        if batch and (len(batch) >= limits.items or size + more > limits.size):
            yield batch
            batch, size = [], envelope
        batch.append(one)
        size += more
    if batch:
        yield batch


def body(packed: Sequence[Packed], *, address: Address) -> bytes:
    """Return the request body of one batch from the serialized issues."""
    envelope = orjson.dumps(
        {
            "operationName": OPERATION,
            "query": UPLOAD_ISSUES,
            "variables": {
                "data": {
                    "source": address.source,
                    "trackerId": address.tracker_id,
                    "tenantId": address.tenant_id,
                    "baseUrl": address.base_url,
                    "issues": [],
                }
            },
        }
    )
    # The list of issues is the last thing in the envelope: it is filled in before the four closing marks.
    head, tail = envelope[: -len(b"]}}}")], envelope[-len(b"]}}}") :]
    return head + b",".join(one.body for one in packed) + tail


def _history(entries: Iterable[HistoryEntry]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    saved, timestamp = None, ""
    for instant, field, before, after, name, type_, user_id in entries:
        if instant is not saved:
            # Vendor plug-ins send history timestamps as texts of milliseconds (accelerate-api-notes.md#issue-history).
            saved, timestamp = instant, str(_ms(instant))
        # The id tells people of one name apart, and stays when a person is renamed; both are texts in the schema.
        user = user_id or name
        content = {"field": field, "type": type_, "from": before, "to": after, "user": user, "userDisplayName": name}
        written.append({"timestamp": timestamp, "content": content})
    return written


def _sprint(sprint: Sprint) -> dict[str, Any]:
    # Without ``previous``: it is a text whose meaning is not public (accelerate-api-notes.md#sprints).
    return _without_none(
        id=sprint.id,
        name=sprint.name,
        description=sprint.description or None,
        startTime=_ms(sprint.start),
        endTime=_ms(sprint.end),
        url=sprint.url or None,
        active=sprint.active,
    )


def _release(release: Release) -> dict[str, Any]:
    return _without_none(
        id=release.id,
        name=release.name,
        description=release.description or None,
        archived=release.archived,
        released=release.released,
        releaseDate=_ms(release.date),
    )


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _ms(moment: datetime | None) -> int | None:
    # Numbers of milliseconds are read by every server version that real plug-ins met
    # (accelerate-api-notes.md#dates-in-uploads).
    return None if moment is None else round(moment.timestamp() * 1000)


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


def complete_document(document: Mapping[str, Any], existing: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document in which everything that Accelerate returns is as it was uploaded last.

    Args:
        document: The issue as it can be made without Accelerate, with history, comments, raw issue and relations.
        existing: The issue as Accelerate returns it.
    """
    completed = dict(document)
    completed |= {name: existing[name] for name in READ_BACK if name in existing}
    # Null items in lists are refused by newer servers (accelerate-api-notes.md#lists-in-uploads).
    completed |= {
        name: [entry for entry in existing[name] or () if entry is not None]
        for name in READ_BACK_LISTS
        if name in existing
    }
    for name, parts in (("releases", _RELEASE), ("sprints", _SPRINT)):
        if name in existing:
            completed[name] = [_part(entry, parts) for entry in existing[name] or () if isinstance(entry, Mapping)]
    if isinstance(existing.get("comments"), list) and len(existing["comments"]) > len(completed.get("comments") or ()):
        # No published version returns them; the embedded server does.
        completed["comments"] = existing["comments"]
    if isinstance(existing.get("project"), Mapping):
        completed["project"] = _part(existing["project"], _PROJECT)
    return completed


def pack_retirement(retirement: Retirement) -> Packed:
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


def _part(existing: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: existing[name] for name in names if existing.get(name) is not None}
