"""Lookback's snapshots, told from the same journal as the revisions.

See rally-api-notes.md#snapshots and rally-api-notes.md#snapshots-of-removed-items.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rally_sandbox.columns import KINDS
from rally_sandbox.customs import CUSTOM_CHOICES
from rally_sandbox.instants import iso
from rally_sandbox.journal import Change, Item, apply
from rally_sandbox.records import Link, Record, Values, uuid_of
from rally_sandbox.revisiontext import DATES

if TYPE_CHECKING:
    from rally_sandbox.world import World

FOREVER = "9999-01-01T00:00:00.000Z"

#: Attributes whose values are ids unless hydrated.
ENUMERATED = frozenset(
    {"ScheduleState", "State", "Priority", "Severity", "Resolution", "Environment", "Method", "Type", "LastVerdict"}
    | CUSTOM_CHOICES
)

#: Type ids from general to specific, as negative built-in ids, in front of the names (rally-api-notes.md#snapshots).
_TYPE_IDS = {name: -51_000 - position for position, name in enumerate(KINDS, start=38)}
_ANCESTORS = (-51_001, "PersistableObject", -51_002, "DomainObject", -51_003, "WorkspaceDomainObject", "Artifact")

#: What no snapshot holds: texts that Lookback leaves out, and what only the simulator knows.
_LEFT_OUT = frozenset({"Recycled", "CreatedBy", "DragAndDropRank"})


@lru_cache(maxsize=4096)
def enumerated_id(name: str, text: str) -> int:
    """The id of a drop-down's value: stable, and above 2^31 like all of Rally's."""
    return 9_000_000_000 + zlib.crc32(f"{name}:{text}".encode())


@dataclass(frozen=True, slots=True)
class Wish:
    """Which fields are shown and how."""

    #: None shows every field.
    names: frozenset[str] | None
    hydrated: frozenset[str]

    def shows(self, name: str) -> bool:
        """Whether a field is asked for."""
        return self.names is None or name in self.names


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A change with the time during which its values held."""

    number: int
    change: Change
    until: int | None
    restored: bool
    #: Whether no later snapshot of the item exists; a deleted item's last one has an end all the same.
    last: bool


def count(item: Item, *, until: int) -> int:
    """How many snapshots an item has that were made up to a moment."""
    return sum(1 for change in item.changes if change.at <= until and not _is_deletion(change))


def rows(world: "World", item: Item, wish: Wish, *, until: int) -> Iterator[dict[str, Any]]:
    """The snapshots of an item that were made up to a moment, oldest first.

    Args:
        world: Where the item is.
        item: The item.
        wish: Which fields are shown.
        until: Milliseconds: later changes have not reached Lookback yet.
    """
    values = dict(item.initial)
    stretches = {id(each.change): each for each in _stretches(item, until)}
    view = _View(world, item, wish)
    for change in item.changes:
        if change.at > until:
            return
        before = dict(values) if view.wants_previous else values
        apply(values, change.sets)
        stretch = stretches.get(id(change))
        if stretch is not None:
            yield view.row(stretch, values, before)


def _stretches(item: Item, until: int) -> Iterator[_Stretch]:
    changes = [change for change in item.changes if change.at <= until]
    number = 0
    for change, following in zip_longest(changes, changes[1:]):
        if _is_deletion(change):
            continue
        # A deletion closes the last snapshot and makes none of its own (rally-api-notes.md#snapshots-of-removed-items).
        restored = any(name == "Recycled" and not new for name, _, new in change.sets)
        last = following is None or (_is_deletion(following) and following is changes[-1])
        yield _Stretch(number, change, following.at if following is not None else None, restored, last)
        number += 1


def _is_deletion(change: Change) -> bool:
    return any(name == "Recycled" and new for name, _, new in change.sets)


class _View:
    """One item's rows."""

    def __init__(self, world: "World", item: Item, wish: Wish) -> None:
        self._world = world
        self._item = item
        self._wish = wish
        self.wants_previous = wish.shows("_PreviousValues")

    def row(self, stretch: _Stretch, values: Values, before: Values) -> dict[str, Any]:
        item, change, wish = self._item, stretch.change, self._wish
        frame = {
            "_id": f"{item.object_id:012x}{stretch.number:06x}",
            "ObjectID": item.object_id,
            "_ObjectUUID": uuid_of(item.object_id) if wish.shows("_ObjectUUID") else None,
            "_ValidFrom": iso(change.at),
            "_ValidTo": FOREVER if stretch.until is None else iso(stretch.until),
            "_SnapshotNumber": stretch.number,
            "_SnapshotType": "RESTORE" if stretch.restored else "CREATE" if not stretch.number else "UPDATE",
            "_User": change.user.object_id,
        }
        row: dict[str, Any] = {name: value for name, value in frame.items() if wish.shows(name) or name == "_id"}
        if wish.shows("FormattedID"):
            row["FormattedID"] = self._world.formatted_id(item)
        if wish.shows("_UnformattedID"):
            row["_UnformattedID"] = int("".join(filter(str.isdigit, self._world.formatted_id(item))))
        if wish.shows("_TypeHierarchy"):
            row["_TypeHierarchy"] = [*_ANCESTORS, _TYPE_IDS[item.type], item.type]
        if wish.shows("_ProjectHierarchy"):
            row["_ProjectHierarchy"] = project_hierarchy(values["Project"])
        if wish.shows("_ItemHierarchy"):
            row["_ItemHierarchy"] = [*self._ancestors(values), item.object_id]
        for name, value in values.items():
            if name not in _LEFT_OUT and wish.shows(name):
                shown = self._shown(name, value)
                # What is empty is mostly not stored (rally-api-notes.md#snapshots).
                if shown is not None and shown not in ("", []):
                    row[name] = shown
        if stretch.last:
            # Told on the newest snapshot only: of the past nothing more is kept.
            for name, indexes in (
                ("Predecessors", self._world.ties.predecessors(item.index)),
                ("Successors", self._world.ties.successors(item.index)),
                ("DefectSuites", self._world.ties.suites(item.index)),
                ("Defects", self._world.ties.gathered(item.index)),
            ):
                if indexes and wish.shows(name):
                    row[name] = [self._world.columns.object_id[index] for index in indexes]
        if self.wants_previous:
            row["_PreviousValues"] = self._previous(stretch, before)
        return row

    def _previous(self, stretch: _Stretch, before: Values) -> Mapping[str, Any]:
        if not stretch.number:
            # On the first snapshot everything was nothing before (rally-api-notes.md#snapshots).
            return {name: None for name in before if name not in _LEFT_OUT}
        names = dict.fromkeys(name for name, _, _ in stretch.change.sets if name not in _LEFT_OUT)
        return {name: self._shown(name, before.get(name)) for name in names}

    def _shown(self, name: str, value: Any) -> Any:  # noqa: PLR0911 - one table
        match value:
            case None:
                return None
            case Record():
                # A portfolio item's state is an object whose text can be asked for
                # (rally-api-notes.md#lookback-requests).
                return value.name if name in self._wish.hydrated else value.object_id
            case Link():
                return self._world.columns.object_id[value.index]
            case tuple():
                return [self._shown("", each) for each in value]
            case bool() | float():
                return value
            case int():
                return iso(value) if name in DATES else value
            case str() if name in ENUMERATED:
                return value if name in self._wish.hydrated else enumerated_id(name, value)
            case _:
                return value

    def _ancestors(self, values: Values) -> list[int]:
        found: list[int] = []
        for name in ("Parent", "PortfolioItem", "Requirement", "WorkProduct"):
            link = values.get(name)
            if isinstance(link, Link):
                found.append(self._world.columns.object_id[link.index])
        return found[:1]


def project_hierarchy(project: Record) -> Sequence[int]:
    """Project ids from the root to a project."""
    found: list[int] = []
    each: Record | None = project
    while each is not None and each.object_id not in found:
        found.append(each.object_id)
        parent = each.values.get("Parent")
        each = parent if isinstance(parent, Record) else None
    return found[::-1]
