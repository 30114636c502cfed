"""The map's content: how many items stand in each stage, for how long, and the newest of them."""

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
from rally_accelerate.server.value_streams.layout import Layout, Stage, layout_of

log = logging.getLogger(__name__)

#: So many dots are drawn in a stage; its list has all of them.
DOTS = 120

#: Ages in queries go on while nothing changes: what was computed is used for so long.
KEPT_FOR = timedelta(seconds=60)
#: An older board is shown while it is counted anew only within two cycles of the usual schedule.
SHOWN_FOR = timedelta(minutes=10)
KEPT_BOARDS = 64

#: So long people wait for a board that was never counted.
FIRST_SECONDS = 0.4

FIELDS = ("type", "priority", "sprint", "release", "project")

#: Stands for "no tracker at all" where an empty selection would mean every one.
NOBODY = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
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
        return self != Asked()


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
        return sum(each.count for each in self.stages)


#: Value stream, version, restrictions.
_Key = tuple[str, int, Asked]


@dataclass(slots=True)
class _Kept:
    mark: int
    board: Board


@dataclass(slots=True)
class Boards:
    """Computes boards, and keeps them until issues change.

    While a board is counted anew for longer than somebody wants to wait, the one before is shown, and says so.
    """

    search: Search
    #: After so many seconds without a new board the one before is taken, if there is one that is not too old.
    patience: float = 0.1
    _kept: OrderedDict[_Key, _Kept] = field(default_factory=OrderedDict)
    _counting: dict[_Key, asyncio.Task[Board]] = field(default_factory=dict)
    _turns: FairQueue = field(default_factory=FairQueue)

    async def board(self, stream: StoredValueStream, asked: Asked, *, now: datetime) -> Board:
        """What stands in each stage of a value stream.

        Raises:
            QueryError: The query that was asked for cannot be read.
        """
        board = await self.soon(stream, asked, now=now, seconds=None)
        assert board is not None
        return board

    async def soon(
        self, stream: StoredValueStream, asked: Asked, *, now: datetime, seconds: float | None = FIRST_SECONDS
    ) -> Board | None:
        """The same, for people: None where it takes longer than some seconds to count for the first time.

        It is counted on; who asks again is told when that has ended.

        Raises:
            QueryError: The query that was asked for cannot be read.
        """
        if asked.dql:
            parse_limited(asked.dql)
        key = (stream.id, stream.version, asked)
        mark = await self.search.read_change_counter()
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            if kept.mark == mark and timedelta(0) <= now - kept.board.at < KEPT_FOR:
                return kept.board
        # Several people who look at the same have it counted once.
        task = self._counting.get(key)
        if task is None:
            task = self._counting[key] = asyncio.create_task(self._count(key, stream, mark, now))
            task.add_done_callback(lambda done: self._counted(key, done))
        has_none = kept is None or not timedelta(0) <= now - kept.board.at < SHOWN_FOR
        await asyncio.wait([task], timeout=seconds if has_none else self.patience)
        if task.done():
            return task.result()
        return None if kept is None or has_none else replace(kept.board, is_old=True)

    async def settle(self) -> None:
        """Wait until nothing is being counted."""
        await asyncio.gather(*self._counting.values(), return_exceptions=True)

    async def close(self) -> None:
        """Stop counting."""
        for task in self._counting.values():
            task.cancel()
        await self.settle()

    async def page(
        self, stream: StoredValueStream, stage: Stage, asked: Asked, *, now: datetime, after: str = "", limit: int = 50
    ) -> IssuePage:
        """Items of a stage, the newest in it first.

        Raises:
            QueryError: The query that was asked for cannot be read.
        """
        layout = layout_of(stream.document)
        here = layout.alone(stage)
        if here is None:
            return IssuePage([], "")
        wanted = wanted_of(stream, layout, asked, also=here)
        return await self.search.page(wanted, now=now, sort=Sort.AGE, descending=False, after=after, limit=limit)

    async def _count(self, key: _Key, stream: StoredValueStream, mark: int, now: datetime) -> Board:
        # Few at once, as together they would only make each other slow.
        async with self._turns.wait_for_turn():
            found = await self._computed(stream, key[2], now)
        self._kept[key] = _Kept(mark, found)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_BOARDS:
            self._kept.popitem(last=False)
        return found

    def _counted(self, key: _Key, done: asyncio.Task[Board]) -> None:
        self._counting.pop(key, None)
        if not done.cancelled() and (error := done.exception()) is not None:
            # Whoever waits is told; when nobody does, the log is.
            log.warning("failed to evaluate a value stream: %s", error)

    async def _computed(self, stream: StoredValueStream, asked: Asked, now: datetime) -> Board:
        layout = layout_of(stream.document)
        stages = []
        for stage in layout.stages:
            here = layout.alone(stage)
            if here is None:
                stages.append(StageBoard(stage, 0, None, ()))
                continue
            found = await self.search.summarize_stage(wanted_of(stream, layout, asked, also=here), now=now, most=DOTS)
            stages.append(StageBoard(stage, found.count, found.average_age_ms, tuple(found.dots)))
        if layout.anywhere is None:
            return Board(now, tuple(stages), {name: [] for name in FIELDS})
        everything = wanted_of(stream, layout, Asked(), also=layout.anywhere)
        return Board(now, tuple(stages), await self.search.count_facets(everything, now=now, fields=FIELDS, most=200))


def wanted_of(stream: StoredValueStream, layout: Layout, asked: Asked, *, also: Query) -> IssueFilter:
    """The search for items of a value stream.

    Args:
        stream: The value stream.
        layout: Its layout.
        asked: Restrictions of the page.
        also: What else must hold, such as a stage's query. It is asked last: the rest is common to all stages.

    Raises:
        QueryError: The query that was asked for cannot be read.
    """
    queries = [layout.query]
    if asked.dql:
        queries.append(parse_limited(asked.dql))
    if (days := WINDOWS.get(asked.window)) is not None:
        queries.append(parse(f"issue.lastUpdate < {days}d"))
    return IssueFilter(
        tenant_id=stream.tenant_id,
        tracker_ids=trackers_of(stream.document),
        types=asked.types,
        priorities=asked.priorities,
        sprints=asked.sprints,
        releases=asked.releases,
        projects=asked.projects,
        text=asked.text,
        queries=(*queries, also),
        is_limited=bool(asked.dql),
    )


def trackers_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The trackers whose items a value stream shows; empty for every one of the tenant."""
    entries = [entry for _, entry in integrations_of(document)]
    found = tuple(str(entry["_id"]) for entry in entries if entry.get("_id"))
    return found or ((NOBODY,) if entries else ())


def average_age(held: StageBoard, board: Board, now: datetime) -> float | None:
    """The average time in a stage in milliseconds as of now: while a board is kept, its items grow older."""
    return None if held.average_age_ms is None else held.average_age_ms + to_ms(now) - to_ms(board.at)
