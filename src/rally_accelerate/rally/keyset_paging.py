"""Keyset pagination by ObjectID, so that edits between pages neither lose nor duplicate rows.

Offset paging loses rows when edits or deletions land between two pages (docs/explanation/delivery.md); a walk
by key does not. The parsing of a page does no I/O and comes first.
"""

import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rally_accelerate.errors import UnavailableError, UnexpectedResponseError
from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.model.progress import ALL_PROJECTS, Walk
from rally_accelerate.rally.fetch_fields import build_fetch
from rally_accelerate.rally.query import And, Condition, Expression, Raw, any_of
from rally_accelerate.rally.records import Record, Scope
from rally_accelerate.rally.responses import Answer
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.wsapi import MAX_ADDRESS_LENGTH, Request, object_id, parse_instant, query_path, ref_id

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A query: rows of one kind that meet a condition, in one workspace or a single project."""

    kind: str
    fetch: Sequence[str]
    where: Sequence[Expression] = ()
    #: None selects the user's default workspace.
    workspace: int | None = None
    #: None selects all projects of the workspace.
    project: int | None = None
    #: Whether announced rows that are not returned are an error.
    complete: bool = False

    def request(self, *, after: int, size: int) -> Request:
        """Build the request for the next rows after an ObjectID."""
        where = [*([Condition("ObjectID", ">", after)] if after else []), *self.where]
        params = {
            # Sent even with a project that implies it: users with several workspaces got nothing without
            # (rally-api-notes.md#scope).
            **({"workspace": f"/workspace/{self.workspace}"} if self.workspace is not None else {}),
            # Absent means the user's default project; null selects all projects. Both scope flags default
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
class RowPage:
    """Some rows, ascending by ObjectID."""

    rows: tuple[tuple[int, Row], ...]
    #: The last ObjectID reached.
    after: int
    last: bool
    #: How many rows the service counts after the previous page, including these.
    remaining: int
    #: The total that the service reports, if any.
    total: int | None = None
    #: How many rows were returned, including those without ObjectID.
    received: int = 0
    #: How many rows are announced on an empty page.
    missing: int = 0
    #: The service's clock when it answered.
    date: datetime | None = None
    notices: tuple[str, ...] = ()


def parse_page(data: Mapping[str, Any], *, kind: str, after: int, requested_size: int) -> RowPage:
    """Parse a page of a query result and decide whether it is the last one.

    A walk ends on an empty page, or on one shorter than the granted size unless more is said to be left;
    never on ``TotalResultCount`` alone, which can differ from the visible rows (rally-api-notes.md#paging).

    Args:
        data: The inside of ``QueryResult``.
        kind: For the sentences.
        after: The ObjectID after which the page begins.
        requested_size: The page size of the request.

    Raises:
        UnexpectedResponseError: It is no query result, or the rows do not ascend: going on could loop or lose rows.
    """
    results = data.get("Results")
    if not isinstance(results, list):
        raise UnexpectedResponseError(f"The answer for {kind} has no Results.")
    # An oversized page is clamped and the granted size echoed (rally-api-notes.md#paging).
    granted = object_id(data.get("PageSize")) or requested_size
    total = object_id(data.get("TotalResultCount"))
    rows: list[tuple[int, Row]] = []
    unreadable, repeated = 0, list[int]()
    reached = after
    for row in results:
        oid = ref_id(row) if isinstance(row, Mapping) else None
        if oid is None:
            unreadable += 1
            continue
        if (oid <= after and not rows) or (rows and oid == reached):
            # Of an earlier page, or the same one again: it has been read.
            repeated.append(oid)
            continue
        if oid <= reached:
            raise UnexpectedResponseError(
                f"Rally returned {kind} out of order: ObjectID {oid} after {reached}.",
                hint="A proxy between here and Rally changes or repeats responses, as caching proxies do; bypass it.",
            )
        reached = oid
        rows.append((oid, row))
    if repeated and not rows and total != 0:
        raise UnexpectedResponseError(
            f"Rally returned {kind} out of order: ObjectID {repeated[-1]} after {after}.",
            hint="A proxy between here and Rally changes or repeats responses, as caching proxies do; bypass it.",
        )
    if results and not rows and not repeated:
        raise UnexpectedResponseError(f"None of the {len(results)} rows of {kind} has an ObjectID.")
    fresh = len(results) - len(repeated)
    has_more = total is not None and total > fresh
    last = not fresh or (fresh < min(granted, requested_size) and not has_more)
    notices = (f"{unreadable} rows of {kind} without ObjectID were left out.",) if unreadable else ()
    return RowPage(
        rows=tuple(rows),
        after=reached,
        last=last,
        remaining=max(total or 0, fresh),
        total=total,
        received=len(rows) + unreadable,
        missing=0 if results else max(0, total or 0),
        notices=notices,
    )


def is_doubtful(data: Mapping[str, Any]) -> bool:
    """Return whether a page is empty although rows are announced, which is more likely temporary than hidden rows."""
    return not data.get("Results") and (object_id(data.get("TotalResultCount")) or 0) > 0


async def read_pages(session: Session, listing: Listing, *, after: int = 0) -> AsyncIterator[RowPage]:
    """Yield the rows of a listing in pages, starting after an ObjectID; the last page may be empty."""
    before: _PageSummary | None = None
    while True:
        page = [await read_page(session, listing, after=after)]
        if before is not None and before.count_missing(page[0].total) > 0:
            skipped = await _read_skipped(session, listing, before, page[0].total)
            if skipped.rows:
                yield skipped
        before = _PageSummary.of(page[0], after)
        after, last = page[0].after, page[0].last
        # Handed over, not shared: while the next page is fetched, nothing here keeps this one in memory.
        yield page.pop()
        if last:
            return


@dataclass(frozen=True, slots=True)
class _PageSummary:
    """Summary of a page that was read."""

    #: The ObjectID before its first row, and that of its last row.
    after: int
    reached: int
    total: int | None
    received: int
    ids: frozenset[int]

    @classmethod
    def of(cls, page: RowPage, after: int) -> "_PageSummary":
        """Summarize a page that started after an ObjectID."""
        return cls(after, page.after, page.total, page.received, frozenset(oid for oid, _ in page.rows))

    def count_missing(self, remaining: int | None) -> int:
        """Return how many announced rows are neither in this page nor after it.

        Args:
            remaining: How many rows follow it; None when unknown.
        """
        # A total below the number of returned rows is invalid.
        if self.total is None or remaining is None or self.total < self.received:
            return 0
        return self.total - self.received - remaining


async def _read_skipped(session: Session, listing: Listing, before: _PageSummary, remaining: int | None) -> RowPage:
    """Read an incomplete page again and return the missing rows; rows that left the listing since are no error."""
    again = await read_page(session, listing, after=before.after)
    rows = tuple((oid, row) for oid, row in again.rows if oid <= before.reached and oid not in before.ids)
    missing = replace(before, total=again.total, received=before.received + len(rows)).count_missing(remaining)
    if missing > 0 and listing.complete:
        raise UnavailableError(f"Rally announces {missing:,} more rows of {listing.kind} than it returns.")
    if missing > 0:
        session.oddities.add_skipped(listing.kind, missing)
    return replace(again, rows=rows, after=before.reached, last=False)


async def read_page(session: Session, listing: Listing, *, after: int = 0) -> RowPage:
    """Read one page."""
    start = after

    def ask(size: int) -> Request:
        return listing.request(after=start, size=size)

    answer, requested_size = await session.read_page(listing.kind, ask, doubtful=is_doubtful)
    rows = parse_answer(answer, kind=listing.kind, after=after, requested_size=requested_size)
    if rows.missing and listing.complete:
        raise UnavailableError(
            f"Rally announces {rows.missing:,} more rows of {listing.kind} but returns an empty page."
        )
    if rows.missing:
        session.oddities.add_missing(listing.kind, rows.missing)
    return rows


def parse_answer(answer: Answer, *, kind: str, after: int, requested_size: int) -> RowPage:
    """Parse a response as ``parse_page`` does, and add its time and warnings."""
    page = parse_page(answer.data, kind=kind, after=after, requested_size=requested_size)
    warnings = tuple(f"Rally warns about {kind}: {text}" for text in answer.warnings)
    return replace(page, date=answer.date, notices=(*page.notices, *warnings))


async def read_all(session: Session, listing: Listing) -> list[RowPage]:
    """Read all pages of a listing that fits into memory."""
    return [page async for page in read_pages(session, listing)]


HISTORY_ID = "RevisionHistory.ObjectID"

#: Clocks of nodes differ slightly, and the ``Date`` header is in seconds.
FRESHNESS_MARGIN = timedelta(minutes=1)


def range_condition(low: int, high: int) -> Expression:
    """Build the condition for histories in a range of ids, inclusive."""
    if low == high:
        return Condition(HISTORY_ID, "=", low)
    return And((Condition(HISTORY_ID, ">=", low), Condition(HISTORY_ID, "<=", high)))


def chunks(ids: Sequence[int], *, base_length: int, field: str = HISTORY_ID) -> list[tuple[int, ...]]:
    """Split ids so that each OR-list keeps the address below its limit (rally-api-notes.md#address-length).

    Args:
        ids: In any order, which is preserved.
        base_length: The bytes of the encoded address without the list.
        field: The attribute that is compared.
    """
    if not ids:
        return []
    # Encoded, a parenthesis, a blank or an equals sign takes three bytes; each id after the first brings " OR
    # " and a pair of parentheses with it.
    longest = max(len(str(oid)) for oid in ids)
    for_one = len(field) + longest + len("%28%20%3D%20%29") + len("%20OR%20%28%29")
    size = max(1, (MAX_ADDRESS_LENGTH - base_length) // for_one)
    return [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]


def list_condition(ids: Iterable[int]) -> Expression:
    """Build the condition for exactly these histories."""
    return any_of(HISTORY_ID, sorted(ids))


def gaps(ids: Sequence[int], covered: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Return the ids outside all covered ranges, in groups with no covered range in between.

    Args:
        ids: Ascending.
        covered: Ranges, both ends included, in any order.
    """
    ranges = sorted(covered)
    groups: list[list[int]] = []
    previous: int | None = None
    for oid in ids:
        if any(low <= oid <= high for low, high in ranges):
            continue
        if previous is None or any(previous < low and high < oid for low, high in ranges):
            groups.append([])
        groups[-1].append(oid)
        previous = oid
    return [tuple(group) for group in groups]


def range_is_cheaper(*, list_requests: int, remaining_rows: float, page_size: int) -> bool:
    """Return whether reading the rest of a range takes fewer requests than lists of ids.

    Args:
        list_requests: How many requests the lists of ids take.
        remaining_rows: Rows of the range that have not been read yet.
        page_size: Rows in one answer.
    """
    return math.ceil(remaining_rows / page_size) <= list_requests


def is_fresh(updated_at: datetime, answered_at: datetime | None) -> bool:
    """Return whether an earlier response includes the complete history of an item with this last change."""
    return answered_at is not None and updated_at < answered_at - FRESHNESS_MARGIN


#: Older than Rally itself, so that the item counts as unchanged.
_UNKNOWN_DATE = datetime(1970, 1, 1, tzinfo=UTC)

#: On every row, for Rally's own clients; ``_objectVersion`` has been read when these are dropped.
_FOR_CLIENTS = frozenset({"_rallyAPIMajor", "_rallyAPIMinor", "_objectVersion", "_refObjectUUID", "_CreatedAt"})

#: Members of an empty collection that differ between items.
_PER_ITEM = _FOR_CLIENTS | {"_ref"}

_HISTORY = "RevisionHistory"
_TAGS = "_tagsNameArray"

#: So many items are named in a notice.
MAX_LISTED = 5


def to_records(kind: str, rows: Iterable[tuple[int, Row]]) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Convert rows to records; return them with notices about malformed rows.

    Args:
        kind: The wire name of the query.
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
            revision=SourceRevision(updated_at or _UNKNOWN_DATE, version or 0),
            fields=_strip(row, seen),
        )
        records.append(record)
        if updated_at is None:
            undated.append(record.key)
    if not undated:
        return tuple(records), ()
    named = ", ".join(undated[:MAX_LISTED]) + (" and others" if len(undated) > MAX_LISTED else "")
    return tuple(records), (f"{len(undated)} items have no readable date of change: {named}.",)


def _strip(row: Row, seen: dict[tuple[str, Any], Any]) -> Row:
    """Return a row without fields that only Rally's own clients need, with equal references shared.

    A page of two thousand items contains the same few people, projects and timeboxes many times; without sharing, they
    would take most of its memory.
    """
    slim = {name: value for name, value in row.items() if name not in _FOR_CLIENTS}
    for name, value in slim.items():
        if isinstance(value, dict):
            slim[name] = _intern(name, value, seen)
    return slim


def _intern(name: str, value: dict[str, Any], seen: dict[tuple[str, Any], Any]) -> Row:
    if name == _HISTORY and "ObjectID" in value:
        # Each item has a different one, and only its id is needed.
        return {"ObjectID": value["ObjectID"]}
    empty = value.get("Count") == 0
    # One field of one answer expands the same object in the same way; and all empty collections are alike.
    key = (name, _TAGS in value if empty else value.get("_ref"))
    known = seen.get(key)
    if known is None:
        dropped = _PER_ITEM if empty else _FOR_CLIENTS
        known = seen[key] = {part: inner for part, inner in value.items() if part not in dropped}
    return known


#: For the host and the scheme in front of an address.
_ORIGIN_LENGTH = 261


def build_listing(scope: Scope, walk: Walk, more: Sequence[str] = ()) -> Listing:
    """Build the listing of a walk, without ``walk.only`` and ``walk.after``.

    Args:
        scope: The workspace and the extra filter.
        walk: The kind, projects and window.
        more: Element names to fetch in addition to the default ones.
    """
    where: list[Expression] = []
    if walk.window.since is not None:
        where.append(Condition("LastUpdateDate", ">=", walk.window.since))
    if walk.window.until is not None:
        where.append(Condition("LastUpdateDate", "<", walk.window.until))
    projects = [project for project in walk.projects if project != ALL_PROJECTS]
    if len(projects) > 1:
        # The project parameter takes one project; several are a condition on the workspace.
        where.append(any_of("Project.ObjectID", projects))
    if walk.carrying and not walk.only:
        where.insert(0, any_of(f"{walk.field}.ObjectID", walk.carrying))
    if query := scope.query_of(walk.kind):
        where.append(Raw(query))
    return Listing(
        kind=walk.kind,
        fetch=build_fetch(walk.kind, more),
        where=tuple(where),
        workspace=scope.workspace.object_id,
        project=projects[0] if len(projects) == 1 else None,
    )


def build_listings(
    scope: Scope, walk: Walk, *, page_size: int, more: Sequence[str] = ()
) -> Sequence[tuple[Listing, int]]:
    """Build the listings of a walk, ascending, each with its number of items; 0 if unknown.

    Args:
        scope: The workspace and the extra filter.
        walk: The walk; ``only`` is parted so that addresses stay short.
        page_size: The largest page, for the length of the address.
        more: Element names to fetch in addition to the default ones.
    """
    listing = build_listing(scope, walk, more)
    if not walk.only:
        return [(listing, 0)]
    # Items with pending retries can have left the projects since; the conditions of the scope still apply to them.
    frame = replace(listing, where=(*listing.where, Condition("ObjectID", "=", 1)))
    base_length = len(frame.request(after=10**13, size=page_size).target) + _ORIGIN_LENGTH
    ids = sorted(oid for oid in set(walk.only) if oid > walk.after)
    if not ids:
        return []
    return [
        (replace(listing, where=(any_of("ObjectID", part), *listing.where)), len(part))
        for part in chunks(ids, base_length=base_length, field="ObjectID")
    ]


#: For the host, the scheme and the id after which a page begins.
_FRAME_LENGTH = 300


async def read_rows(
    session: Session, listing: Listing, ids: Sequence[int], *, field: str = "ObjectID"
) -> AsyncIterator[Row]:
    """Yield the rows of a listing whose field is one of the ids; the caller must skip other rows, which can occur.

    Args:
        session: Sends requests to Rally.
        listing: What to read, without a condition on the field.
        ids: ObjectIDs in any order.
        field: The attribute that holds the id, for example ``Artifact.ObjectID``.
    """
    ordered = sorted(set(ids))
    if not ordered:
        return
    base_length = len(listing.request(after=10**13, size=2000).target) + _FRAME_LENGTH
    lists = chunks(ordered, base_length=min(base_length, MAX_ADDRESS_LENGTH // 2), field=field)
    if len(lists) > 1:
        between = And((Condition(field, ">=", ordered[0]), Condition(field, "<=", ordered[-1])))
        ranged = replace(listing, where=(*listing.where, between))
        first = await read_page(session, ranged)
        page_size = max(1, len(first.rows))
        remaining = 0 if first.last else first.remaining - len(first.rows)
        if math.isclose(remaining, 0) or range_is_cheaper(
            list_requests=len(lists), remaining_rows=remaining, page_size=page_size
        ):
            for _, row in first.rows:
                yield row
            if not first.last:
                async for page in read_pages(session, ranged, after=first.after):
                    for _, row in page.rows:
                        yield row
            return
    for part in lists:
        async for page in read_pages(session, replace(listing, where=(*listing.where, any_of(field, part)))):
            for _, row in page.rows:
                yield row
