"""Reading many rows by key: ``ObjectID >`` the last one seen, so that no edit between pages loses or doubles a row.

Offset paging loses rows when edits or deletions land between two pages (docs/explanation/delivery.md); a walk
by key does not. The decisions about a page are pure and stand first.
"""

import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rally_accelerate.errors import UnavailableError, UnexpectedResponseError
from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.model.progress import WHOLE_WORKSPACE, Walk
from rally_accelerate.rally.fetch_fields import fetched
from rally_accelerate.rally.query import And, Condition, Expression, Raw, any_of
from rally_accelerate.rally.records import Record, Scope
from rally_accelerate.rally.responses import Answer
from rally_accelerate.rally.session import Caller
from rally_accelerate.rally.wsapi import LONGEST_ADDRESS, Request, object_id, parse_instant, query_path, ref_id

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What to read: rows of one kind that meet a condition, in one workspace or a single project of it."""

    kind: str
    fetch: Sequence[str]
    where: Sequence[Expression] = ()
    #: None asks the user's default workspace.
    workspace: int | None = None
    #: None asks the whole workspace.
    project: int | None = None
    #: Whether rows that are announced and do not come are an error.
    complete: bool = False

    def request(self, *, after: int, size: int) -> Request:
        """The request for the next rows behind an ObjectID."""
        where = [*([Condition("ObjectID", ">", after)] if after else []), *self.where]
        params = {
            # Sent even with a project that implies it: users with several workspaces got nothing without
            # (rally-api-notes.md#scope).
            **({"workspace": f"/workspace/{self.workspace}"} if self.workspace is not None else {}),
            # Absent means the user's default project; null is the whole workspace. Both scope flags default
            # to true, so they are always sent (rally-api-notes.md#scope).
            "project": "null" if self.project is None else f"/project/{self.project}",
            "projectScopeUp": "false",
            "projectScopeDown": "false",
            "fetch": ",".join(self.fetch),
            **({"query": And(tuple(where)).render()} if where else {}),
            "order": "ObjectID",
            "start": "1",
            "pagesize": str(size),
            # The default is disputed; the compact form lacks members that we read (rally-api-notes.md#compact-answers).
            "compact": "false",
        }
        return Request(query_path(self.kind), params)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows, ascending by ObjectID."""

    rows: tuple[tuple[int, Row], ...]
    #: The last ObjectID reached.
    after: int
    last: bool
    #: How many rows the service says met the condition behind the previous page, these included.
    left: int
    #: The same as the service counts it, if it does.
    total: int | None = None
    #: How many rows came, those without ObjectID included.
    came: int = 0
    #: How many rows it announces on a page that has none.
    lacking: int = 0
    #: The service's clock when it answered.
    date: datetime | None = None
    notices: tuple[str, ...] = ()


def judge(data: Mapping[str, Any], *, kind: str, after: int, asked_for: int) -> Rows:
    """What a page says, and whether it is the last one.

    A walk ends on an empty page, or on one shorter than the granted size unless more is said to be left;
    never on ``TotalResultCount`` alone, which may differ from what can be had (rally-api-notes.md#paging).

    Args:
        data: The inside of ``QueryResult``.
        kind: For the sentences.
        after: The ObjectID that the page was to begin behind.
        asked_for: The page size of the request.

    Raises:
        UnexpectedResponseError: It is no query result, or the rows do not ascend: going on could loop or lose rows.
    """
    results = data.get("Results")
    if not isinstance(results, list):
        raise UnexpectedResponseError(f"The answer for {kind} has no Results.")
    # An oversized page is clamped and the granted size echoed (rally-api-notes.md#paging).
    granted = object_id(data.get("PageSize")) or asked_for
    total = object_id(data.get("TotalResultCount"))
    rows: list[tuple[int, Row]] = []
    unreadable, repeated = 0, list[int]()
    reached = after
    for row in results:
        found = ref_id(row) if isinstance(row, Mapping) else None
        if found is None:
            unreadable += 1
            continue
        if (found <= after and not rows) or (rows and found == reached):
            # Of an earlier page, or the same one again: it has been read.
            repeated.append(found)
            continue
        if found <= reached:
            raise UnexpectedResponseError(
                f"Rally returned {kind} out of order: ObjectID {found} after {reached}.",
                hint="Something between here and Rally changes or repeats answers; a caching proxy does.",
            )
        reached = found
        rows.append((found, row))
    if repeated and not rows and total != 0:
        raise UnexpectedResponseError(
            f"Rally returned {kind} out of order: ObjectID {repeated[-1]} after {after}.",
            hint="Something between here and Rally changes or repeats answers; a caching proxy does.",
        )
    if results and not rows and not repeated:
        raise UnexpectedResponseError(f"None of the {len(results)} rows of {kind} has an ObjectID.")
    fresh = len(results) - len(repeated)
    more_said = total is not None and total > fresh
    last = not fresh or (fresh < min(granted, asked_for) and not more_said)
    notices = (f"{unreadable} rows of {kind} without ObjectID were left out.",) if unreadable else ()
    return Rows(
        rows=tuple(rows),
        after=reached,
        last=last,
        left=max(total or 0, fresh),
        total=total,
        came=len(rows) + unreadable,
        lacking=0 if results else max(0, total or 0),
        notices=notices,
    )


def is_doubtful(data: Mapping[str, Any]) -> bool:
    """Whether a page is empty although rows are announced: rather a fault that passes than rows that are hidden."""
    return not data.get("Results") and (object_id(data.get("TotalResultCount")) or 0) > 0


async def walk(caller: Caller, listing: Listing, *, after: int = 0) -> AsyncIterator[Rows]:
    """The rows of a listing, page by page, from behind an ObjectID on; the last page may be empty."""
    before: _Read | None = None
    while True:
        page = [await next_rows(caller, listing, after=after)]
        if before is not None and before.lacking(page[0].total) > 0:
            skipped = await _skipped(caller, listing, before, page[0].total)
            if skipped.rows:
                yield skipped
        before = _Read.of(page[0], after)
        after, last = page[0].after, page[0].last
        # Handed over, not shared: while the next page is fetched, nothing here keeps this one in memory.
        yield page.pop()
        if last:
            return


@dataclass(frozen=True, slots=True)
class _Read:
    """A page that was read."""

    #: The ObjectIDs that it began and ended behind.
    after: int
    reached: int
    total: int | None
    came: int
    ids: frozenset[int]

    @classmethod
    def of(cls, page: Rows, after: int) -> "_Read":
        """Return what is remembered of a page that began behind an ObjectID."""
        return cls(after, page.after, page.total, page.came, frozenset(its_id for its_id, _ in page.rows))

    def lacking(self, left: int | None) -> int:
        """Return how many rows were announced and are neither in this page nor behind it.

        Args:
            left: How many rows there are behind it; None when that is not told.
        """
        # A count below the rows that came is none.
        if self.total is None or left is None or self.total < self.came:
            return 0
        return self.total - self.came - left


async def _skipped(caller: Caller, listing: Listing, before: _Read, left: int | None) -> Rows:
    """Read a page again that left rows out, and return those; rows that left the listing since are no fault."""
    again = await next_rows(caller, listing, after=before.after)
    rows = tuple((its_id, row) for its_id, row in again.rows if its_id <= before.reached and its_id not in before.ids)
    lacking = replace(before, total=again.total, came=before.came + len(rows)).lacking(left)
    if lacking > 0 and listing.complete:
        raise UnavailableError(f"Rally announces {lacking:,} more rows of {listing.kind} than it returns.")
    if lacking > 0:
        caller.oddities.skipped(listing.kind, lacking)
    return replace(again, rows=rows, after=before.reached, last=False)


async def next_rows(caller: Caller, listing: Listing, *, after: int = 0) -> Rows:
    """One page."""
    start = after

    def ask(size: int) -> Request:
        return listing.request(after=start, size=size)

    answer, asked_for = await caller.page(listing.kind, ask, doubtful=is_doubtful)
    rows = rows_in(answer, kind=listing.kind, after=after, asked_for=asked_for)
    if rows.lacking and listing.complete:
        raise UnavailableError(
            f"Rally announces {rows.lacking:,} more rows of {listing.kind} but returns an empty page."
        )
    if rows.lacking:
        caller.oddities.lacking(listing.kind, rows.lacking)
    return rows


def rows_in(answer: Answer, *, kind: str, after: int, asked_for: int) -> Rows:
    """What ``judge`` says of an answer, with its time and warnings."""
    page = judge(answer.data, kind=kind, after=after, asked_for=asked_for)
    warnings = tuple(f"Rally warns about {kind}: {text}" for text in answer.warnings)
    return replace(page, date=answer.date, notices=(*page.notices, *warnings))


async def everything(caller: Caller, listing: Listing) -> list[Rows]:
    """All pages of a listing that fits into memory."""
    return [page async for page in walk(caller, listing)]


HISTORY_ID = "RevisionHistory.ObjectID"

#: Nodes may disagree by a little, and the ``Date`` header has whole seconds.
FRESHNESS = timedelta(minutes=1)


def range_condition(low: int, high: int) -> Expression:
    """Histories from one id to another, both included."""
    if low == high:
        return Condition(HISTORY_ID, "=", low)
    return And((Condition(HISTORY_ID, ">=", low), Condition(HISTORY_ID, "<=", high)))


def chunks(ids: Sequence[int], *, taken: int, field: str = HISTORY_ID) -> list[tuple[int, ...]]:
    """The ids in parts whose OR-list keeps the address below its limit (rally-api-notes.md#address-length).

    Args:
        ids: In any order, which is kept.
        taken: The bytes of the encoded address without the list.
        field: The attribute that is compared.
    """
    if not ids:
        return []
    # Encoded, a parenthesis, a blank or an equals sign takes three bytes; each id after the first brings " OR
    # " and a pair of parentheses with it.
    longest = max(len(str(each)) for each in ids)
    for_one = len(field) + longest + len("%28%20%3D%20%29") + len("%20OR%20%28%29")
    size = max(1, (LONGEST_ADDRESS - taken) // for_one)
    return [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]


def list_condition(ids: Iterable[int]) -> Expression:
    """Exactly these histories."""
    return any_of(HISTORY_ID, sorted(ids))


def gaps(wanted: Sequence[int], covered: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The wanted ids that lie in no covered range, in groups with no covered range in between.

    Args:
        wanted: Ascending.
        covered: Ranges, both ends included, in any order.
    """
    ranges = sorted(covered)
    groups: list[list[int]] = []
    previous: int | None = None
    for each in wanted:
        if any(low <= each <= high for low, high in ranges):
            continue
        if previous is None or any(previous < low and high < each for low, high in ranges):
            groups.append([])
        groups[-1].append(each)
        previous = each
    return [tuple(group) for group in groups]


def range_is_cheaper(*, list_requests: int, rows_left: float, page_size: int) -> bool:
    """Whether the rest of a range costs fewer requests than asking for the wanted ids by lists.

    Args:
        list_requests: How many lists the wanted ids take.
        rows_left: Rows of the range that have not come yet.
        page_size: Rows in one answer.
    """
    return math.ceil(rows_left / page_size) <= list_requests


def is_fresh(updated_at: datetime, answered_at: datetime | None) -> bool:
    """Whether an earlier answer can hold the whole past of an item that was last changed then."""
    return answered_at is not None and updated_at < answered_at - FRESHNESS


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


#: For the host and the scheme in front of an address.
_ORIGIN_BYTES = 261


def listing_of(scope: Scope, walk: Walk, more: Sequence[str] = ()) -> Listing:
    """The rows that a walk is about, apart from ``walk.only`` and ``walk.after``.

    Args:
        scope: The workspace and the extra filter.
        walk: The kind, projects and window.
        more: Element names to fetch besides the usual ones.
    """
    where: list[Expression] = []
    if walk.window.since is not None:
        where.append(Condition("LastUpdateDate", ">=", walk.window.since))
    if walk.window.until is not None:
        where.append(Condition("LastUpdateDate", "<", walk.window.until))
    projects = [project for project in walk.projects if project != WHOLE_WORKSPACE]
    if len(projects) > 1:
        # The project parameter takes one project; several are a condition on the whole workspace.
        where.append(any_of("Project.ObjectID", projects))
    if walk.carrying and not walk.only:
        where.insert(0, any_of(f"{walk.field}.ObjectID", walk.carrying))
    if query := scope.query_of(walk.kind):
        where.append(Raw(query))
    return Listing(
        kind=walk.kind,
        fetch=fetched(walk.kind, more),
        where=tuple(where),
        workspace=scope.workspace.object_id,
        project=projects[0] if len(projects) == 1 else None,
    )


def listings_of(scope: Scope, walk: Walk, *, page_size: int, more: Sequence[str] = ()) -> Sequence[tuple[Listing, int]]:
    """The listings that make up a walk, ascending, each with how many items it is known to ask for; 0 if unknown.

    Args:
        scope: The workspace and the extra filter.
        walk: The walk; ``only`` is parted so that addresses stay short.
        page_size: The largest page, for the length of the address.
        more: Element names to fetch besides the usual ones.
    """
    listing = listing_of(scope, walk, more)
    if not walk.only:
        return [(listing, 0)]
    # Items that were owed may have left the projects meanwhile; the conditions of the scope still hold for
    # them.
    frame = replace(listing, where=(*listing.where, Condition("ObjectID", "=", 1)))
    taken = len(frame.request(after=10**13, size=page_size).target) + _ORIGIN_BYTES
    ids = sorted(each for each in set(walk.only) if each > walk.after)
    if not ids:
        return []
    return [
        (replace(listing, where=(any_of("ObjectID", part), *listing.where)), len(part))
        for part in chunks(ids, taken=taken, field="ObjectID")
    ]


#: For the host, the scheme and the id behind which a page begins.
_FRAME_BYTES = 300


async def rows_of(
    caller: Caller, listing: Listing, ids: Sequence[int], *, field: str = "ObjectID"
) -> AsyncIterator[Row]:
    """The rows of a listing whose field is one of the ids; others may come too, the caller tells them apart.

    Args:
        caller: Asks Rally.
        listing: What to read, without a condition on the field.
        ids: ObjectIDs in any order.
        field: The attribute that holds the id, for example ``Artifact.ObjectID``.
    """
    ordered = sorted(set(ids))
    if not ordered:
        return
    taken = len(listing.request(after=10**13, size=2000).target) + _FRAME_BYTES
    lists = chunks(ordered, taken=min(taken, LONGEST_ADDRESS // 2), field=field)
    if len(lists) > 1:
        between = And((Condition(field, ">=", ordered[0]), Condition(field, "<=", ordered[-1])))
        ranged = replace(listing, where=(*listing.where, between))
        first = await next_rows(caller, ranged)
        page_size = max(1, len(first.rows))
        left = 0 if first.last else first.left - len(first.rows)
        if math.isclose(left, 0) or range_is_cheaper(list_requests=len(lists), rows_left=left, page_size=page_size):
            for _, row in first.rows:
                yield row
            if not first.last:
                async for page in walk(caller, ranged, after=first.after):
                    for _, row in page.rows:
                        yield row
            return
    for part in lists:
        async for page in walk(caller, replace(listing, where=(*listing.where, any_of(field, part)))):
            for _, row in page.rows:
                yield row
