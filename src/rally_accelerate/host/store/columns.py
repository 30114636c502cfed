"""What all issues have in a few short fields, in memory: counted for facets without asking the database again.

A column holds one small number for each issue, the place of its value in a list of values. It is brought up to date
from the issues that were uploaded since, found by their mark; ten columns of 200,000 issues take 9 MB. So much is kept
in the database as well (``store/snapshots.py``), as reading every issue at a start takes a second.
"""

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import compress, repeat
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.host.store import marks
from rally_accelerate.host.store.members import both
from rally_accelerate.host.store.snapshots import Snapshot, load
from rally_accelerate.host.store.tables import issues

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


class Column:
    """One field of all issues."""

    def __init__(self, values_of: Callable[[str], tuple[str, ...]], fold: Callable[[str], str]) -> None:
        self._values_of = values_of
        #: Values that fold alike are one.
        self._fold = fold
        #: By number of the issue.
        self.codes = array("I")
        #: What a code stands for.
        self.values: list[tuple[str, ...]] = []
        #: The same, of those that fold alike only one.
        self._once: list[tuple[str, ...]] = []
        self._known: dict[str | None, int] = {}

    def put(self, numbers: Sequence[int], held: Sequence[str | None]) -> None:
        """What issues have now; their numbers are below the length of the column."""
        self._learn(set(held) - self._known.keys())
        codes, code_of = self.codes, self._known
        for number, text in zip(numbers, held, strict=True):
            codes[number] = code_of[text]

    def kept(self) -> tuple[Sequence[str | None], "array[int]"]:
        """What the codes stand for, and a copy of the codes."""
        return list(self._known), self.codes[:]

    def restore(self, held: Sequence[str | None], codes: "array[int]") -> None:
        """Hold again what was kept."""
        self._learn(held)
        self.codes = codes

    def _learn(self, held: Iterable[str | None]) -> None:
        for text in held:
            self._known[text] = len(self.values)
            values = () if text is None else self._values_of(text)
            self.values.append(values)
            self._once.append(tuple({self._fold(each): each for each in values}.values()))

    def having(self, wanted: Iterable[str]) -> bytes:
        """The issues that have one of some values."""
        folded = {self._fold(value) for value in wanted}
        is_wanted = [any(self._fold(each) in folded for each in values) for values in self.values]
        return bytes(map(is_wanted.__getitem__, self.codes))

    def counts(self, members: bytes) -> Counter[str]:
        """How many issues of a set have each value; as it is spelled most often."""
        spelled: dict[str, int] = {}
        for code, number in Counter(compress(self.codes, members)).items():
            for each in self._once[code]:
                spelled[each] = spelled.get(each, 0) + number
        found: Counter[str] = Counter()
        best: dict[str, str] = {}
        for each, number in spelled.items():
            folded = self._fold(each)
            found[folded] += number
            if number > spelled.get(best.get(folded, ""), 0):
                best[folded] = each
        return Counter({best[folded]: number for folded, number in found.items()})


class Columns:
    """The columns of one host, brought up to date before they are read."""

    def __init__(self) -> None:
        self._refreshing = asyncio.Lock()
        self._start()

    def _start(self) -> None:
        self._mark = 0
        self._removals = 0
        #: How many issues were read since the last snapshot.
        self._fresh = 0
        self._members = bytearray()
        self.since = array("q")
        # Names in lists are one whatever their case, as they are in queries.
        self.of = {name: Column(_one, str) for name in SINGLE}
        self.of |= {name: Column(_several, str.casefold) for name in SEVERAL}

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
        async with self._refreshing:
            if not self._mark or self._fresh < WORTH_KEEPING:
                return None
            self._fresh = 0
            columns = {name: column.kept() for name, column in self.of.items()}
            return Snapshot(self._mark, self._removals, self.members, self.since[:], columns)

    def _restore(self, snapshot: Snapshot | None, now: int) -> None:
        # What an older program removed or a newer one wrote is not known to it.
        if snapshot is None or snapshot.removals != self._removals or snapshot.mark > now:
            return
        if snapshot.columns.keys() != self.of.keys():
            return
        self._mark = snapshot.mark
        self._members[:] = snapshot.members
        self.since = snapshot.since
        for name, (held, codes) in snapshot.columns.items():
            self.of[name].restore(held, codes)

    async def _read(self, connection: AsyncConnection, now: int) -> None:
        removals = await connection.run_sync(marks.mark, marks.REMOVALS)
        if removals != self._removals:
            self._start()
            self._removals = removals
        if not self._members:
            self._restore(await connection.run_sync(load), now)
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
                column.codes.extend(repeat(0, more))
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

    async def mean_since(self, members: bytes) -> float | None:
        """When the issues of a set came into their status, on average."""
        return await self._beside(_mean, self.since, members)

    async def _beside(self, count: Callable[..., T], *given: Any) -> T:
        """Go through a column in a thread, while others are answered; none changes meanwhile."""
        async with self._refreshing:
            return await asyncio.to_thread(count, *given)


def _mean(numbers: Iterable[int], members: bytes) -> float | None:
    count = members.count(1)
    return sum(compress(numbers, members)) / count if count else None


def _one(held: str) -> tuple[str, ...]:
    return (held,) if held else ()


def _several(held: str) -> tuple[str, ...]:
    return tuple(orjson.loads(held))
