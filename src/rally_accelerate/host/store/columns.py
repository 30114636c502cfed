"""What all issues have in a few short fields, in memory: counted for facets without asking the database again.

A column holds one small number for each issue, the place of its value in a list of values. It is brought up to date
from the issues that were uploaded since, found by their mark; ten columns of 200,000 issues take 9 MB. So much is kept
in the database as well (``store/snapshots.py``), as reading every issue at a start takes a second.
"""

import asyncio
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from itertools import compress, repeat
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.dql import sql
from rally_accelerate.dql.matches import matches
from rally_accelerate.dql.tree import Comparison
from rally_accelerate.host.store import marks, sqlite
from rally_accelerate.host.store.column import Column, of_one, of_several
from rally_accelerate.host.store.members import both, numbers_of
from rally_accelerate.host.store.snapshots import Snapshot, load
from rally_accelerate.host.store.tables import issues
from rally_accelerate.model.folding import fold

T = TypeVar("T")

#: Facets of one value, and of several, by the columns that hold them.
SINGLE = {"tenant": "tenant_id", "tracker": "tracker_id"} | {
    name: name for name in ("type", "status", "priority", "owner", "project")
}
SEVERAL = {"sprint": "sprints", "release": "releases", "label": "labels"}

#: So many issues are read at once.
READ_AT_ONCE = 5_000

#: So many issues that were read are worth a new snapshot.
WORTH_KEEPING = 5_000


#: The fields of an issue that are held by a column alone, by folded path: what a query says of them depends on nothing
#: else. An object is more than its name, and of lists, the facts of the store lead to an answer sooner.
TOLD = {(name,): name for name in ("type", "status", "priority", "owner")} | {("project", "name"): "project"}

#: Comparisons of which the answers are kept.
MOST_KEPT = 200


@dataclass(frozen=True, slots=True)
class Newest:
    """What came into its status last."""

    #: How many there are, and when they came on average.
    count: int
    mean: float | None
    #: The numbers of the last of them, the very last first.
    numbers: Sequence[int]


class Columns:
    """The columns of one host, brought up to date before they are read."""

    def __init__(self) -> None:
        self._refreshing = asyncio.Lock()
        self._mark = 0
        self._removals = 0
        #: How many issues were read since the last snapshot.
        self._fresh = 0
        self._members = bytearray()
        self.since = array("q")
        self.of: dict[str, Column] = {name: of_one() for name in SINGLE}
        self.of |= {name: of_several() for name in SEVERAL}
        #: By comparison: whether each value matches.
        self._told: OrderedDict[Comparison, list[bool]] = OrderedDict()

    async def refresh(self, connection: AsyncConnection) -> int:
        """Read what was uploaded since; the mark of what the connection sees, which may be older than the columns."""
        now = await connection.run_sync(marks.mark)
        async with self._refreshing:
            if now > self._mark:
                await self._read(connection, now)
                self._mark = now
        return now

    async def snapshot(self) -> Snapshot | None:
        """What to keep; None where that is not worth it."""
        if not self._mark or self._fresh < WORTH_KEEPING:
            return None
        return await self._beside(self._snapshot)

    def saved(self, snapshot: Snapshot) -> None:
        """Note that a snapshot was kept."""
        if snapshot.mark == self._mark:
            self._fresh = 0

    def _snapshot(self) -> Snapshot:
        members = self.members
        columns = {name: column.kept(members) for name, column in self.of.items()}
        return Snapshot(self._mark, self._removals, members, self.since[:], columns)

    def _restore(self, snapshot: Snapshot | None, now: int) -> None:
        # One from after what the connection sees is none of its past.
        if snapshot is None or snapshot.mark > now or snapshot.columns.keys() != self.of.keys():
            return
        self._mark, self._removals = snapshot.mark, snapshot.removals
        self._members[:] = snapshot.members
        self.since = snapshot.since
        for name, (held, codes) in snapshot.columns.items():
            self.of[name].restore(held, codes)

    async def _read(self, connection: AsyncConnection, now: int) -> None:
        removals = await connection.run_sync(marks.mark, marks.REMOVALS)
        if not self._members:
            self._restore(await connection.run_sync(load), now)
        if removals != self._removals:
            # A number that is given again has a later mark: it is read below.
            numbers, size = sa.select(issues.c.number), len(self._members)
            self._members[:] = await connection.run_sync(sqlite.members, numbers, size)
            self._removals = removals
            self._fresh += WORTH_KEEPING
        texts = [sa.type_coerce(issues.c[name], sa.Text) for name in (*SINGLE.values(), *SEVERAL.values())]
        query = sa.select(issues.c.number, issues.c.mark, issues.c.status_since, *texts)
        query = query.order_by(issues.c.mark, issues.c.number).limit(READ_AT_ONCE)
        mark, number = self._mark + 1, 0
        while True:
            later = sa.tuple_(issues.c.mark, issues.c.number) > sa.tuple_(sa.literal(mark), sa.literal(number))
            rows = (await connection.execute(query.where(later))).all()
            self._put(rows)
            self._fresh += len(rows)
            if len(rows) < READ_AT_ONCE:
                return
            mark, number = rows[-1].mark, rows[-1].number

    def _put(self, rows: Sequence[Any]) -> None:
        if not rows:
            return
        numbers, _, since, *held = zip(*rows, strict=True)
        more = max(numbers) + 1 - len(self._members)
        if more > 0:
            self._members.extend(bytes(more))
            self.since.extend(repeat(0, more))
            for column in self.of.values():
                column.extend(more)
        for number, moment in zip(numbers, since, strict=True):
            self._members[number] = 1
            self.since[number] = moment
        for column, texts in zip(self.of.values(), held, strict=True):
            column.put(numbers, texts)

    @property
    def members(self) -> bytes:
        """Every issue."""
        return bytes(self._members)

    @property
    def removals(self) -> int:
        """The mark of the removals: after one, numbers may be given again."""
        return self._removals

    async def having(self, members: bytes, field: str, wanted: Iterable[str]) -> bytes:
        """The issues of a set that have one of some values in a field."""
        return both(members, await self._beside(self.of[field].having, wanted))

    async def counts(self, field: str, members: bytes) -> Counter[str]:
        """How many issues of a set have each value of a field."""
        return await self._beside(self.of[field].counts, members)

    async def newest(self, members: bytes, most: int) -> Newest:
        """The issues of a set that came into their status last, at most so many."""
        return await self._beside(_newest, self.since, members, most)

    def told(self, leaf: Comparison, *, now: datetime) -> bytes | None:
        """The issues that a comparison is true of; None where columns do not tell.

        Every value is held against ``matches`` once, which says what a query means.
        """
        path = tuple(fold(name) for name in leaf.path)
        if leaf.item != "issue" or path not in TOLD or sql.has_age(leaf):
            return None
        column = self.of[TOLD[path]]
        known = self._told.setdefault(leaf, [False])
        self._told.move_to_end(leaf)
        known += (matches(leaf, _issue(path, held), now=now) for held in column.held[len(known) :])
        if len(self._told) > MOST_KEPT:
            self._told.popitem(last=False)
        return column.coded(known)

    async def _beside(self, count: Callable[..., T], *given: Any) -> T:
        """Go through a column in a thread, while others are answered; none changes meanwhile."""
        async with self._refreshing:
            return await asyncio.to_thread(count, *given)


def _issue(path: Sequence[str], held: str | None) -> dict[str, Any]:
    """As much of an issue as a column holds."""
    name, *rest = path
    return {name: _issue(rest, held) if rest else held}


def _newest(since: "array[int]", members: bytes, most: int) -> Newest:
    moments = list(compress(since, members))
    if not moments:
        return Newest(0, None, ())
    # Of several in one moment, those that came last.
    last = min(nlargest(most, moments), default=max(moments) + 1)
    found = [(moment, number) for moment, number in zip(moments, numbers_of(members), strict=True) if moment >= last]
    numbers = [number for _, number in sorted(found, reverse=True)[:most]]
    return Newest(len(moments), sum(moments) / len(moments), numbers)
