"""Values of items that are no longer in the scope. Nothing is guessed, and missing values are reported.

An item that was moved can often still be read by its ObjectID. Of a deleted item, only Lookback's snapshots remain
(rally-api-notes.md#snapshots-of-removed-items): ids, drop-downs as text, and its complete history.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.rally.history_fields import TIMEBOXES, Shape, TrackedField
from rally_accelerate.rally.lookback import FOREVER, SnapshotRow, milliseconds
from rally_accelerate.rally.name_resolver import NameResolver
from rally_accelerate.rally.records import ItemHistory, WorkItem
from rally_accelerate.rally.wsapi import WSAPI

#: Drop-downs that mapping keeps aside (``mapping.issue.RAW_FIELDS``) and that have no tracked history.
UNTRACKED_CHOICES = ("Environment",)

#: Fields to read from snapshots in addition to the tracked fields.
EXTRA_FIELDS = (
    "_TypeHierarchy",
    "FormattedID",
    *UNTRACKED_CHOICES,
    "AcceptedDate",
    "InProgressDate",
    "OpenedDate",
    "ClosedDate",
    "FlowStateChangedDate",
    "UserBusinessValue",
    "Package",
)

#: Flags that are false where a snapshot does not hold them, and the types that lack one (rally-api-notes.md#attributes,
#: rally-api-notes.md#snapshots).
FLAGS = ("Blocked", "Ready", "Expedite")
WITHOUT_BLOCKED = frozenset({"testcase"})

LOOKBACK_EMPTY = "Lookback has no snapshots"
LOOKBACK_INCOMPLETE = "Lookback does not show the whole history"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedItem:
    """The remaining data of one removed item."""

    #: The item with its complete history; None when it cannot be reconstructed.
    item: WorkItem | None = None
    #: Why it cannot; empty when the source lags behind, so that a later run can reconstruct it.
    reason: str = ""
    #: When it was deleted according to Lookback; None when it was not, or unknown.
    deleted_at: datetime | None = None
    #: Whether the comments are known to be complete: Rally counts those of readable items.
    lists_comments: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotItem:
    """The data of one item in Lookback."""

    #: The wire name of its type, lower case.
    kind: str
    #: Its last values in the format of query results, as far as mapping uses them.
    fields: Mapping[str, Any]
    past: ItemHistory
    #: When its last snapshot was made.
    updated_at: datetime
    #: When its last snapshot ended without a successor; None while it lasts.
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFeed:
    """The data of some items in Lookback."""

    #: The items with a complete set of snapshots.
    items: Mapping[int, SnapshotItem]
    #: Items with incomplete or unreadable snapshots.
    incomplete: AbstractSet[int]
    #: The time up to which Lookback has received changes; None when it is not reported.
    feed_time: datetime | None
    #: Whether snapshots of projects without access were left out.
    has_hidden_projects: bool


def parse_end(row: SnapshotRow) -> datetime | None:
    """Return when a newest snapshot ended; None while it is current (rally-api-notes.md#snapshots)."""
    until = str(row.get("_ValidTo") or FOREVER)
    return None if until.startswith(FOREVER) else datetime.fromtimestamp(milliseconds(until) / 1000, UTC)


def parse_kind(row: SnapshotRow) -> str:
    """Return the wire name of an item's type; empty when the snapshot lacks it (rally-api-notes.md#snapshots)."""
    hierarchy = row.get("_TypeHierarchy")
    names = [name for name in hierarchy if isinstance(name, str)] if isinstance(hierarchy, list) else []
    return names[-1].lower() if names else ""


def to_query_fields(
    row: SnapshotRow, tracked: Sequence[TrackedField], names: NameResolver, *, at: int
) -> dict[str, Any]:
    """Convert a snapshot's values to the format of query results.

    Args:
        row: The snapshot, with drop-downs as text.
        tracked: The tracked fields.
        names: Names of their ids.
        at: The instant in milliseconds whose names are used.
    """
    values = {name: row[name] for name in EXTRA_FIELDS if not name.startswith("_") and row.get(name) is not None}
    values |= {name: False for name in FLAGS if name != "Blocked" or parse_kind(row) not in WITHOUT_BLOCKED}
    for field in tracked:
        value = row.get(field.name)
        match field.shape:
            case _ if value is None:
                continue
            case Shape.TAGS | Shape.MILESTONES:
                ids = [oid for oid in value if isinstance(oid, int)] if isinstance(value, list) else []
                members = [
                    {"Name": names.name_at(field.shape, oid, at), "_ref": f"{WSAPI}/{field.shape}/{oid}"} for oid in ids
                ]
                values[field.name] = {"Count": len(members), "_tagsNameArray": members}
            case Shape.PERSON | Shape.PROJECT | Shape.ITERATION | Shape.RELEASE if isinstance(value, int):
                called = names.name_at(field.shape, value, at)
                values[field.name] = {"ObjectID": value, "Name": called, "_refObjectName": called}
                if field.name in TIMEBOXES and (known := names.find_timebox(field.shape, value)) is not None:
                    values[field.name] |= {"State": known.state, "Theme": known.theme}
            case Shape.ITEM if isinstance(value, int):
                key, name = names.find_item(value) or (str(value), "")
                values[field.name] = {"ObjectID": value, "FormattedID": key, "Name": name, "_refObjectName": name}
            case _:
                values[field.name] = value
    return values


def collect_ids(row: SnapshotRow, tracked: Sequence[TrackedField]) -> tuple[dict[Shape, set[int]], dict[str, set[int]]]:
    """Return the ids of named objects in a snapshot: by shape, and of other items by field."""
    by_shape: dict[Shape, set[int]] = {}
    items: dict[str, set[int]] = {}
    for field in tracked:
        value = row.get(field.name)
        ids = {value} if isinstance(value, int) and not isinstance(value, bool) else set()
        if isinstance(value, list):
            ids = {oid for oid in value if isinstance(oid, int)}
        match field.shape:
            case Shape.PERSON | Shape.PROJECT | Shape.ITERATION | Shape.RELEASE | Shape.TAGS | Shape.MILESTONES:
                by_shape.setdefault(field.shape, set()).update(ids)
            case Shape.ITEM:
                items.setdefault(field.name, set()).update(ids)
            case _:
                pass
    return by_shape, items
