"""Search for revisions in all histories of a workspace; only the histories on a page are generated.

The shape of an item's history determines the words in its revision texts (``history_shapes.py``), so that rows are
counted from arrays and only the rows of a page are generated. Rows are sorted by ObjectID or as ``order`` says.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rally_sandbox import history_generator, sample_names
from rally_sandbox.attribute_values import get_value
from rally_sandbox.auth import Scope
from rally_sandbox.history_shapes import Shape
from rally_sandbox.item_columns import FIRST_NEW_ID, make_revision_id
from rally_sandbox.item_search import (
    EVERYTHING,
    HIGHEST,
    LOWEST,
    Ranges,
    contains,
    convert_to_ranges,
    extract_ranges,
    find_spans,
    intersect_ranges,
    is_exact,
    make_date_reader,
    make_reference_reader,
    make_sort_key,
)
from rally_sandbox.parameters import OrderKey, Paging
from rally_sandbox.query import (
    BooleanOperation,
    Condition,
    Predicate,
    Query,
    QueryContext,
    compile_query,
    iter_conjuncts,
    parse_number,
)
from rally_sandbox.records import RevisionRow
from rally_sandbox.schema import TYPES

if TYPE_CHECKING:
    from rally_sandbox.world import World


#: Tests a revision by its number and the prefixes of its clauses.
RevisionTest = Callable[[int, Sequence[str]], bool]

#: The separator of two values, which is in every text but in no prefix.
_VALUE_SEPARATOR = "] to ["


def match_shapes(world: "World", conditions: Sequence[Query]) -> Sequence[Sequence[int]] | None:
    """Return the matching revision numbers of each shape, or None if the conditions depend on values."""
    if world.hostile_share:
        # Values can contain any text, so shapes don't determine the words of revision texts.
        return None
    tests: list[RevisionTest] = []
    for condition in conditions:
        test = _compile_shape_test(world, condition)
        if test is None:
            return None
        tests.append(test)
    return [_match_shape(shape, tests) for shape in world.shapes.shapes]


def _match_shape(shape: Shape, tests: Sequence[RevisionTest]) -> tuple[int, ...]:
    return tuple(
        position
        for position, clause_prefixes in enumerate(shape.clause_prefixes)
        if all(test(position, clause_prefixes) for test in tests)
    )


def _compile_shape_test(world: "World", query: Query) -> RevisionTest | None:  # noqa: PLR0911 - one table
    match query:
        case Condition(path=("Description",), operator="contains" | "!contains" as operator, value=text):
            folded = text.casefold()
            if not _is_decidable(world, folded):
                return None
            positive = operator == "contains"
            return lambda _, prefixes: any(folded in prefix.casefold() for prefix in prefixes) is positive
        case Condition(path=("RevisionNumber",), operator=operator, value=text) if (
            operator != "in" and not query.is_null
        ):
            ranges = convert_to_ranges(operator, parse_number(text))
            if ranges is None:
                return None
            return lambda position, _: any(low <= position <= high for low, high in ranges)
        case BooleanOperation(left, junction, right):
            one, other = _compile_shape_test(world, left), _compile_shape_test(world, right)
            if one is None or other is None:
                return None
            if junction == "AND":
                return lambda position, prefixes: one(position, prefixes) and other(position, prefixes)
            return lambda position, prefixes: one(position, prefixes) or other(position, prefixes)
        case _:
            return None


def _is_decidable(world: "World", text: str) -> bool:
    if not text or text in _VALUE_SEPARATOR:
        return False
    if not any(
        text in prefix.casefold() for shape in world.shapes.shapes for line in shape.clause_prefixes for prefix in line
    ):
        return False
    return text not in build_vocabulary(world)


def build_vocabulary(world: "World") -> str:
    """Return all words that generated values contain, case-folded; the result is cached."""
    if world.vocabulary is None:
        # Definitions have the same names as labels, but no item refers to them.
        words = [record.first_name for record in world.company.by_id.values() if not record.type.endswith("Definition")]
        for value in vars(sample_names).values():
            words.extend(_collect_texts(value))
        words.extend(
            (*history_generator.ENDINGS, *history_generator.COLORS, history_generator.SAMPLE_TEXT, "true", "false")
        )
        # A date, in which only the digits and the names of days and months vary.
        words.append("mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec mst mdt points")
        world.vocabulary = "\n".join(words).casefold()
    return world.vocabulary


def _collect_texts(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case tuple():
            return [text for element in value for text in _collect_texts(element)]
        case _:
            return []


_TYPE = TYPES["revision"]
_HISTORIES = ("RevisionHistory.ObjectID", "RevisionHistory")


@dataclass(frozen=True, slots=True)
class RevisionPage:
    """A page of rows and the total count."""

    rows: Sequence[RevisionRow]
    total: int


def find_revisions(
    world: "World",
    query: Query | None,
    *,
    paging: Paging,
    order: Sequence[OrderKey],
    scope: Scope,
    context: QueryContext,
) -> RevisionPage:
    """Return the revisions of visible items and of records in the workspace that match a query."""
    search = _Search(world, query, scope, context)
    by_id = not order or (order[0].name == "ObjectID" and not order[0].descending)
    if by_id:
        return search.fetch_page(paging)
    rows = list(search.iter_rows())
    for key in reversed(order):
        attribute = _TYPE.attributes[key.name]
        rows.sort(key=lambda row: make_sort_key(get_value(world, row, attribute)), reverse=key.descending)
    return RevisionPage(rows[paging.window], len(rows))


class _Search:
    def __init__(self, world: "World", query: Query | None, scope: Scope, context: QueryContext) -> None:
        self._world = world
        self._scope = scope
        self._histories: Ranges = EVERYTHING
        self._ids: Ranges = EVERYTHING
        since, until = LOWEST, HIGHEST
        self._predicate: Predicate = lambda _: True
        rest: list[Query] = []
        if query is not None:
            self._predicate = compile_query(query, (_TYPE,), world, context)
            self._histories = _extract_history_ranges(query, context)
            by_id = extract_ranges(query, "ObjectID", parse_number)
            self._ids = EVERYTHING if by_id is None else by_id
            created = extract_ranges(query, "CreationDate", make_date_reader(context))
            if created is not None:
                since, until = (created[0][0], created[-1][1]) if created else (HIGHEST, LOWEST)
            rest = [part for part in iter_conjuncts(query) if not _is_covered_by_ranges(part)]
        self._is_partial = self._ids != EVERYTHING
        self._candidates = self._find_candidates(since, until)
        self._numbers_by_shape = match_shapes(world, rest)

    def _find_candidates(self, since: int, until: int) -> Sequence[int]:
        """Return the ascending indexes of the items whose histories can contain matching rows.

        Bounds of revision ids don't limit them, because an old item can have new revisions.
        """
        world, columns = self._world, self._world.columns
        teams = bytes(
            team.project.object_id in self._scope.visible and team.project.values["State"] == "Open"
            for team in world.company.teams
        )
        spans = find_spans(columns.history_id, self._histories)
        indexes: Iterable[int] = (index for begin, end in spans for index in range(begin, end))
        if since > LOWEST and self._histories == EVERYTHING:
            # No revision is newer than its item's last update.
            indexes = sorted(world.find_updated_since(since))
        team_of, created = columns.team, columns.created
        return [index for index in indexes if teams[team_of[index]] and created[index] <= until]

    def fetch_page(self, paging: Paging) -> RevisionPage:
        """Return a page of the rows, ascending by ObjectID."""
        old, new = self._read_record_rows()
        counts = self._count_rows()
        new = sorted([*new, *self._read_new_rows()], key=lambda row: row.object_id)
        total = len(old) + sum(counts) + len(new)
        first, last = paging.start - 1, paging.start - 1 + paging.size
        rows = old[first:last]
        passed = len(old)
        for index, count in zip(self._candidates, counts, strict=True):
            if passed >= last:
                break
            if count and passed + count > first:
                rows.extend(self._read_generated_rows(index)[max(0, first - passed) : last - passed])
            passed += count
        before_new = total - len(new)
        rows.extend(new[max(0, first - before_new) : max(0, last - before_new)])
        return RevisionPage(rows, total)

    def iter_rows(self) -> Iterator[RevisionRow]:
        """Yield all rows, ascending by ObjectID except for the newest records."""
        old, new = self._read_record_rows()
        yield from old
        for index, count in zip(self._candidates, self._count_rows(), strict=True):
            if count:
                yield from self._read_generated_rows(index)
        yield from new
        yield from self._read_new_rows()

    def _count_rows(self) -> list[int]:
        """Count the generated rows of each candidate."""
        world, candidates = self._world, self._candidates
        if self._numbers_by_shape is None:
            return [len(self._read_generated_rows(index)) for index in candidates]
        if self._is_partial:
            return [len(self._select_numbers(index)) for index in candidates]
        # Items created later have no generated history and therefore no shape.
        sizes, shapes, generated = (
            [len(numbers) for numbers in self._numbers_by_shape],
            world.columns.shape,
            world.generated,
        )
        return [sizes[shapes[index]] if index < generated else 0 for index in candidates]

    def _select_numbers(self, index: int) -> Sequence[int]:
        """Select the matching generated revisions of an item by its shape."""
        world = self._world
        assert self._numbers_by_shape is not None  # the caller has looked
        if index >= world.generated:
            return ()
        numbers = self._numbers_by_shape[world.columns.shape[index]]
        if not self._is_partial:
            return numbers
        first = world.columns.revisions[index]
        return [number for number in numbers if contains(self._ids, make_revision_id(first + number))]

    def _read_generated_rows(self, index: int) -> list[RevisionRow]:
        item = self._world.item(index)
        if self._numbers_by_shape is not None:
            return [RevisionRow(item, item.changes[number]) for number in self._select_numbers(index)]
        count = self._world.count_generated_revisions(index)
        return [row for change in item.changes[:count] if self._predicate(row := RevisionRow(item, change))]

    def _read_new_rows(self) -> list[RevisionRow]:
        world, candidates = self._world, frozenset(self._candidates)
        rows: list[RevisionRow] = []
        for _, index, position in world.new_revisions:
            if index in candidates:
                item = world.item(index)
                row = RevisionRow(item, item.changes[position])
                if self._predicate(row):
                    rows.append(row)
        return rows

    def _read_record_rows(self) -> tuple[list[RevisionRow], list[RevisionRow]]:
        """Read the rows of projects, timeboxes and other records, older and newer than the rows of items."""
        world = self._world
        old: list[RevisionRow] = []
        new: list[RevisionRow] = []
        for record in world.company.by_id.values():
            history = record.history_id
            if history and record.workspace is self._scope.workspace and contains(self._histories, history):
                for change in world.revisions_of(record):
                    row = RevisionRow(record, change)
                    if self._predicate(row):
                        (old if row.object_id < FIRST_NEW_ID else new).append(row)
        old.sort(key=lambda row: row.object_id)
        return old, new


def _is_covered_by_ranges(query: Query) -> bool:
    """Return whether ranges fully cover a part of the query."""
    if any(is_exact(query, frozenset({column})) for column in _HISTORIES):
        return True
    return isinstance(query, Condition) and query.path == ("ObjectID",) and not query.is_null


def _extract_history_ranges(query: Query, context: QueryContext) -> Ranges:
    by_id = extract_ranges(query, "RevisionHistory.ObjectID", parse_number)
    by_reference = extract_ranges(
        query, "RevisionHistory", make_reference_reader(_TYPE.attributes["RevisionHistory"], context)
    )
    ranges = EVERYTHING
    for bounds in (by_id, by_reference):
        if bounds is not None:
            ranges = intersect_ranges(ranges, bounds)
    return ranges
