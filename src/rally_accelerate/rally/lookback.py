"""Lookback requests and the conversion of snapshots. No I/O (rally-api-notes.md#lookback)."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress
from operator import itemgetter, lt, ne
from typing import Any

import orjson

from rally_accelerate.rally.history_fields import (
    TIMEBOXES,
    Shape,
    TrackedFields,
    choice_text,
    date_text,
    flag_text,
    number_text,
)
from rally_accelerate.rally.records import RECYCLED, FieldChange, FieldValue, HistorySource, ItemHistory, TimeboxValue
from rally_accelerate.rally.wsapi import Request

SnapshotRow = Mapping[str, Any]

#: Lookback's maximum (rally-api-notes.md#lookback-requests).
MAX_PAGE_SIZE = 20_000

#: How many rows at a page's edge are looked at for repeats: more snapshots are not made while a page is read.
OVERLAP_ROWS = 2_000

#: ``_ValidTo`` of the current snapshot begins so.
FOREVER = "9999-"

#: Fields that every snapshot needs.
_BASE_FIELDS = ("ObjectID", "_ValidFrom", "_ValidTo", "_SnapshotNumber", "_SnapshotType", "_User")

#: Links that are read from the current snapshot only.
LINKS = (
    "Parent",
    "PortfolioItem",
    "Requirement",
    "WorkProduct",
    "TestCase",
    "Predecessors",
    "Successors",
    "Duplicates",
    "DefectSuites",
    "Children",
)

#: The server converts ids of these to text: the ids of drop-downs have no other source, and flow states of closed
#: projects cannot be queried.
_HYDRATED = (Shape.CHOICE, Shape.FLOW_STATE)


def snapshots_request(
    workspace: int,
    ids: Sequence[int],
    *,
    fields: TrackedFields,
    start: int,
    size: int,
    more: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> Request:
    """Build the request for all snapshots of some items.

    Args:
        workspace: The workspace's ObjectID.
        ids: ObjectIDs of the items.
        fields: The tracked fields.
        more: Further fields to read.
        texts: The further fields to return as text instead of ids.
        start: Offset of the first row.
        size: Maximum number of rows.
    """
    hydrated = list(dict.fromkeys((*(field.name for field in fields.in_lookback if field.shape in _HYDRATED), *texts)))
    body = {
        "find": {"ObjectID": {"$in": list(ids)}},
        "fields": list(dict.fromkeys((*_BASE_FIELDS, *(field.name for field in fields.in_lookback), *LINKS, *more))),
        "hydrate": hydrated,
        # By item: a new snapshot that appears between two pages can only repeat a row, never hide one.
        "sort": {"ObjectID": 1, "_ValidFrom": 1},
        "start": start,
        "pagesize": size,
        # Rows of projects that this user may not see would otherwise fail the whole request
        # (rally-api-notes.md#access-to-snapshots).
        "removeUnauthorizedSnapshots": True,
    }
    path = f"/analytics/v2.0/service/rally/workspace/{workspace}/artifact/snapshot/query.js"
    return Request(path, body=orjson.dumps(body))


def timebox_names_request(
    workspace: int, items: Sequence[int], ids: Sequence[int], *, start: int, size: int
) -> Request:
    """Build the request for snapshots with the names of timeboxes; WSAPI omits those of closed projects.

    Args:
        workspace: The workspace's ObjectID.
        items: ObjectIDs of items that were in them.
        ids: ObjectIDs of the timeboxes.
        start: Offset of the first row.
        size: Maximum number of rows.
    """
    find = {
        "ObjectID": {"$in": list(items)},
        "$or": [{**_entry_condition(field), field: {"$in": list(ids)}} for field in TIMEBOXES],
    }
    return _timebox_query(workspace, find, hydrated=True, start=start, size=size)


def departures_request(workspace: int, field: str, ids: Sequence[int], *, start: int, size: int) -> Request:
    """Build the request for every snapshot in which an item left one of some timeboxes.

    Args:
        workspace: The workspace's ObjectID.
        field: Where items carry them: ``Iteration`` or ``Release``.
        ids: ObjectIDs of the timeboxes.
        start: Offset of the first row.
        size: Maximum number of rows.
    """
    find = {f"_PreviousValues.{field}": {"$in": list(ids)}}
    return _snapshot_query(workspace, find, fields=("ObjectID", "_ValidFrom"), hydrate=(), start=start, size=size)


def timeboxes_of_projects_request(
    workspace: int, projects: Sequence[int], *, hydrated: bool, start: int, size: int
) -> Request:
    """Build the request for every snapshot in which an item entered a timebox of some projects.

    Sent twice, with names and with ids: the same snapshot has both.

    Args:
        workspace: The workspace's ObjectID.
        projects: ObjectIDs of closed projects.
        hydrated: Whether to return names instead of ids.
        start: Offset of the first row.
        size: Maximum number of rows.
    """
    in_timebox = [{**_entry_condition(field), field: {"$exists": True}} for field in TIMEBOXES]
    find = {"Project": {"$in": list(projects)}, "$or": in_timebox}
    return _timebox_query(workspace, find, hydrated=hydrated, start=start, size=size)


def _entry_condition(field: str) -> dict[str, Any]:
    # The snapshot of the entry is enough; later ones only repeat the value.
    return {f"_PreviousValues.{field}": {"$exists": True}}


def _timebox_query(workspace: int, find: Mapping[str, Any], *, hydrated: bool, start: int, size: int) -> Request:
    hydrate = tuple(TIMEBOXES) if hydrated else ()
    fields = ("ObjectID", "_ValidFrom", *TIMEBOXES)
    return _snapshot_query(workspace, find, fields=fields, hydrate=hydrate, start=start, size=size)


def _snapshot_query(
    workspace: int, find: Mapping[str, Any], *, fields: Sequence[str], hydrate: Sequence[str], start: int, size: int
) -> Request:
    body = {
        "find": find,
        "fields": list(fields),
        "hydrate": list(hydrate),
        "sort": {"ObjectID": 1, "_ValidFrom": 1},
        "start": start,
        "pagesize": size,
        "removeUnauthorizedSnapshots": True,
    }
    path = f"/analytics/v2.0/service/rally/workspace/{workspace}/artifact/snapshot/query.js"
    return Request(path, body=orjson.dumps(body))


@dataclass(slots=True)
class Snapshots:
    """The snapshots of some items, collected from pages."""

    by_item: dict[int, list[SnapshotRow]] = field(default_factory=dict)
    #: The time up to which Lookback has received changes; None when it is not reported.
    feed_time: datetime | None = None
    #: Whether rows of projects without access were left out.
    unauthorized: bool = False
    rows: int = 0
    _edge: set[Any] = field(default_factory=set)

    def add_page(self, data: Mapping[str, Any]) -> bool:
        """Add a page of results; return whether there are more."""
        results = data.get("Results")
        received = results if isinstance(results, list) else []
        # Entries that are no rows belong to no known item; the gap in the numbers shows that something is missing.
        rows = [row for row in received if isinstance(row, dict)]
        for row in rows:
            item = row.get("ObjectID")
            if isinstance(item, int) and row.get("_ValidFrom") and row.get("_id") not in self._edge:
                self.by_item.setdefault(item, []).append(row)
        # If a snapshot is created between two requests, the next page repeats the last rows of this one.
        self._edge = {row.get("_id") for row in rows[-OVERLAP_ROWS:]} - {None}
        self.rows += len(received)
        self.unauthorized = self.unauthorized or bool(data.get("UnauthorizedProjects"))
        if self.feed_time is None:
            self.feed_time = _instant(data.get("ETLDate"))
        return bool(data.get("HasMore")) and bool(received)


def is_doubtful(data: Mapping[str, Any]) -> bool:
    """Return whether a page is empty although more rows are announced."""
    total, start = data.get("TotalResultCount"), data.get("StartIndex") or 0
    announced = isinstance(total, int) and isinstance(start, int) and total > start
    return data.get("Results") == [] and (bool(data.get("HasMore")) or announced)


def is_dated(row: object) -> bool:
    """Return whether a row has a start date."""
    return isinstance(row, dict) and _instant(row.get("_ValidFrom")) is not None


def milliseconds(text: str) -> int:
    """Convert a Lookback instant to milliseconds since 1970."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _instant(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


#: Shapes that need no name.
_PLAIN: dict[Shape, Callable[[Any], str]] = {
    Shape.FLAG: flag_text,
    Shape.NUMBER: number_text,
    Shape.DATE: date_text,
    Shape.TEXT: lambda value: "" if value is None else str(value),
    Shape.CHOICE: choice_text,
    Shape.FLOW_STATE: choice_text,
}

_COLLECTIONS = frozenset({Shape.TAGS, Shape.MILESTONES})
_TIMEBOXES = frozenset(TIMEBOXES.values())

#: Returns the name of an id of a shape at an instant in milliseconds.
NameAt = Callable[[Shape, int, int], str]


#: One field's change: instant, author's id, field, shape, value before, value after. Values are ready where there is no
#: shape, else ids or lists of ids. A bare tuple: there are ten and more of them for each item.
_Change = tuple[int, Any, str, Shape | None, Any, Any]


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """Summary of an item's snapshots."""

    changes: tuple[_Change, ...]
    creator: Any
    created_at: int
    #: Milliseconds of the newest snapshot.
    updated_at: int
    complete: bool
    #: Whether the newest snapshot is the current one.
    current: bool
    links: dict[str, tuple[int, ...]]
    #: The timeboxes in which the item was created, by field.
    initial_timeboxes: dict[str, int]

    def find_timebox(self, at: int, field: str) -> int | None:
        """Return the timebox that the item entered at an instant; None when it is unknown."""
        if at == self.created_at:
            return self.initial_timeboxes.get(field)
        return next(
            (
                after
                for moved_at, _, name, _, _, after in self.changes
                if moved_at == at and name == field and isinstance(after, int)
            ),
            None,
        )

    def was_in(self, ids: set[int]) -> bool:
        """Return whether the item entered or left one of these timeboxes."""
        return any(before in ids or after in ids for _, _, name, _, before, after in self.changes if name in TIMEBOXES)


@dataclass(slots=True)
class ReferencedIds:
    """The ids of all named objects in snapshots."""

    by_shape: defaultdict[Shape, set[int]] = field(default_factory=lambda: defaultdict(set))
    #: ObjectIDs of other items, by the field that refers to them.
    items: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


class SnapshotReader:
    """Reader of items' snapshots.

    Args:
        fields: The tracked fields.
    """

    def __init__(self, fields: TrackedFields) -> None:
        self._shapes = {field.name: field.shape for field in fields.in_lookback}
        self._plain = {name: plain for name, shape in self._shapes.items() if (plain := _PLAIN.get(shape)) is not None}
        #: The order in which changes of one save are listed.
        self._order = {name: position for position, name in enumerate(self._shapes)}
        self._words: dict[str, str] = {}
        self.ids = ReferencedIds()

    def summarize(self, rows: list[SnapshotRow]) -> SnapshotSummary:
        """Summarize the snapshots of one item; the first of two passes.

        Args:
            rows: The snapshots of one item, at least one, in any order.
        """
        _sort_rows(rows)
        moves: list[_Change] = []
        people = self.ids.by_shape[Shape.PERSON]
        previous = rows[0]
        complete = not previous.get("_SnapshotNumber")
        latest = 0
        for row in rows[1:]:
            number, before = row.get("_SnapshotNumber"), previous.get("_SnapshotNumber")
            if number is not None and before is not None and number != before + 1:
                # The changes in between, their dates and users are unknown: the difference of the two is no change.
                complete = False
                previous = row
                continue
            valid_from, closed = row["_ValidFrom"], previous.get("_ValidTo")
            changed = self._find_differences(previous, row)
            gap = closed is not None and closed < valid_from
            if changed or gap:
                # The numbers define the order; clocks of nodes differ slightly.
                at = latest = max(latest, milliseconds(valid_from))
                user = row.get("_User")
                if isinstance(user, int):
                    people.add(user)
                if gap:
                    # The time in the recycle bin (rally-api-notes.md#snapshots-of-removed-items); the user is
                    # unknown.
                    moves.append((milliseconds(str(closed)), None, RECYCLED, None, "false", "true"))
                    moves.append((at, user, RECYCLED, None, "true", "false"))
                for name in changed:
                    move = self._make_change(at, user, name, (previous.get(name), row.get(name)))
                    if move is not None:
                        moves.append(move)
            previous = row
        first, last = rows[0], rows[-1]
        if isinstance(creator := first.get("_User"), int):
            people.add(creator)
        return SnapshotSummary(
            changes=tuple(moves),
            creator=creator,
            created_at=milliseconds(first["_ValidFrom"]),
            updated_at=milliseconds(last["_ValidFrom"]),
            complete=complete,
            # Closed without a successor: deleted, or the feed has not come to the restoration yet
            # (rally-api-notes.md#snapshots-of-removed-items).
            current=str(last.get("_ValidTo") or FOREVER).startswith(FOREVER),
            links={name: ids for name in LINKS if (ids := _ids(last.get(name)))},
            initial_timeboxes={name: value for name in TIMEBOXES if isinstance(value := first.get(name), int)},
        )

    def _find_differences(self, before: SnapshotRow, after: SnapshotRow) -> list[str]:
        """Return the tracked fields in which two snapshots differ; most differ in one of two dozen."""
        order, value_before = self._order, before.get
        # A missing field is unset, like null. Snapshots contain only fields that are set: fewer than are tracked.
        differing = compress(after, map(ne, map(value_before, after), after.values()))
        changed = [name for name in differing if name in order]
        if not before.keys() <= after.keys():
            removed = before.keys() - after.keys()
            changed.extend(name for name in removed if name in order and value_before(name) is not None)
        if len(changed) > 1:
            changed.sort(key=order.__getitem__)
        return changed

    def _make_change(self, at: int, user: Any, name: str, values: tuple[Any, Any]) -> _Change | None:
        old, new = values
        plain = self._plain.get(name)
        if plain is not None:
            # Every row has a copy of the same few texts; shared, they take little memory.
            words = self._words.setdefault
            was, now = plain(old), plain(new)
            was, now = words(was, was), words(now, now)
            return (at, user, name, None, was, now) if was != now else None
        shape = self._shapes[name]
        into = self.ids.items[name] if shape is Shape.ITEM else self.ids.by_shape[shape]
        into.update(_ids(old))
        into.update(_ids(new))
        return (at, user, name, shape, old, new)

    @staticmethod
    def to_history(condensed: SnapshotSummary, name_at: NameAt, *, up_to_date: bool) -> ItemHistory:
        """Convert a summary to a history; the second of two passes.

        Args:
            condensed: The result of the first pass.
            name_at: What an id was called at an instant; every id in ``ids`` has been looked up.
            up_to_date: Whether Lookback has received the item's last change.
        """
        changes: list[FieldChange] = []
        # Changes of one save follow each other: its author is looked up once.
        saved: tuple[int, Any] = (0, None)
        who, who_id = "", None
        for at, user, name, shape, before, after in condensed.changes:
            if saved != (at, user):
                saved = (at, user)
                who_id = user if isinstance(user, int) else None
                who = name_at(Shape.PERSON, who_id, at) if who_id is not None else ""
            if shape is None:
                changes.append(FieldChange(at, who, name, before, after, who_id))
                continue
            # The old value has the name that it had before the change.
            was, now = _resolve_value(shape, before, at, name_at), _resolve_value(shape, after, at, name_at)
            if was != now:
                changes.append(FieldChange(at, who, name, was, now, who_id))
        creator = condensed.creator
        known = condensed.complete and isinstance(creator, int)
        return ItemHistory(
            source=HistorySource.LOOKBACK,
            changes=tuple(changes),
            creator=name_at(Shape.PERSON, creator, condensed.created_at) if known else "",
            creator_id=creator if known else None,
            up_to_date=up_to_date and condensed.current,
            whole=condensed.complete,
            links=condensed.links,
        )


def _resolve_value(shape: Shape, value: Any, at: int, name_at: NameAt) -> FieldValue:
    if shape in _COLLECTIONS:
        return tuple(sorted(name_at(shape, oid, at) for oid in _ids(value)))
    if shape in _TIMEBOXES:
        return TimeboxValue(value, name_at(shape, value, at)) if isinstance(value, int) else None
    return name_at(shape, value, at) if isinstance(value, int) else str(value or "")


def _sort_rows(rows: list[SnapshotRow]) -> None:
    """Sort snapshots by number, or by instant where not all have one; queries sort by instant."""
    numbers = [number for row in rows if isinstance(number := row.get("_SnapshotNumber"), int)]
    if len(numbers) == len(rows):
        if not all(map(lt, numbers, numbers[1:])):
            rows.sort(key=itemgetter("_SnapshotNumber", "_ValidFrom"))
        return
    instants = [row["_ValidFrom"] for row in rows]
    if not all(map(lt, instants, instants[1:])):
        rows.sort(key=lambda row: (row["_ValidFrom"], row.get("_SnapshotNumber") or 0))


def _ids(value: Any) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,)
    return tuple(oid for oid in value if isinstance(oid, int)) if isinstance(value, list) else ()
