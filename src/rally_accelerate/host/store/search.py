"""Searching issues: pages in any order, counts, facets, and what stands in a stage."""

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.dql import sql
from rally_accelerate.dql.tree import Query
from rally_accelerate.errors import StoreError
from rally_accelerate.host.store import marks, query_limits, snapshots, sqlite
from rally_accelerate.host.store.answers import NUMBERS, Answers
from rally_accelerate.host.store.columns import Columns
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.members import Kept, both
from rally_accelerate.host.store.pages import Order, Place, picked
from rally_accelerate.host.store.patience import Patience
from rally_accelerate.host.store.tables import issues
from rally_accelerate.host.store.turns import asker
from rally_accelerate.host.store.values import ms
from rally_accelerate.host.store.words import asked_words

FACETS = ("type", "status", "priority", "owner", "project", "sprint", "release", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
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
    limited: bool = dataclasses.field(default=True, compare=False)


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
class Row:
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
class Found:
    """One page."""

    rows: list[Row]
    #: Where the next page begins, for ``after``; empty at the end.
    after: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands in a stage of a value stream."""

    count: int
    #: Time in the status, on average; None where nothing stands.
    average_age_ms: float | None
    #: Newest in the stage first.
    dots: list[Row]


#: What a page is sorted by, and the column that it stands in.
_COLUMNS = {
    Sort.UPDATED: "last_update",
    Sort.ID: "display_id",
    Sort.POINTS: "story_points",
    Sort.AGE: "status_since",
}

#: The fields of what is wanted that are columns in memory.
_FIELDS = {
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
    """Searches the issues of one host.

    What is wanted becomes a set of numbers first, from columns in memory, the index of words and the facts that queries
    ask for; it is kept until the issues change. Pages, counts, facets and ages are then taken from the set.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._columns = Columns()
        self._answers = Answers(self._columns)
        self._patience: Patience[datetime] = Patience()
        self._kept = Kept()

    async def page(
        self,
        wanted: Wanted,
        *,
        now: datetime,
        sort: Sort = Sort.UPDATED,
        descending: bool = True,
        after: str = "",
        limit: int = 50,
    ) -> Found:
        """One page of issues.

        Args:
            wanted: Which. The issue of which the text is the id comes first.
            now: Ages in queries are counted from here; aware.
            sort: In which order; equal ones in the order in which they came. What has no value comes last.
            descending: The largest first.
            after: What the page before told; anything else begins at the first page.
            limit: How many at most.
        """
        # The older the instant, the greater the age.
        order = Order(_COLUMNS.get(sort, sort.value), descending is not (sort is Sort.AGE))
        async with self._reading(wanted) as connection:
            members = None if wanted == Wanted() else (await self._members(connection, wanted, now))[1]
            first = await _called(connection, wanted.text) if wanted.text else []
            start = Place.read(after, order)
            places = await picked(connection, members, order, first=first, after=start, limit=limit + 1)
            rows = await _rows(connection, [place.number for place in places[:limit]])
        return Found(rows, places[limit - 1].written(order) if len(places) > limit else "")

    async def count(self, wanted: Wanted, *, now: datetime) -> int:
        """How many issues are like this."""
        async with self._reading(wanted) as connection:
            _, members = await self._members(connection, wanted, now)
        return members.count(1)

    async def facets(
        self, wanted: Wanted, *, now: datetime, fields: Sequence[str] = FACETS, most: int = 50
    ) -> dict[str, list[tuple[str, int]]]:
        """The values of each field among the issues that are like this, and how many have them; commonest first."""
        async with self._reading(wanted) as connection:
            mark, members = await self._members(connection, wanted, now)
        found = {}
        for field in fields:
            key = ("facet", field, most, members)
            values = self._kept.get(mark, key)
            if values is None:
                counted = (await self._columns.counts(field, members)).items()
                values = sorted(counted, key=lambda each: (-each[1], each[0]))[:most]
                self._kept.put(mark, key, values)
            found[field] = list(values)
        return found

    async def stage(self, wanted: Wanted, *, now: datetime, most: int = 200) -> Stage:
        """What stands in a stage: how many, how long on average, and the newest of them."""
        async with self._reading(wanted) as connection:
            _, members = await self._members(connection, wanted, now)
            newest = await self._columns.newest(members, most)
            rows = await _rows(connection, newest.numbers)
        return Stage(newest.count, None if newest.mean is None else ms(now) - newest.mean, rows)

    async def soon(self, wanted: Wanted, *, now: datetime, seconds: float) -> datetime | None:
        """As of when what is wanted can be told at once; None where it cannot.

        A search that asks every issue one by one may take long. It is begun, and goes on after the seconds; who asks
        again is told when it has ended, and as of when ages were counted.
        """
        if not _is_slow(wanted):
            return now
        # Each user has a search of their own, so that one user's queue delays no other user.
        key = (asker.get(), wanted)
        return await self._patience.soon(key, lambda: self._look(wanted, now), seconds=seconds)

    async def close(self) -> None:
        """Stop what goes on, and keep what the next start needs."""
        await self._database.interrupt()
        await self._patience.close()
        await self.keep()

    async def _look(self, wanted: Wanted, now: datetime) -> datetime:
        async with self._reading(wanted) as connection:
            await self._members(connection, wanted, now)
        return now

    @asynccontextmanager
    async def _reading(self, wanted: Wanted) -> AsyncIterator[AsyncConnection]:
        if not _is_slow(wanted):
            async with self._database.reading() as connection:
                yield connection
        else:
            seconds = query_limits.SECONDS if wanted.limited else None
            async with self._patience.turns.turn():
                try:
                    async with self._database.reading_long(seconds=seconds) as connection:
                        yield connection
                except TimeoutError:
                    raise query_limits.out_of_time() from None

    async def warm(self) -> None:
        """Read what searches begin with, so that the first of them need not."""
        async with self._database.reading() as connection:
            await self._columns.refresh(connection)
        await self.keep()

    async def keep(self) -> None:
        """Keep what searches begin with, if much of it is new, so that the next start need not read it."""
        snapshot = await self._columns.snapshot()
        if snapshot is not None:
            # On a full disk, the next start only takes longer.
            with suppress(StoreError):
                await self._database.written(lambda connection: snapshots.save(connection, snapshot))
                self._columns.saved(snapshot)

    async def change_mark(self) -> int:
        """Rises with every upload and every removal: what was computed under it may be kept until it does."""
        async with self._database.reading() as connection:
            return await connection.run_sync(marks.mark)

    async def _members(self, connection: AsyncConnection, wanted: Wanted, now: datetime) -> tuple[int, bytes]:
        """The set of the issues that are like this, and the mark of what the connection sees."""
        mark = await self._columns.refresh(connection)
        budget = None
        if wanted.limited:
            budget = query_limits.Budget(seconds=query_limits.SECONDS, evaluations=query_limits.MOST_EVALUATIONS)
        return mark, await self._known(connection, wanted, mark, now, budget)

    async def _known(
        self, connection: AsyncConnection, wanted: Wanted, mark: int, now: datetime, budget: query_limits.Budget | None
    ) -> bytes:
        key = (wanted, now if any(map(sql.has_age, wanted.queries)) else None)
        members: bytes | None = self._kept.get(mark, key)
        if members is None:
            members = await self._found(connection, wanted, mark, now, budget)
            self._kept.put(mark, key, members)
        return members

    async def _found(
        self, connection: AsyncConnection, wanted: Wanted, mark: int, now: datetime, budget: query_limits.Budget | None
    ) -> bytes:
        if wanted.queries:
            # The stages of a map, which differ in the last query alone, have the rest in common.
            *others, last = wanted.queries
            among = await self._known(connection, replace(wanted, queries=tuple(others)), mark, now, budget)
            return await self._matching(connection, last, among, mark=mark, now=now, budget=budget)
        members = self._columns.members
        if wanted.tenant_id:
            members = await self._columns.having(members, "tenant", [wanted.tenant_id])
        for field, name in _FIELDS.items():
            if values := getattr(wanted, name):
                members = await self._columns.having(members, field, values)
        if wanted.text.strip():
            members = both(members, await self._saying(connection, wanted.text, mark, len(members)))
        return members

    async def _saying(self, connection: AsyncConnection, text: str, mark: int, size: int) -> bytes:
        words = tuple(asked_words(text))
        key = ("words", words)
        kept: bytes | None = self._kept.get(mark, key)
        if kept is not None:
            return kept
        found = bytes(size)
        if words:
            found = await connection.run_sync(sqlite.members, sqlite.with_words(words), size)
        self._kept.put(mark, key, found)
        return found

    async def _matching(
        self,
        connection: AsyncConnection,
        query: Query,
        among: bytes,
        *,
        mark: int,
        now: datetime,
        budget: query_limits.Budget | None,
    ) -> bytes:
        return await connection.run_sync(
            self._answers.matching,
            query,
            among,
            mark=mark,
            removals=self._columns.removals,
            now=now,
            budget=budget,
        )


def _is_slow(wanted: Wanted) -> bool:
    return any(sql.is_slow(query, NUMBERS) for query in wanted.queries)


async def _called(connection: AsyncConnection, text: str) -> Sequence[int]:
    """The issues of which a text is the id."""
    told = text.strip()
    known = issues.c.display_id.in_({told, told.upper()})
    return (await connection.execute(sa.select(issues.c.number).where(known).order_by(issues.c.number))).scalars().all()


async def _rows(connection: AsyncConnection, numbers: Sequence[int]) -> list[Row]:
    found = {
        row.number: row
        for row in (await connection.execute(sa.select(issues).where(issues.c.number.in_(numbers)))).all()
    }
    return [_row(found[number]) for number in numbers if number in found]


def _row(found: Any) -> Row:
    return Row(
        tracker_id=found.tracker_id,
        external_id=found.external_id,
        display_id=found.display_id,
        name=found.name,
        type=found.type,
        status=found.status,
        priority=found.priority,
        owner=found.owner,
        creator=found.creator,
        project=found.project,
        sprints=tuple(found.sprints),
        releases=tuple(found.releases),
        labels=tuple(found.labels),
        story_points=found.story_points,
        created=found.created,
        last_update=found.last_update,
        status_since=found.status_since,
        url=found.url,
        changes=found.changes,
    )
