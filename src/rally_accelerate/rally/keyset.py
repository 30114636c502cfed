"""Reading many rows by key: ``ObjectID >`` the last one seen, so that no edit between pages loses or doubles a row.

Offset paging loses rows when edits or deletions land between two pages (docs/explanation/delivery.md); a walk
by key does not. The decisions about a page are pure and stand first.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rally_accelerate.errors import Unavailable, UnexpectedAnswer
from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.decipher import Answer
from rally_accelerate.rally.query import And, Condition, Expression
from rally_accelerate.rally.wire import Request, object_id, query_path, ref_id

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
        UnexpectedAnswer: It is no query result, or the rows do not ascend: going on could loop or lose rows.
    """
    results = data.get("Results")
    if not isinstance(results, list):
        raise UnexpectedAnswer(f"The answer for {kind} has no Results.")
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
            raise UnexpectedAnswer(
                f"Rally returned {kind} out of order: ObjectID {found} after {reached}.",
                hint="Something between here and Rally changes or repeats answers; a caching proxy does.",
            )
        reached = found
        rows.append((found, row))
    if repeated and not rows and total != 0:
        raise UnexpectedAnswer(
            f"Rally returned {kind} out of order: ObjectID {repeated[-1]} after {after}.",
            hint="Something between here and Rally changes or repeats answers; a caching proxy does.",
        )
    if results and not rows and not repeated:
        raise UnexpectedAnswer(f"None of the {len(results)} rows of {kind} has an ObjectID.")
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
        raise Unavailable(f"Rally announces {lacking:,} more rows of {listing.kind} than it returns.")
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
        raise Unavailable(f"Rally announces {rows.lacking:,} more rows of {listing.kind} but returns an empty page.")
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
