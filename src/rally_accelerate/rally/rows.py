"""A query's row as a Record; nothing that Rally leaves out makes a row fail; pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally.keyset import Row
from rally_accelerate.rally.records import Record
from rally_accelerate.rally.wire import object_id, parse_instant

#: Older than Rally itself: such an item counts as unchanged since for ever.
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

#: On every row, for Rally's own clients; ``_objectVersion`` has been read when these are dropped.
_FOR_CLIENTS = frozenset({"_rallyAPIMajor", "_rallyAPIMinor", "_objectVersion", "_refObjectUUID", "_CreatedAt"})

#: What of an empty collection belongs to one item.
_OF_ITS_OWN = _FOR_CLIENTS | {"_ref"}

_HISTORY = "RevisionHistory"
_TAGS = "_tagsNameArray"

#: So many items are named in a notice.
MOST_NAMED = 5


def to_records(kind: str, rows: Iterable[tuple[int, Row]]) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """The records, and what is worth telling about rows that are not as they should be.

    Args:
        kind: The wire name that was asked for.
        rows: ObjectIDs with their rows.
    """
    records: list[Record] = []
    undated: list[str] = []
    seen: dict[tuple[str, Any], Any] = {}
    for key, row in rows:
        updated_at = parse_instant(row.get("LastUpdateDate")) or parse_instant(row.get("CreationDate"))
        # VersionId rises with each change; ``_objectVersion`` is its twin on every row
        # (rally-api-notes.md#item-versions).
        version = object_id(row.get("VersionId"))
        version = object_id(row.get("_objectVersion")) if version is None else version
        record = Record(
            kind=kind,
            object_id=key,
            revision=SourceRevision(updated_at or _NEVER, version or 0),
            fields=_slim(row, seen),
        )
        records.append(record)
        if updated_at is None:
            undated.append(record.key)
    if not undated:
        return tuple(records), ()
    named = ", ".join(undated[:MOST_NAMED]) + (" and others" if len(undated) > MOST_NAMED else "")
    return tuple(records), (f"{len(undated)} items have no readable date of change: {named}.",)


def _slim(row: Row, seen: dict[tuple[str, Any], Any]) -> Row:
    """The row without what only Rally's own clients need, and with equal references in it kept once.

    A page of two thousand items names the same few people, projects and timeboxes over and over; kept apart they
    would be most of its memory.
    """
    slim = {name: value for name, value in row.items() if name not in _FOR_CLIENTS}
    for name, value in slim.items():
        if isinstance(value, dict):
            slim[name] = _shared(name, value, seen)
    return slim


def _shared(name: str, value: dict[str, Any], seen: dict[tuple[str, Any], Any]) -> Row:
    if name == _HISTORY and "ObjectID" in value:
        # Each item has its own, and it is asked for by its id alone.
        return {"ObjectID": value["ObjectID"]}
    empty = value.get("Count") == 0
    # One field of one answer expands the same object in the same way; and all empty collections are alike.
    key = (name, _TAGS in value if empty else value.get("_ref"))
    known = seen.get(key)
    if known is None:
        dropped = _OF_ITS_OWN if empty else _FOR_CLIENTS
        known = seen[key] = {part: inner for part, inner in value.items() if part not in dropped}
    return known
