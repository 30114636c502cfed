"""What all issues have in a few short fields, in memory: counted for facets without asking the database again.

A column holds one small number for each issue, the place of its value in a list of values. It is brought up to date
from the issues that were uploaded since, found by their mark; ten columns of 200,000 issues take 9 MB. So much is kept
in the database as well (``store/snapshots.py``), as reading every issue at a start takes a second.
"""

import asyncio
import sys
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from itertools import accumulate, compress, count, repeat
from typing import Any, TypeAlias, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.dql import sql
from rally_accelerate.dql.ast import Comparison
from rally_accelerate.dql.evaluator import matches
from rally_accelerate.model.text_folding import fold
from rally_accelerate.server.store import issue_writer, sqlite
from rally_accelerate.server.store.issue_sets import both, numbers_of
from rally_accelerate.server.store.tables import issues, snapshots

#: Stands for numbers that no issue has.
NOTHING = 0

#: So many values have codes of one byte.
NARROW = 256

#: So many bytes are looked through in the time that one issue is counted in.
BYTES_FOR_ONE = 200

#: Of each issue, where its value stands among the values.
Codes: TypeAlias = "bytearray | array[int]"


class Column:
    """One field of all issues."""

    def __init__(self, values_of: Callable[[str], tuple[str, ...]], fold: Callable[[str], str]) -> None:
        self._values_of = values_of
        #: Values that fold alike are one.
        self._fold = fold
        #: By number of the issue; of single bytes as long as they suffice, which are looked through much faster.
        self.codes: Codes = bytearray()
        #: What a code stands for, as it is stored.
        self.held: list[str | None] = [None]
        #: The values in it; of those that fold alike only one.
        self._once: list[tuple[str, ...]] = [()]
        #: In which codes a folded value is.
        self._codes_of: dict[str, list[int]] = {}
        self._known: dict[str | None, int] = {}

    def extend(self, more: int) -> None:
        """Have room for more numbers."""
        self.codes.extend(bytes(more))

    def put(self, numbers: Sequence[int], held: Sequence[str | None]) -> None:
        """What issues have now; their numbers are below the length of the column."""
        self._learn(set(held) - self._known.keys())
        codes, code_of = self.codes, self._known
        for number, text in zip(numbers, held, strict=True):
            codes[number] = code_of[text]

    def kept(self, members: bytes) -> tuple[Sequence[str | None], Codes]:
        """What the codes of some issues stand for, from the first on, and their codes; nothing of other issues."""
        used = sorted(set(compress(self.codes, members)) - {NOTHING})
        place = dict(zip(used, count(NOTHING + 1), strict=False))
        codes = [place.get(code, NOTHING) for code in self.codes]
        held = [self.held[code] for code in used]
        return held, bytearray(codes) if len(held) < NARROW else array("I", codes)

    def restore(self, held: Sequence[str | None], codes: Codes) -> None:
        """Hold again what was kept."""
        self._learn(held)
        self.codes = codes

    def having(self, wanted: Iterable[str]) -> bytes:
        """The issues that have one of some values."""
        is_wanted = [False] * len(self.held)
        for value in wanted:
            for code in self._codes_of.get(self._fold(value), ()):
                is_wanted[code] = True
        return self.coded(is_wanted)

    def coded(self, wanted: Sequence[bool]) -> bytes:
        """The issues that have a wanted code: one for each of ``held``."""
        if isinstance(self.codes, bytearray):
            return bytes(self.codes.translate(bytes(wanted).ljust(NARROW, b"\0")))
        return bytes(map(wanted.__getitem__, self.codes))

    def counts(self, members: bytes) -> Counter[str]:
        """How many issues of a set have each value; as it is spelled most often."""
        spelled: dict[str, int] = {}
        for code, number in self._occurrences(members):
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

    def _occurrences(self, members: bytes) -> Iterable[tuple[int, int]]:
        # All bytes are looked through once for each value, in the time in which so many issues are counted one by one.
        is_few = members.count(1) * BYTES_FOR_ONE < len(self.held) * len(members)
        if is_few or not isinstance(self.codes, bytearray):
            return Counter(compress(self.codes, members)).items()
        # What is not in the set becomes nothing.
        there = both(bytes(self.codes), members.replace(b"\1", b"\xff"))
        counted = ((code, there.count(code)) for code in range(NOTHING + 1, len(self.held)))
        return [(code, number) for code, number in counted if number]

    def _learn(self, held: Iterable[str | None]) -> None:
        for text in held:
            self._known[text] = len(self.held)
            self.held.append(text)
            once = {self._fold(each): each for each in (() if text is None else self._values_of(text))}
            self._once.append(tuple(once.values()))
            for folded in once:
                self._codes_of.setdefault(folded, []).append(self._known[text])
        if isinstance(self.codes, bytearray) and len(self.held) > NARROW:
            self.codes = array("I", list(self.codes))


def of_one() -> Column:
    """A column of texts."""
    return Column(lambda held: (held,) if held else (), str)


def of_several() -> Column:
    """A column of lists of names in JSON; names are one whatever their case, as they are in queries."""
    return Column(lambda held: tuple(orjson.loads(held)), fold)


COLUMNS = "columns"

#: Of what is written here. Another one is not read.
FORMAT = 1

#: Bytes of the length of the part in JSON, which goes first.
PREFIX = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The columns of all issues."""

    #: The issues that were uploaded up to it are in the columns, and those removed up to the other are not.
    mark: int
    removals: int
    #: The set of all issues, and when each came into its status.
    members: bytes
    since: "array[int]"
    #: By field: what the codes stand for, and the code of each issue.
    columns: Mapping[str, tuple[Sequence[str | None], Codes]]


def packed(snapshot: Snapshot) -> bytes:
    """A snapshot in bytes, for ``unpacked`` on a machine like this one."""
    columns = sorted(snapshot.columns.items())
    head = orjson.dumps(
        {
            **_machine(),
            "mark": snapshot.mark,
            "removals": snapshot.removals,
            "size": len(snapshot.members),
            "columns": [[name, held, isinstance(codes, bytearray)] for name, (held, codes) in columns],
        }
    )
    arrays = [bytes(codes) if isinstance(codes, bytearray) else codes.tobytes() for _, (_, codes) in columns]
    return b"".join([len(head).to_bytes(PREFIX), head, snapshot.members, snapshot.since.tobytes(), *arrays])


def unpacked(content: bytes) -> Snapshot | None:
    """A snapshot from its bytes; None where another version or another kind of machine wrote it, or nothing did."""
    begin = PREFIX + int.from_bytes(content[:PREFIX])
    try:
        head: dict[str, Any] = orjson.loads(content[PREFIX:begin])
    except orjson.JSONDecodeError:
        return None
    if any(head.get(name) != value for name, value in _machine().items()):
        return None
    size, kinds = head["size"], ("q", *("B" if is_narrow else "I" for _, _, is_narrow in head["columns"]))
    ends = list(accumulate((size, *(size * array(kind).itemsize for kind in kinds)), initial=begin))
    if ends[-1] != len(content):
        return None
    members = content[ends[0] : ends[1]]
    since, *codes = (
        array(kind, content[first:last]) for kind, first, last in zip(kinds, ends[1:], ends[2:], strict=False)
    )
    columns: dict[str, tuple[Sequence[str | None], Codes]] = {
        name: (held, bytearray(its) if is_narrow else its)
        for (name, held, is_narrow), its in zip(head["columns"], codes, strict=True)
    }
    return Snapshot(head["mark"], head["removals"], members, since, columns)


def load(connection: sa.Connection) -> Snapshot | None:
    """The snapshot of a database, if it has one that can be read."""
    query = sa.select(snapshots.c.content).where(snapshots.c.name == COLUMNS)
    content = connection.execute(query).scalar_one_or_none()
    return None if content is None else unpacked(content)


def save(connection: sa.Connection, snapshot: Snapshot) -> None:
    """Put a snapshot in the place of the one before."""
    connection.execute(sa.delete(snapshots).where(snapshots.c.name == COLUMNS))
    connection.execute(sa.insert(snapshots).values(name=COLUMNS, content=packed(snapshot)))


def _machine() -> dict[str, Any]:
    return {"format": FORMAT, "order": sys.byteorder, "widths": f"{array('q').itemsize} {array('I').itemsize}"}


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
        now = await connection.run_sync(issue_writer.mark)
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
        removals = await connection.run_sync(issue_writer.mark, issue_writer.REMOVALS)
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
