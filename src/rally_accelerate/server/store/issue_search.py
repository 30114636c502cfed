"""Search of issues: pages in any order, counts, facets and stages of a value stream."""

import asyncio
import dataclasses
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.dql import sql
from rally_accelerate.dql.ast import Comparison, Operator, Query, Value
from rally_accelerate.errors import StoreError, TooManyQueriesError
from rally_accelerate.server.store import column_index, issue_writer, query_evaluator, sqlite
from rally_accelerate.server.store.column_index import ColumnIndex
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.issue_sets import ResultCache, intersection
from rally_accelerate.server.store.issue_writer import parse_search_words
from rally_accelerate.server.store.pagination import Order, Position, select_page
from rally_accelerate.server.store.query_evaluator import NUMBER_COLUMNS, QueryEvaluator
from rally_accelerate.server.store.tables import issue_contents, issues, to_ms

#: Each has a connection and a thread, and takes the time of everybody else.
MAX_CONCURRENT_SEARCHES = 2

#: Of one user. A GraphQL request can have as many operations.
MAX_WAITING = 20

#: The user, or the key of the server's own, in whose name the current task works; the guard sets it.
current_user_key: ContextVar[str] = ContextVar("asker", default="")


class FairQueue:
    """Gives turns to users in rotation, to each of them only one at a time.

    Args:
        at_once: How many turns there are.
    """

    def __init__(self, at_once: int = MAX_CONCURRENT_SEARCHES) -> None:
        self._max_concurrent = at_once
        self._running: set[str] = set()
        #: First comes the user whose last turn ended first.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def wait_for_turn(self) -> AsyncIterator[None]:
        """Wait for a turn of the current user, and keep it for as long as the context lasts.

        Raises:
            TooManyQueriesError: Too many of the user's are waiting.
        """
        who = current_user_key.get()
        await self._enqueue(who)
        try:
            yield
        finally:
            self._release(who)

    async def _enqueue(self, who: str) -> None:
        queue = self._waiting.setdefault(who, deque())
        if len(queue) >= MAX_WAITING:
            raise TooManyQueriesError(
                f"{MAX_WAITING} of your slow queries are waiting already, and each user has one evaluated at a time",
                hint="Wait until some have ended, then try again.",
            )
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(mine)
        self._grant_turns()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                # The turn was given at the same moment.
                self._release(who)
            raise

    def _release(self, who: str) -> None:
        self._running.discard(who)
        if who in self._waiting:
            self._waiting.move_to_end(who)
        self._grant_turns()

    def _grant_turns(self) -> None:
        for who in list(self._waiting):
            queue = self._waiting[who]
            while queue and queue[0].done():
                # Its task was cancelled.
                queue.popleft()
            if not queue:
                del self._waiting[who]
            elif len(self._running) < self._max_concurrent and who not in self._running:
                self._running.add(who)
                queue.popleft().set_result(None)


T = TypeVar("T")

log = logging.getLogger(__name__)

#: The limit of remembered searches, and how long their results stay valid, in seconds.
MAX_SEARCHES = 50
RESULT_SECONDS = 60.0


class BackgroundSearches(Generic[T]):
    """Runs slow searches in the background, few at a time."""

    def __init__(self) -> None:
        self.queue = FairQueue()
        self._tasks: OrderedDict[Hashable, asyncio.Task[T]] = OrderedDict()
        self._closing = False

    async def run_within(self, key: Hashable, look: Callable[[], Awaitable[T]], *, seconds: float) -> T | None:
        """Return the result of a search that ends within some seconds or ended recently; else None.

        Args:
            key: The search.
            look: Has it done; called if it does not go on already.
            seconds: To wait.
        """
        task = self._tasks.get(key)
        if task is None:
            self._evict_old()
            task = self._tasks[key] = asyncio.ensure_future(look())
            task.add_done_callback(lambda done: self._handle_end(key, done))
        await asyncio.wait([task], timeout=seconds)
        return task.result() if task.done() else None

    async def close(self) -> None:
        """Cancel running searches."""
        self._closing = True
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _handle_end(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._closing:
            if isinstance(error, TooManyQueriesError):
                # It says nothing about the search: the next attempt begins it.
                self._drop(key, task)
                return
            # A waiting caller gets the error too; without one, it is logged.
            log.warning("a search failed: %s", error)
        if not self._closing:
            task.get_loop().call_later(RESULT_SECONDS, self._drop, key, task)

    def _drop(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    def _evict_old(self) -> None:
        ended = [key for key, task in self._tasks.items() if task.done()]
        for key in ended[: max(0, len(self._tasks) - MAX_SEARCHES)]:
            del self._tasks[key]


FACETS = ("type", "status", "priority", "owner", "project", "sprint", "release", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueFilter:
    """What is searched for; empty means everything, and several values of one field mean any of them."""

    tenant_id: str = ""
    tracker_ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    priorities: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    #: Names.
    projects: tuple[str, ...] = ()
    sprints: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    #: Words in the display id, the name, the description, the owner, labels and comments.
    text: str = ""
    #: From ``dql.parse``; all of them must match.
    queries: tuple[Query, ...] = ()
    #: Whether the evaluation is limited (``query_limits``): not for what editors have put into value streams.
    is_limited: bool = dataclasses.field(default=True, compare=False)


class Sort(StrEnum):
    """What a page is ordered by."""

    UPDATED = "updated"
    CREATED = "created"
    ID = "id"
    NAME = "name"
    STATUS = "status"
    TYPE = "type"
    PRIORITY = "priority"
    OWNER = "owner"
    PROJECT = "project"
    POINTS = "points"
    #: Time in the status.
    AGE = "age"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueRow:
    """One issue as lists show it."""

    tracker_id: str
    external_id: str
    display_id: str
    name: str
    type: str
    status: str
    priority: str | None
    owner: str | None
    creator: str | None
    #: Its name.
    project: str | None
    sprints: tuple[str, ...]
    releases: tuple[str, ...]
    labels: tuple[str, ...]
    story_points: float | None
    #: Instants are milliseconds since 1970.
    created: int
    last_update: int
    #: The last change of its status, else its creation.
    status_since: int
    url: str
    #: How many entries its history has.
    changes: int


@dataclass(frozen=True, slots=True)
class IssuePage:
    """One page."""

    rows: list[IssueRow]
    #: Where the next page begins, for ``after``; empty at the end.
    after: str


@dataclass(frozen=True, slots=True)
class StageSummary:
    """What stands in a stage of a value stream."""

    count: int
    #: Time in the status, on average; None where nothing stands.
    average_age_ms: float | None
    #: Newest in the stage first.
    dots: list[IssueRow]


#: What a page is sorted by, and the column that it stands in.
_SORT_COLUMNS = {
    Sort.UPDATED: "last_update",
    Sort.ID: "display_id",
    Sort.POINTS: "story_points",
    Sort.AGE: "status_since",
}

#: The fields of what is wanted that are columns in memory.
_FILTER_FIELDS = {
    "tracker": "tracker_ids",
    "type": "types",
    "status": "statuses",
    "priority": "priorities",
    "owner": "owners",
    "project": "projects",
    "sprint": "sprints",
    "release": "releases",
    "label": "labels",
}


class Search:
    """Searches the issues of a server.

    What is wanted becomes a set of numbers first, from columns in memory, the index of words and the facts that queries
    ask for; it is kept until the issues change. Pages, counts, facets and ages are then taken from the set.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._columns = ColumnIndex()
        self._evaluator = QueryEvaluator(self._columns)
        self._background: BackgroundSearches[datetime] = BackgroundSearches()
        self._cache = ResultCache()

    async def page(
        self,
        filters: IssueFilter,
        *,
        now: datetime,
        sort: Sort = Sort.UPDATED,
        descending: bool = True,
        after: str = "",
        limit: int = 50,
    ) -> IssuePage:
        """Return one page of issues.

        Args:
            filters: Which. The issue of which the text is the id comes first.
            now: Ages in queries are counted from here; aware.
            sort: In which order; equal ones in the order in which they came. What has no value comes last.
            descending: The largest first.
            after: What the page before told; anything else begins at the first page.
            limit: How many at most.
        """
        # The older the instant, the greater the age.
        order = Order(_SORT_COLUMNS.get(sort, sort.value), descending is not (sort is Sort.AGE))
        async with self._reading(filters) as connection:
            members = None if filters == IssueFilter() else (await self._evaluate_filter(connection, filters, now))[1]
            first = await _find_by_display_id(connection, filters.text) if filters.text else []
            start = Position.from_key(after, order)
            places = await select_page(connection, members, order, first=first, after=start, limit=limit + 1)
            rows = await _load_rows(connection, [place.number for place in places[:limit]])
        return IssuePage(rows, places[limit - 1].to_key(order) if len(places) > limit else "")

    async def count(self, filters: IssueFilter, *, now: datetime) -> int:
        """Count the issues that match a filter."""
        async with self._reading(filters) as connection:
            _, members = await self._evaluate_filter(connection, filters, now)
        return members.count(1)

    async def count_facets(
        self, filters: IssueFilter, *, now: datetime, fields: Sequence[str] = FACETS, most: int = 50
    ) -> dict[str, list[tuple[str, int]]]:
        """Count the values of each field among the matching issues, the most frequent first."""
        async with self._reading(filters) as connection:
            mark, members = await self._evaluate_filter(connection, filters, now)
        result = {}
        for field in fields:
            key = ("facet", field, most, members)
            values = self._cache.get(mark, key)
            if values is None:
                counted = (await self._columns.count_values(field, members)).items()
                values = sorted(counted, key=lambda item: (-item[1], item[0]))[:most]
                self._cache.put(mark, key, values)
            result[field] = list(values)
        return result

    async def summarize_stage(self, filters: IssueFilter, *, now: datetime, most: int = 200) -> StageSummary:
        """Return the number of issues in a stage, their average age and the newest of them."""
        async with self._reading(filters) as connection:
            _, members = await self._evaluate_filter(connection, filters, now)
            newest = await self._columns.find_newest(members, most)
            rows = await _load_rows(connection, newest.numbers)
        return StageSummary(newest.count, None if newest.mean is None else to_ms(now) - newest.mean, rows)

    async def search_within(self, filters: IssueFilter, *, now: datetime, seconds: float) -> datetime | None:
        """Return the instant as of which a search is available without waiting; None if it is not.

        A search that evaluates every issue can take long. It continues in the background after the given seconds; a
        later call returns its result, with the instant that ages refer to.
        """
        if not _is_slow(filters):
            return now
        # Each user has a search of their own, so that one user's queue delays no other user.
        key = (current_user_key.get(), filters)
        return await self._background.run_within(key, lambda: self._evaluate(filters, now), seconds=seconds)

    async def close(self) -> None:
        """Stop running searches and save the snapshot for the next start."""
        await self._database.interrupt()
        await self._background.close()
        await self.save_snapshot()

    async def _evaluate(self, filters: IssueFilter, now: datetime) -> datetime:
        async with self._reading(filters) as connection:
            await self._evaluate_filter(connection, filters, now)
        return now

    @asynccontextmanager
    async def _reading(self, filters: IssueFilter) -> AsyncIterator[AsyncConnection]:
        if not _is_slow(filters):
            async with self._database.reading() as connection:
                yield connection
        else:
            seconds = query_evaluator.TIMEOUT_SECONDS if filters.is_limited else None
            async with self._background.queue.wait_for_turn():
                try:
                    async with self._database.reading_long(seconds=seconds) as connection:
                        yield connection
                except TimeoutError:
                    raise query_evaluator.make_timeout_error() from None

    async def warm(self) -> None:
        """Load the columns before the first search."""
        async with self._database.reading() as connection:
            await self._columns.refresh(connection)
        await self.save_snapshot()

    async def save_snapshot(self) -> None:
        """Save a snapshot of the columns for the next start, if much of it is new."""
        snapshot = await self._columns.take_snapshot()
        if snapshot is not None:
            # On a full disk, the next start only takes longer.
            with suppress(StoreError):
                await self._database.run_in_transaction(
                    lambda connection: column_index.save_snapshot(connection, snapshot)
                )
                self._columns.mark_saved(snapshot)

    async def read_change_counter(self) -> int:
        """Return the change counter, which rises with every upload and removal."""
        async with self._database.reading() as connection:
            return await connection.run_sync(issue_writer.read_counter)

    async def _evaluate_filter(
        self, connection: AsyncConnection, filters: IssueFilter, now: datetime
    ) -> tuple[int, bytes]:
        """Return the set of matching issues, and the change counter of the connection's snapshot."""
        mark = await self._columns.refresh(connection)
        budget = None
        if filters.is_limited:
            budget = query_evaluator.Budget(
                seconds=query_evaluator.TIMEOUT_SECONDS, evaluations=query_evaluator.MAX_EVALUATIONS
            )
        return mark, await self._get_members(connection, filters, mark, now, budget)

    async def _get_members(
        self,
        connection: AsyncConnection,
        filters: IssueFilter,
        mark: int,
        now: datetime,
        budget: query_evaluator.Budget | None,
    ) -> bytes:
        key = (filters, now if any(map(sql.has_age, filters.queries)) else None)
        members: bytes | None = self._cache.get(mark, key)
        if members is None:
            members = await self._compute_members(connection, filters, mark, now, budget)
            self._cache.put(mark, key, members)
        return members

    async def _compute_members(
        self,
        connection: AsyncConnection,
        filters: IssueFilter,
        mark: int,
        now: datetime,
        budget: query_evaluator.Budget | None,
    ) -> bytes:
        if filters.queries:
            # The stages of a map, which differ in the last query alone, have the rest in common.
            *others, last = filters.queries
            among = await self._get_members(connection, replace(filters, queries=tuple(others)), mark, now, budget)
            return await self._evaluate_query(connection, last, among, mark=mark, now=now, budget=budget)
        members = self._columns.members
        if filters.tenant_id:
            members = await self._columns.filter_by_values(members, "tenant", [filters.tenant_id])
        for field, name in _FILTER_FIELDS.items():
            if values := getattr(filters, name):
                members = await self._columns.filter_by_values(members, field, values)
        if filters.text.strip():
            members = intersection(members, await self._find_by_words(connection, filters.text, mark, len(members)))
        return members

    async def _find_by_words(self, connection: AsyncConnection, text: str, mark: int, size: int) -> bytes:
        words = tuple(parse_search_words(text))
        key = ("words", words)
        cached: bytes | None = self._cache.get(mark, key)
        if cached is not None:
            return cached
        result = bytes(size)
        if words:
            result = await connection.run_sync(sqlite.collect_members, sqlite.select_by_words(words), size)
        self._cache.put(mark, key, result)
        return result

    async def _evaluate_query(
        self,
        connection: AsyncConnection,
        query: Query,
        among: bytes,
        *,
        mark: int,
        now: datetime,
        budget: query_evaluator.Budget | None,
    ) -> bytes:
        return await connection.run_sync(
            self._evaluator.evaluate,
            query,
            among,
            mark=mark,
            removals=self._columns.removal_counter,
            now=now,
            budget=budget,
        )


def _is_slow(filters: IssueFilter) -> bool:
    return any(sql.is_slow(query, NUMBER_COLUMNS) for query in filters.queries)


async def _find_by_display_id(connection: AsyncConnection, text: str) -> Sequence[int]:
    """Return the numbers of the issues with a display ID."""
    message = text.strip()
    known = issues.c.display_id.in_({message, message.upper()})
    return (await connection.execute(sa.select(issues.c.number).where(known).order_by(issues.c.number))).scalars().all()


async def _load_rows(connection: AsyncConnection, numbers: Sequence[int]) -> list[IssueRow]:
    result = {
        row.number: row
        for row in (await connection.execute(sa.select(issues).where(issues.c.number.in_(numbers)))).all()
    }
    return [_to_row(result[number]) for number in numbers if number in result]


def _to_row(record: Any) -> IssueRow:
    return IssueRow(
        tracker_id=record.tracker_id,
        external_id=record.external_id,
        display_id=record.display_id,
        name=record.name,
        type=record.type,
        status=record.status,
        priority=record.priority,
        owner=record.owner,
        creator=record.creator,
        project=record.project,
        sprints=tuple(record.sprints),
        releases=tuple(record.releases),
        labels=tuple(record.labels),
        story_points=record.story_points,
        created=record.created,
        last_update=record.last_update,
        status_since=record.status_since,
        url=record.url,
        changes=record.changes,
    )


#: What a link is, seen from its other end.
INVERSE_KINDS = {"PARENT": "CHILD", "CHILD": "PARENT"}
DEFAULT_KIND = "RELATED"

#: The maximum number of links of one issue, in each direction.
MAX_LINKS = 300


@dataclass(frozen=True, slots=True)
class Link:
    """One issue that another is related to."""

    #: PARENT, CHILD or RELATED: what it is to the other.
    kind: str
    external_id: str
    #: Empty, as name and status are, where the issue is not held here.
    display_id: str
    name: str
    status: str


class LinkFinder:
    """The links between the issues of a server.

    Args:
        database: Where the issues are.
        search: Finds those that name another one.
    """

    def __init__(self, database: Database, search: Search) -> None:
        self._database = database
        self._search = search

    async def find_links(self, tracker_id: str, issue: Mapping[str, Any], *, now: datetime) -> list[Link]:
        """Return the issues that an issue refers to or that refer to it, each once.

        Args:
            tracker_id: Its tracker.
            issue: The issue under the wire's names.
            now: The present.
        """
        issue_id = issue["_id"]
        kinds = {
            relation["id"]: relation.get("type") or DEFAULT_KIND
            for relation in (issue.get("relations") or ())[:MAX_LINKS]
        }
        for other, kind in (await self._find_referring(tracker_id, issue_id, now)).items():
            kinds.setdefault(other, INVERSE_KINDS.get(kind, DEFAULT_KIND))
        columns = (issues.c.external_id, issues.c.display_id, issues.c.name, issues.c.status)
        texts = {row.external_id: row for row in await self._load_rows(sa.select(*columns), tracker_id, kinds)}
        result = [
            Link(kind, key, texts[key].display_id, texts[key].name, texts[key].status)
            if key in texts
            else Link(kind, key, "", "", "")
            for key, kind in kinds.items()
            if key != issue_id
        ]
        return sorted(result, key=lambda link: (link.kind, link.display_id or link.external_id))

    async def _find_referring(self, tracker_id: str, issue_id: str, now: datetime) -> dict[str, str]:
        """Return the IDs of the issues that refer to an issue, with the kind of their relation."""
        request = Comparison("issue", ("relations", "id"), Operator.EQUAL, (Value(issue_id),))
        filters = IssueFilter(tracker_ids=(tracker_id,), queries=(request,))
        rows = (await self._search.page(filters, now=now, sort=Sort.ID, descending=False, limit=MAX_LINKS)).rows
        contents = sa.select(issues.c.external_id, issue_contents.c.content)
        contents = contents.join(issue_contents, issue_contents.c.number == issues.c.number)
        return {
            row.external_id: relation.get("type") or DEFAULT_KIND
            for row in await self._load_rows(contents, tracker_id, [row.external_id for row in rows])
            for relation in row.content.get("relations") or ()
            # Queries do not look at capitals; ids do.
            if relation["id"] == issue_id
        }

    async def _load_rows(self, query: sa.Select[Any], tracker_id: str, ids: Iterable[str]) -> list[Any]:
        where = (issues.c.tracker_id == tracker_id) & issues.c.external_id.in_(list(ids))
        async with self._database.reading() as connection:
            return list((await connection.execute(query.where(where))).all())
