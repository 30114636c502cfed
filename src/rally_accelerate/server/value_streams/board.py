"""The content of the map: count, average age and most recent items of each stage."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from rally_accelerate.dql.ast import Query
from rally_accelerate.dql.parser import parse
from rally_accelerate.server.store.issue_search import FairQueue, IssueFilter, IssuePage, IssueRow, Search, Sort
from rally_accelerate.server.store.query_evaluator import parse_limited
from rally_accelerate.server.store.tables import to_ms
from rally_accelerate.server.store.value_streams import StoredValueStream
from rally_accelerate.server.value_streams.document import WINDOWS, integrations_of
from rally_accelerate.server.value_streams.layout import Layout, Stage, parse_layout

log = logging.getLogger(__name__)

#: So many dots are drawn in a stage; its list has all of them.
DOTS = 120

#: Ages in queries go on while nothing changes: what was computed is used for so long.
MAX_CACHE_AGE = timedelta(seconds=60)
#: An older board is shown during a recount only within two intervals of the usual schedule.
MAX_STALE_AGE = timedelta(minutes=10)
CACHED_BOARDS = 64

#: So long people wait for a board that was never counted.
FIRST_SECONDS = 0.4

FIELDS = ("type", "priority", "sprint", "release", "project")

#: Stands for "no tracker at all" where an empty selection would mean every one.
NO_TRACKER = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFilter:
    """What the map is restricted to; empty means everything."""

    text: str = ""
    dql: str = ""
    types: tuple[str, ...] = ()
    priorities: tuple[str, ...] = ()
    sprints: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    #: One of ``WINDOWS``: only what was changed in it.
    window: str = "ALL"

    @property
    def restricts(self) -> bool:
        """Whether it leaves anything out."""
        return self != MapFilter()


@dataclass(frozen=True, slots=True)
class StageBoard:
    """One stage with what stands in it."""

    stage: Stage
    count: int
    average_age_ms: float | None
    dots: tuple[IssueRow, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """What stands in each stage."""

    at: datetime
    stages: tuple[StageBoard, ...]
    #: The values of each field among all items of the map, without the restrictions, commonest first.
    facets: Mapping[str, Sequence[tuple[str, int]]]
    #: Issues changed since, and a new one is being counted.
    is_old: bool = False

    @property
    def total(self) -> int:
        """How many items are on the map."""
        return sum(stage_board.count for stage_board in self.stages)


#: Value stream, version, restrictions.
_Key = tuple[str, int, MapFilter]


@dataclass(slots=True)
class _CachedBoard:
    mark: int
    board: Board


@dataclass(slots=True)
class BoardCache:
    """Cache of boards, valid until issues change.

    If a new board takes too long, the previous one is returned and marked as outdated.
    """

    search: Search
    #: After so many seconds without a new board the one before is taken, if there is one that is not too old.
    patience: float = 0.1
    _cache: OrderedDict[_Key, _CachedBoard] = field(default_factory=OrderedDict)
    _counting: dict[_Key, asyncio.Task[Board]] = field(default_factory=dict)
    _turns: FairQueue = field(default_factory=FairQueue)

    async def board(self, stream: StoredValueStream, map_filter: MapFilter, *, now: datetime) -> Board:
        """Return the items in each stage of a value stream.

        Raises:
            QueryError: The query is invalid.
        """
        board = await self.board_within(stream, map_filter, now=now, seconds=None)
        assert board is not None
        return board

    async def board_within(
        self, stream: StoredValueStream, map_filter: MapFilter, *, now: datetime, seconds: float | None = FIRST_SECONDS
    ) -> Board | None:
        """Return the board, or None if the first count takes longer than ``seconds``.

        The count continues in the background, and a later call returns its result.

        Raises:
            QueryError: The query is invalid.
        """
        if map_filter.dql:
            parse_limited(map_filter.dql)
        key = (stream.id, stream.version, map_filter)
        mark = await self.search.read_change_counter()
        cached = self._cache.get(key)
        if cached is not None:
            self._cache.move_to_end(key)
            if cached.mark == mark and timedelta(0) <= now - cached.board.at < MAX_CACHE_AGE:
                return cached.board
        # Several people who look at the same have it counted once.
        task = self._counting.get(key)
        if task is None:
            task = self._counting[key] = asyncio.create_task(self._count(key, stream, mark, now))
            task.add_done_callback(lambda done: self._forget_task(key, done))
        has_none = cached is None or not timedelta(0) <= now - cached.board.at < MAX_STALE_AGE
        await asyncio.wait([task], timeout=seconds if has_none else self.patience)
        if task.done():
            return task.result()
        return None if cached is None or has_none else replace(cached.board, is_old=True)

    async def settle(self) -> None:
        """Wait until nothing is being counted."""
        await asyncio.gather(*self._counting.values(), return_exceptions=True)

    async def close(self) -> None:
        """Stop counting."""
        for task in self._counting.values():
            task.cancel()
        await self.settle()

    async def page(
        self,
        stream: StoredValueStream,
        stage: Stage,
        map_filter: MapFilter,
        *,
        now: datetime,
        after: str = "",
        limit: int = 50,
    ) -> IssuePage:
        """Return the items of a stage, the most recent in it first.

        Raises:
            QueryError: The query is invalid.
        """
        layout = parse_layout(stream.document)
        here = layout.query_for(stage)
        if here is None:
            return IssuePage([], "")
        criteria = build_search(stream, layout, map_filter, also=here)
        return await self.search.page(criteria, now=now, sort=Sort.AGE, descending=False, after=after, limit=limit)

    async def _count(self, key: _Key, stream: StoredValueStream, mark: int, now: datetime) -> Board:
        # Few at once, as together they would only make each other slow.
        async with self._turns.wait_for_turn():
            board = await self._compute(stream, key[2], now)
        self._cache[key] = _CachedBoard(mark, board)
        self._cache.move_to_end(key)
        while len(self._cache) > CACHED_BOARDS:
            self._cache.popitem(last=False)
        return board

    def _forget_task(self, key: _Key, done: asyncio.Task[Board]) -> None:
        self._counting.pop(key, None)
        if not done.cancelled() and (error := done.exception()) is not None:
            # A waiting caller gets the error; without one, it is logged.
            log.warning("failed to evaluate a value stream: %s", error)

    async def _compute(self, stream: StoredValueStream, map_filter: MapFilter, now: datetime) -> Board:
        layout = parse_layout(stream.document)
        stages = []
        for stage in layout.stages:
            here = layout.query_for(stage)
            if here is None:
                stages.append(StageBoard(stage, 0, None, ()))
                continue
            result = await self.search.summarize_stage(
                build_search(stream, layout, map_filter, also=here), now=now, most=DOTS
            )
            stages.append(StageBoard(stage, result.count, result.average_age_ms, tuple(result.dots)))
        if layout.anywhere is None:
            return Board(now, tuple(stages), {name: [] for name in FIELDS})
        everything = build_search(stream, layout, MapFilter(), also=layout.anywhere)
        return Board(now, tuple(stages), await self.search.count_facets(everything, now=now, fields=FIELDS, most=200))


def build_search(stream: StoredValueStream, layout: Layout, map_filter: MapFilter, *, also: Query) -> IssueFilter:
    """Return the search for items of a value stream.

    Args:
        stream: The value stream.
        layout: Its layout.
        map_filter: The filter of the page.
        also: A further condition, such as a stage's query. It is evaluated last: the others are common to all stages.

    Raises:
        QueryError: The query is invalid.
    """
    queries = [layout.query]
    if map_filter.dql:
        queries.append(parse_limited(map_filter.dql))
    if (days := WINDOWS.get(map_filter.window)) is not None:
        queries.append(parse(f"issue.lastUpdate < {days}d"))
    return IssueFilter(
        tenant_id=stream.tenant_id,
        tracker_ids=trackers_of(stream.document),
        types=map_filter.types,
        priorities=map_filter.priorities,
        sprints=map_filter.sprints,
        releases=map_filter.releases,
        projects=map_filter.projects,
        text=map_filter.text,
        queries=(*queries, also),
        is_limited=bool(map_filter.dql),
    )


def trackers_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the trackers whose items a value stream shows; empty for all trackers of the tenant."""
    entries = [entry for _, entry in integrations_of(document)]
    ids = tuple(str(entry["_id"]) for entry in entries if entry.get("_id"))
    return ids or ((NO_TRACKER,) if entries else ())


def average_age(stage_board: StageBoard, board: Board, now: datetime) -> float | None:
    """Return the average time in a stage as of now, in milliseconds; items of a cached board have aged since."""
    return None if stage_board.average_age_ms is None else stage_board.average_age_ms + to_ms(now) - to_ms(board.at)
