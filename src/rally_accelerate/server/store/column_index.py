"""An in-memory column index of a few short issue fields, for filters and facets.

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
from rally_accelerate.server.store.issue_sets import intersection, iterate_numbers
from rally_accelerate.server.store.tables import issues, snapshots

#: Stands for numbers that no issue has.
NO_VALUE = 0

#: So many values have codes of one byte.
NARROW = 256

#: So many bytes are looked through in the time that one issue is counted in.
BYTES_PER_ISSUE = 200

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
        self.texts: list[str | None] = [None]
        #: The values in it; of those that fold alike only one.
        self._distinct_values: list[tuple[str, ...]] = [()]
        #: In which codes a folded value is.
        self._codes_of: dict[str, list[int]] = {}
        self._code_by_text: dict[str | None, int] = {}

    def extend(self, more: int) -> None:
        """Have room for more numbers."""
        self.codes.extend(bytes(more))

    def put(self, numbers: Sequence[int], texts: Sequence[str | None]) -> None:
        """Return what issues have now; their numbers are below the length of the column."""
        self._add_texts(set(texts) - self._code_by_text.keys())
        codes, code_of = self.codes, self._code_by_text
        for number, text in zip(numbers, texts, strict=True):
            codes[number] = code_of[text]

    def export(self, members: bytes) -> tuple[Sequence[str | None], Codes]:
        """Return the texts and codes of the given issues only."""
        used = sorted(set(compress(self.codes, members)) - {NO_VALUE})
        place = dict(zip(used, count(NO_VALUE + 1), strict=False))
        codes = [place.get(code, NO_VALUE) for code in self.codes]
        texts = [self.texts[code] for code in used]
        return texts, bytearray(codes) if len(texts) < NARROW else array("I", codes)

    def restore(self, texts: Sequence[str | None], codes: Codes) -> None:
        """Hold again what was kept."""
        self._add_texts(texts)
        self.codes = codes

    def find_values(self, values: Iterable[str]) -> bytes:
        """Return the issues that have one of some values."""
        is_selected = [False] * len(self.texts)
        for value in values:
            for code in self._codes_of.get(self._fold(value), ()):
                is_selected[code] = True
        return self.find_codes(is_selected)

    def find_codes(self, selection: Sequence[bool]) -> bytes:
        """Return the issues that have a wanted code: one for each of ``held``."""
        if isinstance(self.codes, bytearray):
            return bytes(self.codes.translate(bytes(selection).ljust(NARROW, b"\0")))
        return bytes(map(selection.__getitem__, self.codes))

    def count_values(self, members: bytes) -> Counter[str]:
        """Return how many issues of a set have each value; as it is spelled most often."""
        spelled: dict[str, int] = {}
        for code, number in self._count_codes(members):
            for distinct_value in self._distinct_values[code]:
                spelled[distinct_value] = spelled.get(distinct_value, 0) + number
        result: Counter[str] = Counter()
        best: dict[str, str] = {}
        for distinct_value, number in spelled.items():
            folded = self._fold(distinct_value)
            result[folded] += number
            if number > spelled.get(best.get(folded, ""), 0):
                best[folded] = distinct_value
        return Counter({best[folded]: number for folded, number in result.items()})

    def _count_codes(self, members: bytes) -> Iterable[tuple[int, int]]:
        # All bytes are looked through once for each value, in the time in which so many issues are counted one by one.
        is_few = members.count(1) * BYTES_PER_ISSUE < len(self.texts) * len(members)
        if is_few or not isinstance(self.codes, bytearray):
            return Counter(compress(self.codes, members)).items()
        # What is not in the set becomes nothing.
        there = intersection(bytes(self.codes), members.replace(b"\1", b"\xff"))
        counted = ((code, there.count(code)) for code in range(NO_VALUE + 1, len(self.texts)))
        return [(code, number) for code, number in counted if number]

    def _add_texts(self, texts: Iterable[str | None]) -> None:
        for text in texts:
            self._code_by_text[text] = len(self.texts)
            self.texts.append(text)
            once = {self._fold(item): item for item in (() if text is None else self._values_of(text))}
            self._distinct_values.append(tuple(once.values()))
            for folded in once:
                self._codes_of.setdefault(folded, []).append(self._code_by_text[text])
        if isinstance(self.codes, bytearray) and len(self.texts) > NARROW:
            self.codes = array("I", list(self.codes))


def make_text_column() -> Column:
    """Return a column of texts."""
    return Column(lambda value: (value,) if value else (), str)


def make_list_column() -> Column:
    """Return a column of lists of names in JSON; names are case-insensitive, as in queries."""
    return Column(lambda value: tuple(orjson.loads(value)), fold)


COLUMNS = "columns"

#: Of what is written here. Another one is not read.
FORMAT = 1

#: Bytes of the length of the part in JSON, which goes first.
PREFIX = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The columns of all issues."""

    #: The issues that were uploaded up to it are in the columns, and those removed up to the other are not.
    counter: int
    removals: int
    #: The set of all issues, and when each came into its status.
    members: bytes
    status_since: "array[int]"
    #: By field: what the codes stand for, and the code of each issue.
    columns: Mapping[str, tuple[Sequence[str | None], Codes]]


def pack_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot as bytes."""
    columns = sorted(snapshot.columns.items())
    head = orjson.dumps(
        {
            **_describe_machine(),
            "mark": snapshot.counter,
            "removals": snapshot.removals,
            "size": len(snapshot.members),
            "columns": [[name, value, isinstance(codes, bytearray)] for name, (value, codes) in columns],
        }
    )
    arrays = [bytes(codes) if isinstance(codes, bytearray) else codes.tobytes() for _, (_, codes) in columns]
    return b"".join([len(head).to_bytes(PREFIX), head, snapshot.members, snapshot.status_since.tobytes(), *arrays])


def unpack_snapshot(content: bytes) -> Snapshot | None:
    """Parse a snapshot; return None if another version or kind of machine wrote it."""
    begin = PREFIX + int.from_bytes(content[:PREFIX])
    try:
        head: dict[str, Any] = orjson.loads(content[PREFIX:begin])
    except orjson.JSONDecodeError:
        return None
    if any(head.get(name) != value for name, value in _describe_machine().items()):
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
        name: (value, bytearray(condition) if is_narrow else condition)
        for (name, value, is_narrow), condition in zip(head["columns"], codes, strict=True)
    }
    return Snapshot(head["mark"], head["removals"], members, since, columns)


def load_snapshot(connection: sa.Connection) -> Snapshot | None:
    """Return the snapshot of a database, if it has one that can be read."""
    query = sa.select(snapshots.c.content).where(snapshots.c.name == COLUMNS)
    content = connection.execute(query).scalar_one_or_none()
    return None if content is None else unpack_snapshot(content)


def save_snapshot(connection: sa.Connection, snapshot: Snapshot) -> None:
    """Put a snapshot in the place of the one before."""
    connection.execute(sa.delete(snapshots).where(snapshots.c.name == COLUMNS))
    connection.execute(sa.insert(snapshots).values(name=COLUMNS, content=pack_snapshot(snapshot)))


def _describe_machine() -> dict[str, Any]:
    return {"format": FORMAT, "order": sys.byteorder, "widths": f"{array('q').itemsize} {array('I').itemsize}"}


T = TypeVar("T")

#: Facets of one value, and of several, by the columns that hold them.
SINGLE_COLUMNS = {"tenant": "tenant_id", "tracker": "tracker_id"} | {
    name: name for name in ("type", "status", "priority", "owner", "project")
}
LIST_COLUMNS = {"sprint": "sprints", "release": "releases", "label": "labels"}

#: So many issues are read at once.
CHUNK_SIZE = 5_000

#: So many issues that were read are worth a new snapshot.
SNAPSHOT_THRESHOLD = 5_000


#: The fields of an issue that are held by a column alone, by folded path: what a query says of them depends on nothing
#: else. An object is more than its name, and of lists, the facts of the store lead to an answer sooner.
QUERYABLE_PATHS = {(name,): name for name in ("type", "status", "priority", "owner")} | {("project", "name"): "project"}

#: Comparisons of which the answers are kept.
MAX_CACHED = 200


@dataclass(frozen=True, slots=True)
class NewestIssues:
    """What came into its status last."""

    #: How many there are, and when they came on average.
    count: int
    mean: float | None
    #: The numbers of the last of them, the very last first.
    numbers: Sequence[int]


class ColumnIndex:
    """The columns of a server's issues, refreshed before reads."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._counter = 0
        self._removal_counter = 0
        #: How many issues were read since the last snapshot.
        self._unsaved_count = 0
        self._members = bytearray()
        self.status_since = array("q")
        self.columns: dict[str, Column] = {name: make_text_column() for name in SINGLE_COLUMNS}
        self.columns |= {name: make_list_column() for name in LIST_COLUMNS}
        #: By comparison: whether each value matches.
        self._matches: OrderedDict[Comparison, list[bool]] = OrderedDict()

    async def refresh(self, connection: AsyncConnection) -> int:
        """Read what was uploaded since; the mark of what the connection sees, which may be older than the columns."""
        now = await connection.run_sync(issue_writer.read_counter)
        async with self._lock:
            if now > self._counter:
                await self._read(connection, now)
                self._counter = now
        return now

    async def take_snapshot(self) -> Snapshot | None:
        """Return what to keep; None where that is not worth it."""
        if not self._counter or self._unsaved_count < SNAPSHOT_THRESHOLD:
            return None
        return await self._run_in_thread(self._take_snapshot)

    def mark_saved(self, snapshot: Snapshot) -> None:
        """Note that a snapshot was kept."""
        if snapshot.counter == self._counter:
            self._unsaved_count = 0

    def _take_snapshot(self) -> Snapshot:
        members = self.members
        columns = {name: column.export(members) for name, column in self.columns.items()}
        return Snapshot(self._counter, self._removal_counter, members, self.status_since[:], columns)

    def _restore(self, snapshot: Snapshot | None, now: int) -> None:
        # One from after what the connection sees is none of its past.
        if snapshot is None or snapshot.counter > now or snapshot.columns.keys() != self.columns.keys():
            return
        self._counter, self._removal_counter = snapshot.counter, snapshot.removals
        self._members[:] = snapshot.members
        self.status_since = snapshot.status_since
        for name, (texts, codes) in snapshot.columns.items():
            self.columns[name].restore(texts, codes)

    async def _read(self, connection: AsyncConnection, now: int) -> None:
        removals = await connection.run_sync(issue_writer.read_counter, issue_writer.REMOVALS)
        if not self._members:
            self._restore(await connection.run_sync(load_snapshot), now)
        if removals != self._removal_counter:
            # A number that is given again has a later mark: it is read below.
            numbers, size = sa.select(issues.c.number), len(self._members)
            self._members[:] = await connection.run_sync(sqlite.collect_members, numbers, size)
            self._removal_counter = removals
            self._unsaved_count += SNAPSHOT_THRESHOLD
        texts = [sa.type_coerce(issues.c[name], sa.Text) for name in (*SINGLE_COLUMNS.values(), *LIST_COLUMNS.values())]
        query = sa.select(issues.c.number, issues.c.mark, issues.c.status_since, *texts)
        query = query.order_by(issues.c.mark, issues.c.number).limit(CHUNK_SIZE)
        mark, number = self._counter + 1, 0
        while True:
            later = sa.tuple_(issues.c.mark, issues.c.number) > sa.tuple_(sa.literal(mark), sa.literal(number))
            rows = (await connection.execute(query.where(later))).all()
            self._put(rows)
            self._unsaved_count += len(rows)
            if len(rows) < CHUNK_SIZE:
                return
            mark, number = rows[-1].mark, rows[-1].number

    def _put(self, rows: Sequence[Any]) -> None:
        if not rows:
            return
        numbers, _, since, *stored = zip(*rows, strict=True)
        more = max(numbers) + 1 - len(self._members)
        if more > 0:
            self._members.extend(bytes(more))
            self.status_since.extend(repeat(0, more))
            for column in self.columns.values():
                column.extend(more)
        for number, moment in zip(numbers, since, strict=True):
            self._members[number] = 1
            self.status_since[number] = moment
        for column, texts in zip(self.columns.values(), stored, strict=True):
            column.put(numbers, texts)

    @property
    def members(self) -> bytes:
        """Every issue."""
        return bytes(self._members)

    @property
    def removal_counter(self) -> int:
        """The mark of the removals: after one, numbers may be given again."""
        return self._removal_counter

    async def filter_by_values(self, members: bytes, field: str, values: Iterable[str]) -> bytes:
        """Return the issues of a set that have one of some values in a field."""
        return intersection(members, await self._run_in_thread(self.columns[field].find_values, values))

    async def count_values(self, field: str, members: bytes) -> Counter[str]:
        """Return how many issues of a set have each value of a field."""
        return await self._run_in_thread(self.columns[field].count_values, members)

    async def find_newest(self, members: bytes, most: int) -> NewestIssues:
        """Return the issues of a set that came into their status last, at most so many."""
        return await self._run_in_thread(_select_newest, self.status_since, members, most)

    def find_matching(self, leaf: Comparison, *, now: datetime) -> bytes | None:
        """Return the issues that a comparison is true of; None where columns do not tell.

        Every value is held against ``matches`` once, which says what a query means.
        """
        path = tuple(fold(name) for name in leaf.path)
        if leaf.item != "issue" or path not in QUERYABLE_PATHS or sql.has_age(leaf):
            return None
        column = self.columns[QUERYABLE_PATHS[path]]
        known = self._matches.setdefault(leaf, [False])
        self._matches.move_to_end(leaf)
        known += (matches(leaf, _make_partial_issue(path, text), now=now) for text in column.texts[len(known) :])
        if len(self._matches) > MAX_CACHED:
            self._matches.popitem(last=False)
        return column.find_codes(known)

    async def _run_in_thread(self, count: Callable[..., T], *given: Any) -> T:
        """Go through a column in a thread, while others are answered; none changes in the meantime."""
        async with self._lock:
            return await asyncio.to_thread(count, *given)


def _make_partial_issue(path: Sequence[str], text: str | None) -> dict[str, Any]:
    """Return as much of an issue as a column holds."""
    name, *rest = path
    return {name: _make_partial_issue(rest, text) if rest else text}


def _select_newest(since: "array[int]", members: bytes, most: int) -> NewestIssues:
    moments = list(compress(since, members))
    if not moments:
        return NewestIssues(0, None, ())
    # Of several in one moment, those that came last.
    last = min(nlargest(most, moments), default=max(moments) + 1)
    result = [
        (moment, number) for moment, number in zip(moments, iterate_numbers(members), strict=True) if moment >= last
    ]
    numbers = [number for _, number in sorted(result, reverse=True)[:most]]
    return NewestIssues(len(moments), sum(moments) / len(moments), numbers)
