"""Lookback's question and its snapshots, read as changes; pure (rally-api.md section 4)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from rally_accelerate.rally.pastfields import PastFields, Shape, choice_text, flag_text, number_text
from rally_accelerate.rally.records import RECYCLED, FieldChange, Named, Past, PastSource, PastValue
from rally_accelerate.rally.wire import Request

Row = Mapping[str, Any]

#: More rows are never granted (rally-api.md 4.2).
LARGEST_PAGE = 20_000

#: How many rows at a page's edge are looked at for repeats: more snapshots are not made while a page is read.
EDGE = 2_000

#: ``_ValidTo`` of the current snapshot begins so.
_FOREVER = "9999-"

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


def question(workspace: int, ids: Sequence[int], *, fields: PastFields, start: int, size: int) -> Request:
    """The request for all snapshots of some items.

    Args:
        workspace: The workspace's ObjectID.
        ids: ObjectIDs of the items.
        fields: What is tracked.
        start: How many rows have come already, 0-based.
        size: How many rows are wanted.
    """
    hydrated = [each.name for each in fields.in_lookback if each.shape in _HYDRATED]
    body = {
        "find": {"ObjectID": {"$in": list(ids)}},
        "fields": list(dict.fromkeys((*_FRAME, *(each.name for each in fields.in_lookback), *LINKS))),
        "hydrate": hydrated,
        # By item: a new snapshot that appears between two pages can only repeat a row, never hide one.
        "sort": {"ObjectID": 1, "_ValidFrom": 1},
        "start": start,
        "pagesize": size,
        # Rows of projects that this user may not see would otherwise fail the whole request (rally-api.md 4.7).
        "removeUnauthorizedSnapshots": True,
    }
    path = f"/analytics/v2.0/service/rally/workspace/{workspace}/artifact/snapshot/query.js"
    return Request(path, body=orjson.dumps(body))


def naming_question(workspace: int, field: str, ids: Sequence[int], *, start: int, size: int) -> Request:
    """The request for snapshots that tell the names of a field's ids; WSAPI does not tell those of closed projects.

    Args:
        workspace: The workspace's ObjectID.
        field: ``Iteration`` or ``Release``.
        ids: What is to be named.
        start: How many rows have come already, 0-based.
        size: How many rows are wanted.
    """
    body = {
        "find": {field: {"$in": list(ids)}},
        "fields": ["ObjectID", "_SnapshotNumber", field],
        "hydrate": [field],
        "sort": {"ObjectID": 1, "_ValidFrom": 1},
        "start": start,
        "pagesize": size,
        "removeUnauthorizedSnapshots": True,
    }
    path = f"/analytics/v2.0/service/rally/workspace/{workspace}/artifact/snapshot/query.js"
    return Request(path, body=orjson.dumps(body))


def names_told(snapshots: "Snapshots", rows: Iterable[Row], field: str) -> Mapping[int, str]:
    """What hydrated rows call the ids that the same snapshots hold in their own rows."""
    told = {
        (row.get("ObjectID"), row.get("_SnapshotNumber")): value
        for row in rows
        if isinstance(value := row.get(field), str)
    }
    return {
        its_id: name
        for item, its in snapshots.by_item.items()
        for row in its
        if isinstance(its_id := row.get(field), int) and (name := told.get((item, row.get("_SnapshotNumber"))))
    }


@dataclass(slots=True)
class Snapshots:
    """The snapshots of some items as they come, page by page."""

    by_item: dict[int, list[Row]] = field(default_factory=dict)
    #: How far the service's feed has come; None when it does not say.
    fed_until: datetime | None = None
    #: Whether rows of other people's projects were left out.
    unauthorized: bool = False
    rows: int = 0
    _edge: set[Any] = field(default_factory=set)

    def take(self, data: Mapping[str, Any]) -> bool:
        """Take an answer in; whether there is more."""
        results = data.get("Results")
        rows = results if isinstance(results, list) else []
        for row in rows:
            item = row.get("ObjectID")
            if isinstance(item, int) and row.get("_ValidFrom") and row.get("_id") not in self._edge:
                self.by_item.setdefault(item, []).append(row)
        # When a snapshot is made meanwhile, the rows at this page's edge come again with the next one.
        self._edge = {row.get("_id") for row in rows[-EDGE:]} - {None}
        self.rows += len(rows)
        self.unauthorized = self.unauthorized or bool(data.get("UnauthorizedProjects"))
        if self.fed_until is None:
            self.fed_until = _instant(data.get("ETLDate"))
        return bool(data.get("HasMore")) and bool(rows)


#: Shapes whose values are ids, alone or in arrays.
_BY_ID = (
    Shape.PERSON,
    Shape.PROJECT,
    Shape.ITERATION,
    Shape.RELEASE,
    Shape.TAGS,
    Shape.MILESTONES,
)


def ids_in(snapshots: Snapshots, fields: PastFields) -> dict[Shape, set[int]]:
    """Every id that stands in snapshots for something with a name, by shape; of other items ``items_in`` tells."""
    found: dict[Shape, set[int]] = {shape: set() for shape in _BY_ID}
    tracked = [(each.name, found[each.shape]) for each in fields.in_lookback if each.shape in _BY_ID]
    people = found[Shape.PERSON]
    for rows in snapshots.by_item.values():
        for row in rows:
            people.add(row.get("_User"))  # type: ignore[arg-type]  # cleaned below
            for name, into in tracked:
                value = row.get(name)
                if value is None:
                    continue
                if isinstance(value, list):
                    into.update(value)
                else:
                    into.add(value)
    return {shape: {each for each in ids if isinstance(each, int)} for shape, ids in found.items()}


def items_in(snapshots: Snapshots, fields: PastFields) -> dict[str, set[int]]:
    """ObjectIDs of other items that snapshots refer to, by field."""
    found: dict[str, set[int]] = {}
    for name in (each.name for each in fields.in_lookback if each.shape is Shape.ITEM):
        ids = {value for rows in snapshots.by_item.values() for row in rows if isinstance(value := row.get(name), int)}
        if ids:
            found[name] = ids
    return found


#: What an id of a shape was called at an instant in milliseconds; for items the field's name comes first.
NameAt = Callable[[Shape, int, int], str]


class Reader:
    """Reads items' snapshots as changes.

    Args:
        fields: What is tracked.
        name_at: What an id was called at an instant.
    """

    def __init__(self, fields: PastFields, name_at: NameAt) -> None:
        self._fields = [(each.name, each.shape) for each in fields.in_lookback]
        self._name_at = name_at

    def past(self, rows: Sequence[Row], *, up_to_date: bool) -> Past:
        """The past of one item.

        Args:
            rows: Its snapshots in any order.
            up_to_date: Whether the feed has come as far as the item's last change.
        """
        ordered = sorted(rows, key=lambda row: (row["_ValidFrom"], row.get("_SnapshotNumber") or 0))
        changes: list[FieldChange] = []
        previous: Row | None = None
        whole = True
        for row in ordered:
            if previous is None:
                whole = (row.get("_SnapshotNumber") or 0) == 0
            else:
                whole = self._compare(previous, row, changes) and whole
            previous = row
        first = ordered[0]
        last = ordered[-1]
        if not str(last.get("_ValidTo") or _FOREVER).startswith(_FOREVER):
            # Closed without a successor: deleted, or the feed has not come to the restoration yet (4.6).
            up_to_date = False
        return Past(
            source=PastSource.LOOKBACK,
            changes=tuple(changes),
            creator=self._person(first.get("_User"), milliseconds(first["_ValidFrom"])) if whole else "",
            up_to_date=up_to_date,
            whole=whole,
            links={name: tuple(found) for name in LINKS if (found := _ids(last.get(name)))},
        )

    def _compare(self, before: Row, after: Row, changes: list[FieldChange]) -> bool:
        """Add what changed from one snapshot to the next; whether none is missing in between."""
        at = -1
        user = ""
        valid_from = after["_ValidFrom"]
        closed = before.get("_ValidTo")
        if closed is not None and closed < valid_from:
            # A gap is the time in the recycle bin (4.7); who put the item there is not told.
            changes.append(FieldChange(milliseconds(closed), "", RECYCLED, "false", "true"))
            at = milliseconds(valid_from)
            user = self._person(after.get("_User"), at)
            changes.append(FieldChange(at, user, RECYCLED, "true", "false"))
        for name, shape in self._fields:
            old, new = before.get(name), after.get(name)
            if old == new:
                continue
            if at < 0:
                at = milliseconds(valid_from)
                user = self._person(after.get("_User"), at)
            # The old value carries the name that it still had when it went.
            was, now = self._value(name, shape, old, at), self._value(name, shape, new, at)
            if was != now:
                changes.append(FieldChange(at, user, name, was, now))
        number, following = before.get("_SnapshotNumber"), after.get("_SnapshotNumber")
        return number is None or following is None or following == number + 1

    def _value(self, name: str, shape: Shape, value: Any, at: int) -> PastValue:  # noqa: PLR0911 - one table
        match shape:
            case Shape.FLAG:
                return flag_text(value)
            case Shape.NUMBER:
                return number_text(value)
            case Shape.TEXT:
                return "" if value is None else str(value)
            case Shape.CHOICE | Shape.FLOW_STATE:
                return choice_text(value)
            case Shape.TAGS | Shape.MILESTONES:
                return tuple(sorted(self._name_at(shape, each, at) for each in _ids(value)))
            case Shape.ITERATION | Shape.RELEASE:
                return Named(value, self._name_at(shape, value, at)) if isinstance(value, int) else None
            case Shape.ITEM | Shape.PERSON | Shape.PROJECT:
                return self._name_at(shape, value, at) if isinstance(value, int) else str(value or "")
        raise AssertionError(f"{name} has the unknown shape {shape}")

    def _person(self, user: Any, at: int) -> str:
        return self._name_at(Shape.PERSON, user, at) if isinstance(user, int) else ""


def milliseconds(text: str) -> int:
    """A Lookback instant in milliseconds since 1970."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _ids(value: Any) -> Iterable[int]:
    if isinstance(value, list):
        return [each for each in value if isinstance(each, int)]
    return [value] if isinstance(value, int) else []


def _instant(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
