"""A query's row as a Record; nothing that Rally leaves out makes a row fail; pure."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally.keyset import Row
from rally_accelerate.rally.records import Record
from rally_accelerate.rally.wire import object_id, parse_instant

#: Older than Rally itself: such an item counts as unchanged since for ever.
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

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
    for key, row in rows:
        updated_at = parse_instant(row.get("LastUpdateDate")) or parse_instant(row.get("CreationDate"))
        # VersionId rises with each change; ``_objectVersion`` is its twin on every row (rally-api.md 1.3,
        # 1.9).
        version = object_id(row.get("VersionId"))
        version = object_id(row.get("_objectVersion")) if version is None else version
        record = Record(
            kind=kind, object_id=key, revision=SourceRevision(updated_at or _NEVER, version or 0), fields=row
        )
        records.append(record)
        if updated_at is None:
            undated.append(record.key)
    if not undated:
        return tuple(records), ()
    named = ", ".join(undated[:MOST_NAMED]) + (" and others" if len(undated) > MOST_NAMED else "")
    return tuple(records), (f"{len(undated)} items have no readable date of change: {named}.",)
