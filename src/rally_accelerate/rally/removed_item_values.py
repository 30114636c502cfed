"""What can still be read of items that the scope no longer shows: nothing is guessed, and what is missing is named.

An item that was moved is often still readable by its ObjectID. Of a deleted one only Lookback's snapshots are left
(rally-api-notes.md#snapshots-of-removed-items): ids, drop-downs as text, and its whole history.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.rally.history_fields import TIMEBOXES, PastField, Shape
from rally_accelerate.rally.lookback import FOREVER, SnapshotRow, milliseconds
from rally_accelerate.rally.name_resolver import Names
from rally_accelerate.rally.records import Past, WorkItem
from rally_accelerate.rally.wsapi import WSAPI

#: Drop-downs that mapping keeps aside (``mapping.issue.KEPT_ASIDE``) and that have no tracked history.
UNTRACKED_CHOICES = ("Environment",)

#: What the snapshots of an item are asked for besides its tracked fields.
ALSO_ASKED = (
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

LOOKBACK_HAS_NOTHING = "Lookback has no snapshots"
LOOKBACK_IS_NOT_WHOLE = "Lookback does not show the whole history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is left of one item."""

    #: The item with its whole history; None when it cannot be put together.
    item: WorkItem | None = None
    #: Why it cannot; empty when the source has only not come as far yet, and a later run will know.
    reason: str = ""
    #: When it was deleted, by Lookback; None when it was not, or that is not known.
    deleted_at: datetime | None = None
    #: Whether the item's comments are known to be all there: Rally counts those of items that can be read.
    lists_comments: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshotted:
    """What Lookback tells of one item."""

    #: The wire name of its type, lower case.
    kind: str
    #: Its last values in the form in which queries answer them, as far as mapping keeps them aside.
    fields: Mapping[str, Any]
    past: Past
    #: When its last snapshot was made.
    newest: datetime
    #: When its last snapshot ended without a successor; None while it lasts.
    ended: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What Lookback tells of some items."""

    #: The items whose every snapshot is shown.
    items: Mapping[int, Snapshotted]
    #: Items of which only a part is shown, or can be read.
    partly: AbstractSet[int]
    #: How far the feed has come; None when it does not say.
    until: datetime | None
    #: Whether snapshots of projects that this user may not see were left out.
    hides: bool


def ended_at(row: SnapshotRow) -> datetime | None:
    """Return when a newest snapshot ended; None while it lasts (rally-api-notes.md#snapshots)."""
    until = str(row.get("_ValidTo") or FOREVER)
    return None if until.startswith(FOREVER) else datetime.fromtimestamp(milliseconds(until) / 1000, UTC)


def kind_in(row: SnapshotRow) -> str:
    """Return the wire name of an item's type; empty when the snapshot does not tell (rally-api-notes.md#snapshots)."""
    hierarchy = row.get("_TypeHierarchy")
    names = [each for each in hierarchy if isinstance(each, str)] if isinstance(hierarchy, list) else []
    return names[-1].lower() if names else ""


def fields_in(row: SnapshotRow, tracked: Sequence[PastField], names: Names, *, at: int) -> dict[str, Any]:
    """Return a snapshot's values in the form in which queries answer them.

    Args:
        row: The snapshot, with drop-downs as text.
        tracked: What the values of the tracked fields are.
        names: Knows what their ids are called.
        at: The instant in milliseconds whose names count.
    """
    found = {name: row[name] for name in ALSO_ASKED if not name.startswith("_") and row.get(name) is not None}
    found |= {name: False for name in FLAGS if name != "Blocked" or kind_in(row) not in WITHOUT_BLOCKED}
    for field in tracked:
        value = row.get(field.name)
        match field.shape:
            case _ if value is None:
                continue
            case Shape.TAGS | Shape.MILESTONES:
                ids = [each for each in value if isinstance(each, int)] if isinstance(value, list) else []
                members = [
                    {"Name": names.at(field.shape, each, at), "_ref": f"{WSAPI}/{field.shape}/{each}"} for each in ids
                ]
                found[field.name] = {"Count": len(members), "_tagsNameArray": members}
            case Shape.PERSON | Shape.PROJECT | Shape.ITERATION | Shape.RELEASE if isinstance(value, int):
                called = names.at(field.shape, value, at)
                found[field.name] = {"ObjectID": value, "Name": called, "_refObjectName": called}
                if field.name in TIMEBOXES and (known := names.timebox(field.shape, value)) is not None:
                    found[field.name] |= {"State": known.state, "Theme": known.theme}
            case Shape.ITEM if isinstance(value, int):
                key, name = names.item(value) or (str(value), "")
                found[field.name] = {"ObjectID": value, "FormattedID": key, "Name": name, "_refObjectName": name}
            case _:
                found[field.name] = value
    return found


def ids_in(row: SnapshotRow, tracked: Sequence[PastField]) -> tuple[dict[Shape, set[int]], dict[str, set[int]]]:
    """Return the ids in a snapshot that stand for something with a name: by shape, and of other items by field."""
    by_shape: dict[Shape, set[int]] = {}
    items: dict[str, set[int]] = {}
    for field in tracked:
        value = row.get(field.name)
        ids = {value} if isinstance(value, int) and not isinstance(value, bool) else set()
        if isinstance(value, list):
            ids = {each for each in value if isinstance(each, int)}
        match field.shape:
            case Shape.PERSON | Shape.PROJECT | Shape.ITERATION | Shape.RELEASE | Shape.TAGS | Shape.MILESTONES:
                by_shape.setdefault(field.shape, set()).update(ids)
            case Shape.ITEM:
                items.setdefault(field.name, set()).update(ids)
            case _:
                pass
    return by_shape, items
