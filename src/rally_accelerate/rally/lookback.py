"""Lookback's questions, and its snapshots as they come; pure (rally-api-notes.md#lookback)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from rally_accelerate.rally.pastfields import TIMEBOXES, PastFields, Shape
from rally_accelerate.rally.wire import Request

Row = Mapping[str, Any]

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
