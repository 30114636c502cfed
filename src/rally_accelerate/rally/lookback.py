"""Lookback's questions, and its snapshots as they come; pure (rally-api-notes.md#lookback)."""

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
    PastFields,
    Shape,
    choice_text,
    date_text,
    flag_text,
    number_text,
)
from rally_accelerate.rally.records import RECYCLED, FieldChange, Named, Past, PastSource, PastValue
from rally_accelerate.rally.wsapi import Request

SnapshotRow = Mapping[str, Any]

#: More rows are never granted (rally-api-notes.md#lookback-requests).
LARGEST_PAGE = 20_000

#: How many rows at a page's edge are looked at for repeats: more snapshots are not made while a page is read.
EDGE = 2_000

#: ``_ValidTo`` of the current snapshot begins so.
FOREVER = "9999-"

#: What is needed of every snapshot.
_FRAME = ("ObjectID", "_ValidFrom", "_ValidTo", "_SnapshotNumber", "_SnapshotType", "_User")

#: Links that only the current snapshot is asked about.
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

#: Ids become text on the server for these: there is no other way to learn what a drop-down's id means, and the flow
#: states of closed projects cannot be asked for.
_HYDRATED = (Shape.CHOICE, Shape.FLOW_STATE)


def question(
    workspace: int,
    ids: Sequence[int],
    *,
    fields: PastFields,
    start: int,
    size: int,
    more: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> Request:
    """The request for all snapshots of some items.

    Args:
        workspace: The workspace's ObjectID.
        ids: ObjectIDs of the items.
        fields: What is tracked.
        more: Further fields that are wanted.
        texts: Those among the further fields that are wanted as text instead of ids.
        start: How many rows have come already, 0-based.
        size: How many rows are wanted.
    """
    hydrated = list(dict.fromkeys((*(each.name for each in fields.in_lookback if each.shape in _HYDRATED), *texts)))
    body = {
        "find": {"ObjectID": {"$in": list(ids)}},
        "fields": list(dict.fromkeys((*_FRAME, *(each.name for each in fields.in_lookback), *LINKS, *more))),
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


def naming_question(workspace: int, items: Sequence[int], ids: Sequence[int], *, start: int, size: int) -> Request:
    """The request for snapshots that tell the names of timeboxes; WSAPI does not tell those of closed projects.

    Args:
        workspace: The workspace's ObjectID.
        items: ObjectIDs of items that have been in them.
        ids: ObjectIDs of the timeboxes.
        start: How many rows have come already, 0-based.
        size: How many rows are wanted.
    """
    find = {
        "ObjectID": {"$in": list(items)},
        "$or": [{**_entered(field), field: {"$in": list(ids)}} for field in TIMEBOXES],
    }
    return _naming(workspace, find, hydrated=True, start=start, size=size)


def left_question(workspace: int, field: str, ids: Sequence[int], *, start: int, size: int) -> Request:
    """The request for every snapshot in which an item left one of some timeboxes.

    Args:
        workspace: The workspace's ObjectID.
        field: Where items carry them: ``Iteration`` or ``Release``.
        ids: ObjectIDs of the timeboxes.
        start: How many rows have come already, 0-based.
        size: How many rows are wanted.
    """
    find = {f"_PreviousValues.{field}": {"$in": list(ids)}}
    return _asking(workspace, find, fields=("ObjectID", "_ValidFrom"), hydrate=(), start=start, size=size)


def closed_question(workspace: int, projects: Sequence[int], *, hydrated: bool, start: int, size: int) -> Request:
    """The request for every snapshot in which an item came into a timebox of some projects.

    Asked twice, with names and with ids: the same snapshot tells both.

    Args:
        workspace: The workspace's ObjectID.
        projects: ObjectIDs of closed projects.
        hydrated: Whether names are wanted, or ids.
        start: How many rows have come already, 0-based.
        size: How many rows are wanted.
    """
    held = [{**_entered(field), field: {"$exists": True}} for field in TIMEBOXES]
    find = {"Project": {"$in": list(projects)}, "$or": held}
    return _naming(workspace, find, hydrated=hydrated, start=start, size=size)


def _entered(field: str) -> dict[str, Any]:
    # The moment of entering is enough; each later change of the item would only repeat it.
    return {f"_PreviousValues.{field}": {"$exists": True}}


def _naming(workspace: int, find: Mapping[str, Any], *, hydrated: bool, start: int, size: int) -> Request:
    hydrate = tuple(TIMEBOXES) if hydrated else ()
    fields = ("ObjectID", "_ValidFrom", *TIMEBOXES)
    return _asking(workspace, find, fields=fields, hydrate=hydrate, start=start, size=size)


def _asking(
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
    """The snapshots of some items as they come, page by page."""

    by_item: dict[int, list[SnapshotRow]] = field(default_factory=dict)
    #: How far the service's feed has come; None when it does not say.
    fed_until: datetime | None = None
    #: Whether rows of other people's projects were left out.
    unauthorized: bool = False
    rows: int = 0
    _edge: set[Any] = field(default_factory=set)

    def take(self, data: Mapping[str, Any]) -> bool:
        """Take an answer in; whether there is more."""
        results = data.get("Results")
        found = results if isinstance(results, list) else []
        # What is no row at all cannot be told to be anybody's: the gap in the count shows that something is missing.
        rows = [row for row in found if isinstance(row, dict)]
        for row in rows:
            item = row.get("ObjectID")
            if isinstance(item, int) and row.get("_ValidFrom") and row.get("_id") not in self._edge:
                self.by_item.setdefault(item, []).append(row)
        # When a snapshot is made meanwhile, the rows at this page's edge come again with the next one.
        self._edge = {row.get("_id") for row in rows[-EDGE:]} - {None}
        self.rows += len(found)
        self.unauthorized = self.unauthorized or bool(data.get("UnauthorizedProjects"))
        if self.fed_until is None:
            self.fed_until = _instant(data.get("ETLDate"))
        return bool(data.get("HasMore")) and bool(found)


def is_doubtful(data: Mapping[str, Any]) -> bool:
    """Whether a page is empty although more rows are announced."""
    total, start = data.get("TotalResultCount"), data.get("StartIndex") or 0
    announced = isinstance(total, int) and isinstance(start, int) and total > start
    return data.get("Results") == [] and (bool(data.get("HasMore")) or announced)


def is_dated(row: object) -> bool:
    """Whether a row says since when it holds."""
    return isinstance(row, dict) and _instant(row.get("_ValidFrom")) is not None


def milliseconds(text: str) -> int:
    """A Lookback instant in milliseconds since 1970."""
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

#: What an id of a shape was called at an instant in milliseconds.
NameAt = Callable[[Shape, int, int], str]


#: One field's change: instant, author's id, field, shape, value before, value after. Values are ready where there is no
#: shape, else ids or lists of ids. A bare tuple: there are ten and more of them for each item.
_Move = tuple[int, Any, str, Shape | None, Any, Any]


@dataclass(frozen=True, slots=True)
class Condensed:
    """What is left of an item's snapshots."""

    moves: tuple[_Move, ...]
    creator: Any
    created_at: int
    #: Milliseconds of the newest snapshot.
    latest: int
    whole: bool
    #: Whether the newest snapshot is the current one.
    current: bool
    links: dict[str, tuple[int, ...]]
    #: The timeboxes that the item was made in, by field.
    first: dict[str, int]

    def entered(self, at: int, field: str) -> int | None:
        """The timebox that the item was in from an instant on; None when it is not known."""
        if at == self.created_at:
            return self.first.get(field)
        return next(
            (
                after
                for moved_at, _, name, _, _, after in self.moves
                if moved_at == at and name == field and isinstance(after, int)
            ),
            None,
        )

    def was_in(self, ids: set[int]) -> bool:
        """Whether the item was in one of these timeboxes and left it, or came into it."""
        return any(before in ids or after in ids for _, _, name, _, before, after in self.moves if name in TIMEBOXES)


@dataclass(slots=True)
class Ids:
    """Every id in condensed snapshots that stands for something with a name."""

    by_shape: defaultdict[Shape, set[int]] = field(default_factory=lambda: defaultdict(set))
    #: ObjectIDs of other items, by the field that refers to them.
    items: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


class Reader:
    """Reads items' snapshots.

    Args:
        fields: What is tracked.
    """

    def __init__(self, fields: PastFields) -> None:
        self._shapes = {each.name: each.shape for each in fields.in_lookback}
        self._plain = {name: plain for name, shape in self._shapes.items() if (plain := _PLAIN.get(shape)) is not None}
        #: The order in which changes of one save are told.
        self._order = {name: place for place, name in enumerate(self._shapes)}
        self._words: dict[str, str] = {}
        self.ids = Ids()

    def condensed(self, rows: list[SnapshotRow]) -> Condensed:
        """The first pass.

        Args:
            rows: The snapshots of one item, at least one, in any order.
        """
        _put_in_order(rows)
        moves: list[_Move] = []
        people = self.ids.by_shape[Shape.PERSON]
        previous = rows[0]
        whole = not previous.get("_SnapshotNumber")
        latest = 0
        for row in rows[1:]:
            number, before = row.get("_SnapshotNumber"), previous.get("_SnapshotNumber")
            if number is not None and before is not None and number != before + 1:
                # What happened in between, when and by whom, is not shown: the difference of the two is no change.
                whole = False
                previous = row
                continue
            valid_from, closed = row["_ValidFrom"], previous.get("_ValidTo")
            changed = self._changed(previous, row)
            gap = closed is not None and closed < valid_from
            if changed or gap:
                # Numbers tell the order; instants of different nodes may differ by a little.
                at = latest = max(latest, milliseconds(valid_from))
                user = row.get("_User")
                if isinstance(user, int):
                    people.add(user)
                if gap:
                    # The time in the recycle bin (rally-api-notes.md#snapshots-of-removed-items); who put the item
                    # there is not told.
                    moves.append((milliseconds(str(closed)), None, RECYCLED, None, "false", "true"))
                    moves.append((at, user, RECYCLED, None, "true", "false"))
                for name in changed:
                    move = self._move(at, user, name, (previous.get(name), row.get(name)))
                    if move is not None:
                        moves.append(move)
            previous = row
        first, last = rows[0], rows[-1]
        if isinstance(creator := first.get("_User"), int):
            people.add(creator)
        return Condensed(
            moves=tuple(moves),
            creator=creator,
            created_at=milliseconds(first["_ValidFrom"]),
            latest=milliseconds(last["_ValidFrom"]),
            whole=whole,
            # Closed without a successor: deleted, or the feed has not come to the restoration yet
            # (rally-api-notes.md#snapshots-of-removed-items).
            current=str(last.get("_ValidTo") or FOREVER).startswith(FOREVER),
            links={name: found for name in LINKS if (found := _ids(last.get(name)))},
            first={name: value for name in TIMEBOXES if isinstance(value := first.get(name), int)},
        )

    def _changed(self, before: SnapshotRow, after: SnapshotRow) -> list[str]:
        """The tracked fields in which two snapshots differ; most differ in one of two dozen."""
        order, held = self._order, before.get
        # What is absent is unset, as null is. Snapshots hold only what is set: fewer fields than are tracked.
        differing = compress(after, map(ne, map(held, after), after.values()))
        changed = [name for name in differing if name in order]
        if not before.keys() <= after.keys():
            gone = before.keys() - after.keys()
            changed.extend(name for name in gone if name in order and held(name) is not None)
        if len(changed) > 1:
            changed.sort(key=order.__getitem__)
        return changed

    def _move(self, at: int, user: Any, name: str, values: tuple[Any, Any]) -> _Move | None:
        old, new = values
        plain = self._plain.get(name)
        if plain is not None:
            # Every row brings its own copy of the same few words; kept once, they are a small part of a past.
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
    def past(condensed: Condensed, name_at: NameAt, *, up_to_date: bool) -> Past:
        """The second pass.

        Args:
            condensed: What the first pass left.
            name_at: What an id was called at an instant; every id in ``ids`` is known by now, if it can be.
            up_to_date: Whether the feed has come as far as the item's last change.
        """
        changes: list[FieldChange] = []
        # Changes of one save follow each other: its author is looked up once.
        saved: tuple[int, Any] = (0, None)
        who, who_id = "", None
        for at, user, name, shape, before, after in condensed.moves:
            if saved != (at, user):
                saved = (at, user)
                who_id = user if isinstance(user, int) else None
                who = name_at(Shape.PERSON, who_id, at) if who_id is not None else ""
            if shape is None:
                changes.append(FieldChange(at, who, name, before, after, who_id))
                continue
            # The old value carries the name that it still had when it went.
            was, now = _named(shape, before, at, name_at), _named(shape, after, at, name_at)
            if was != now:
                changes.append(FieldChange(at, who, name, was, now, who_id))
        creator = condensed.creator
        known = condensed.whole and isinstance(creator, int)
        return Past(
            source=PastSource.LOOKBACK,
            changes=tuple(changes),
            creator=name_at(Shape.PERSON, creator, condensed.created_at) if known else "",
            creator_id=creator if known else None,
            up_to_date=up_to_date and condensed.current,
            whole=condensed.whole,
            links=condensed.links,
        )


def _named(shape: Shape, value: Any, at: int, name_at: NameAt) -> PastValue:
    if shape in _COLLECTIONS:
        return tuple(sorted(name_at(shape, each, at) for each in _ids(value)))
    if shape in _TIMEBOXES:
        return Named(value, name_at(shape, value, at)) if isinstance(value, int) else None
    return name_at(shape, value, at) if isinstance(value, int) else str(value or "")


def _put_in_order(rows: list[SnapshotRow]) -> None:
    """Sort snapshots by number, or by instant where not all have one; they are asked for by instant."""
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
    return tuple(each for each in value if isinstance(each, int)) if isinstance(value, list) else ()
