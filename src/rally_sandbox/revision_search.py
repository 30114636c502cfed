"""Finding revisions among all histories of a workspace, without making the histories that are not shown.

A life's shape tells which words the texts of its revisions contain (``shapes.py``), so that rows can be counted from
arrays: only the rows of a page are made. Rows come by ObjectID, or by whatever ``order`` asks for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rally_sandbox import history_generator, sample_names
from rally_sandbox.attribute_values import value_of
from rally_sandbox.auth import Scope
from rally_sandbox.history_shapes import Shape
from rally_sandbox.item_columns import FIRST_NEW_ID, revision_id
from rally_sandbox.item_search import (
    EVERYTHING,
    HIGHEST,
    LOWEST,
    Ranges,
    comparison,
    contains,
    date_reader,
    intersection,
    is_exact,
    positions,
    ranges_of,
    reference_reader,
    sortable,
)
from rally_sandbox.parameters import OrderKey, Paging
from rally_sandbox.query import Asker, Both, Condition, Predicate, Query, compiled, conjuncts, number
from rally_sandbox.records import RevisionRow
from rally_sandbox.schema import TYPES

if TYPE_CHECKING:
    from rally_sandbox.world import World


#: Tells of one revision, by its number and the beginnings of its clauses, whether it is wanted.
Wanted = Callable[[int, Sequence[str]], bool]

#: What stands between two values; no beginning, but in every text.
_BETWEEN = "] to ["


def numbers_by_shape(world: "World", conditions: Sequence[Query]) -> Sequence[Sequence[int]] | None:
    """For each shape, which of its revisions fulfil all conditions; None when values would have to be read."""
    if world.hostile_share:
        # Values are made of anything, and texts say more than their shapes.
        return None
    tests: list[Wanted] = []
    for condition in conditions:
        test = _test(world, condition)
        if test is None:
            return None
        tests.append(test)
    return [_numbers(shape, tests) for shape in world.shapes.shapes]


def _numbers(shape: Shape, tests: Sequence[Wanted]) -> tuple[int, ...]:
    return tuple(
        position
        for position, beginnings in enumerate(shape.beginnings)
        if all(test(position, beginnings) for test in tests)
    )


def _test(world: "World", query: Query) -> Wanted | None:  # noqa: PLR0911 - one table
    match query:
        case Condition(path=("Description",), operator="contains" | "!contains" as operator, value=text):
            folded = text.casefold()
            if not _is_decidable(world, folded):
                return None
            wanted = operator == "contains"
            return lambda _, beginnings: any(folded in each.casefold() for each in beginnings) is wanted
        case Condition(path=("RevisionNumber",), operator=operator, value=text) if (
            operator != "in" and not query.is_null
        ):
            ranges = comparison(operator, number(text))
            if ranges is None:
                return None
            return lambda position, _: any(low <= position <= high for low, high in ranges)
        case Both(left, junction, right):
            one, other = _test(world, left), _test(world, right)
            if one is None or other is None:
                return None
            if junction == "AND":
                return lambda position, beginnings: one(position, beginnings) and other(position, beginnings)
            return lambda position, beginnings: one(position, beginnings) or other(position, beginnings)
        case _:
            return None


def _is_decidable(world: "World", text: str) -> bool:
    if not text or text in _BETWEEN:
        return False
    if not any(text in each.casefold() for shape in world.shapes.shapes for line in shape.beginnings for each in line):
        return False
    return text not in vocabulary(world)


def vocabulary(world: "World") -> str:
    """Every word that a value of the generated past is made of, case-folded."""
    if world.vocabulary is None:
        # Definitions bear the very names that labels are made of, but no item refers to them.
        words = [each.first_name for each in world.company.by_id.values() if not each.type.endswith("Definition")]
        for value in vars(sample_names).values():
            words.extend(_texts(value))
        words.extend(
            (*history_generator.ENDINGS, *history_generator.COLOURS, history_generator.SAMPLE_TEXT, "true", "false")
        )
        # A date, in which only the digits and the names of days and months vary.
        words.append("mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec mst mdt points")
        world.vocabulary = "\n".join(words).casefold()
    return world.vocabulary


def _texts(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case tuple():
            return [text for each in value for text in _texts(each)]
        case _:
            return []


_TYPE = TYPES["revision"]
_HISTORIES = ("RevisionHistory.ObjectID", "RevisionHistory")


@dataclass(frozen=True, slots=True)
class Found:
    """A page of rows, and how many there are in all."""

    rows: Sequence[RevisionRow]
    total: int


def find_revisions(
    world: "World", query: Query | None, *, paging: Paging, order: Sequence[OrderKey], scope: Scope, asker: Asker
) -> Found:
    """The revisions of visible items and of records in the workspace that a query finds."""
    search = _Search(world, query, scope, asker)
    by_id = not order or (order[0].name == "ObjectID" and not order[0].descending)
    if by_id:
        return search.page(paging)
    rows = list(search.rows())
    for key in reversed(order):
        attribute = _TYPE.attributes[key.name]
        rows.sort(key=lambda row: sortable(value_of(world, row, attribute)), reverse=key.descending)
    return Found(rows[paging.window], len(rows))


class _Search:
    def __init__(self, world: "World", query: Query | None, scope: Scope, asker: Asker) -> None:
        self._world = world
        self._scope = scope
        self._histories: Ranges = EVERYTHING
        self._ids: Ranges = EVERYTHING
        since, until = LOWEST, HIGHEST
        self._keeps: Predicate = lambda _: True
        rest: list[Query] = []
        if query is not None:
            self._keeps = compiled(query, (_TYPE,), world, asker)
            self._histories = _histories(query, asker)
            by_id = ranges_of(query, "ObjectID", number)
            self._ids = EVERYTHING if by_id is None else by_id
            created = ranges_of(query, "CreationDate", date_reader(asker))
            if created is not None:
                since, until = (created[0][0], created[-1][1]) if created else (HIGHEST, LOWEST)
            rest = [each for each in conjuncts(query) if not _is_settled(each)]
        self._is_partial = self._ids != EVERYTHING
        self._candidates = self._find_candidates(since, until)
        self._fast = numbers_by_shape(world, rest)

    def _find_candidates(self, since: int, until: int) -> Sequence[int]:
        """Indexes, ascending, of the items whose histories may hold rows.

        Bounds of revision ids do not narrow them: an old item may have new revisions. They are counted at the edges.
        """
        world, columns = self._world, self._world.columns
        teams = bytes(
            team.project.object_id in self._scope.visible and team.project.values["State"] == "Open"
            for team in world.company.teams
        )
        spans = positions(columns.history_id, self._histories)
        indexes: Iterable[int] = (index for begin, end in spans for index in range(begin, end))
        if since > LOWEST and self._histories == EVERYTHING:
            # No revision is younger than its item's last update.
            indexes = sorted(world.updated_since(since))
        team_of, created = columns.team, columns.created
        return [index for index in indexes if teams[team_of[index]] and created[index] <= until]

    def page(self, paging: Paging) -> Found:
        """Rows ascending by ObjectID."""
        old, new = self._rows_of_records()
        counts = self._counts()
        new = sorted([*new, *self._new_rows()], key=lambda row: row.object_id)
        total = len(old) + sum(counts) + len(new)
        first, last = paging.start - 1, paging.start - 1 + paging.size
        rows = old[first:last]
        passed = len(old)
        for index, count in zip(self._candidates, counts, strict=True):
            if passed >= last:
                break
            if count and passed + count > first:
                rows.extend(self._old_rows(index)[max(0, first - passed) : last - passed])
            passed += count
        before_new = total - len(new)
        rows.extend(new[max(0, first - before_new) : max(0, last - before_new)])
        return Found(rows, total)

    def rows(self) -> Iterator[RevisionRow]:
        """Every row, ascending by ObjectID but for the newest records."""
        old, new = self._rows_of_records()
        yield from old
        for index, count in zip(self._candidates, self._counts(), strict=True):
            if count:
                yield from self._old_rows(index)
        yield from new
        yield from self._new_rows()

    def _counts(self) -> list[int]:
        """How many rows of the generated past each candidate has."""
        world, candidates = self._world, self._candidates
        if self._fast is None:
            return [len(self._old_rows(index)) for index in candidates]
        if self._is_partial:
            return [len(self._numbers(index)) for index in candidates]
        # Items made later have no generated past, and so no shape.
        sizes, shapes, made = [len(numbers) for numbers in self._fast], world.columns.shape, world.generated
        return [sizes[shapes[index]] if index < made else 0 for index in candidates]

    def _numbers(self, index: int) -> Sequence[int]:
        """The revisions of an item's generated past that are wanted, when its shape tells."""
        world = self._world
        assert self._fast is not None  # the caller has looked
        if index >= world.generated:
            return ()
        numbers = self._fast[world.columns.shape[index]]
        if not self._is_partial:
            return numbers
        first = world.columns.revisions[index]
        return [number for number in numbers if contains(self._ids, revision_id(first + number))]

    def _old_rows(self, index: int) -> list[RevisionRow]:
        item = self._world.item(index)
        if self._fast is not None:
            return [RevisionRow(item, item.changes[number]) for number in self._numbers(index)]
        count = self._world.generated_revisions(index)
        return [row for change in item.changes[:count] if self._keeps(row := RevisionRow(item, change))]

    def _new_rows(self) -> list[RevisionRow]:
        world, candidates = self._world, frozenset(self._candidates)
        rows: list[RevisionRow] = []
        for _, index, position in world.new_revisions:
            if index in candidates:
                item = world.item(index)
                row = RevisionRow(item, item.changes[position])
                if self._keeps(row):
                    rows.append(row)
        return rows

    def _rows_of_records(self) -> tuple[list[RevisionRow], list[RevisionRow]]:
        """The rows of projects, timeboxes and other records: those older than every item's, and those younger."""
        world = self._world
        old: list[RevisionRow] = []
        new: list[RevisionRow] = []
        for record in world.company.by_id.values():
            history = record.history_id
            if history and record.workspace is self._scope.workspace and contains(self._histories, history):
                for change in world.revisions_of(record):
                    row = RevisionRow(record, change)
                    if self._keeps(row):
                        (old if row.object_id < FIRST_NEW_ID else new).append(row)
        old.sort(key=lambda row: row.object_id)
        return old, new


def _is_settled(query: Query) -> bool:
    """Whether the ranges say all about a part of the query."""
    if any(is_exact(query, frozenset({column})) for column in _HISTORIES):
        return True
    return isinstance(query, Condition) and query.path == ("ObjectID",) and not query.is_null


def _histories(query: Query, asker: Asker) -> Ranges:
    by_id = ranges_of(query, "RevisionHistory.ObjectID", number)
    by_reference = ranges_of(query, "RevisionHistory", reference_reader(_TYPE.attributes["RevisionHistory"], asker))
    found = EVERYTHING
    for each in (by_id, by_reference):
        if each is not None:
            found = intersection(found, each)
    return found
