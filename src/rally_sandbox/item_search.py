"""Search for work items: candidates from the arrays, filters for the other conditions, and sorting."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rally_sandbox.attribute_values import get_value
from rally_sandbox.auth import Login, Scope
from rally_sandbox.errors import QueryError
from rally_sandbox.item_columns import KINDS, Columns
from rally_sandbox.parameters import OrderKey
from rally_sandbox.query import (
    BooleanOperation,
    Condition,
    Query,
    QueryContext,
    compile_query,
    iter_conjuncts,
    parse_date,
    parse_number,
    parse_reference,
    resolve_condition,
)
from rally_sandbox.records import Entity, Record
from rally_sandbox.schema import TYPES, Attribute, Type

if TYPE_CHECKING:
    from rally_sandbox.world import World


Ranges = tuple[tuple[int, int], ...]

LOWEST, HIGHEST = -(1 << 62), 1 << 62
EVERYTHING: Ranges = ((LOWEST, HIGHEST),)


def convert_to_ranges(operator: str, value: float) -> Ranges | None:  # noqa: PLR0911 - one table
    """Convert ``x operator value`` to ranges of integers; return None for other operators."""
    floor, ceiling = math.floor(value), math.ceil(value)
    match operator:
        case "=":
            return ((floor, floor),) if floor == ceiling else ()
        case "<":
            return ((LOWEST, ceiling - 1),)
        case "<=":
            return ((LOWEST, floor),)
        case ">":
            return ((floor + 1, HIGHEST),)
        case ">=":
            return ((ceiling, HIGHEST),)
        case "!=" if floor == ceiling:
            return ((LOWEST, floor - 1), (floor + 1, HIGHEST))
        case _:
            return None


def unite_ranges(*sets: Ranges) -> Ranges:
    """Return the integers in any of the sets."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(bounds for ranges in sets for bounds in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return tuple(merged)


def intersect_ranges(one: Ranges, other: Ranges) -> Ranges:
    """Return the integers in both sets."""
    if one == EVERYTHING:
        return other
    if other == EVERYTHING:
        return one
    common: list[tuple[int, int]] = []
    i = j = 0
    while i < len(one) and j < len(other):
        low = max(one[i][0], other[j][0])
        high = min(one[i][1], other[j][1])
        if low <= high:
            common.append((low, high))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return tuple(common)


def find_spans(values: Sequence[int], ranges: Ranges) -> list[tuple[int, int]]:
    """Return the half-open index ranges of the members of an ascending sequence that are in a set."""
    spans = [(bisect_left(values, low), bisect_right(values, high)) for low, high in ranges]
    return [(begin, end) for begin, end in spans if begin < end]


def contains(ranges: Ranges, value: int) -> bool:
    """Return whether a set contains a number."""
    return any(low <= value <= high for low, high in ranges)


#: Reads the right side of a condition as an integer.
Read = Callable[[str], float]


def extract_ranges(query: Query, column: str, read: Read) -> Ranges | None:
    """Return the values that a column can have in matching rows, or None if the query doesn't limit them.

    Args:
        query: The query.
        column: A dotted attribute name.
        read: Parses a value.
    """
    match query:
        case Condition(path=path, operator=operator, value=value) if ".".join(path) == column and not query.is_null:
            if operator == "in":
                parts = [convert_to_ranges("=", read(part.strip())) for part in value.split(",")]
                return unite_ranges(*(part for part in parts if part is not None))
            return convert_to_ranges(operator, read(value))
        case BooleanOperation(left, junction, right):
            one, other = extract_ranges(left, column, read), extract_ranges(right, column, read)
            if junction == "AND":
                if one is None or other is None:
                    return other if one is None else one
                return intersect_ranges(one, other)
            return None if one is None or other is None else unite_ranges(one, other)
        case _:
            return None


def is_exact(query: Query, columns: frozenset[str]) -> bool:
    """Return whether a query concerns only one of some columns, so that its ranges are exact."""
    match query:
        case Condition(path=path, operator=operator):
            return ".".join(path) in columns and not query.is_null and operator not in {"contains", "!contains"}
        case BooleanOperation(left, _, right):
            return is_exact(left, columns) and is_exact(right, columns)


def make_date_reader(context: QueryContext) -> Read:
    """Create a parser of dates to milliseconds."""
    return lambda text: float(parse_date(text, context))


def make_reference_reader(attribute: Attribute, context: QueryContext) -> Read:
    """Create a parser of references to ObjectIDs."""

    def read(text: str) -> float:
        reference: Any = parse_reference(text, attribute, context)
        if isinstance(reference, str):
            raise QueryError(f'Could not parse: Cannot parse object reference from "{text}"')
        return float(reference)

    return read


IndexFilter = Callable[[int], bool]

#: Columns whose conditions are fully expressed by ranges.
_ASCENDING = frozenset({"ObjectID", "CreationDate"})


def find_items(
    world: "World",
    types: Sequence[Type],
    query: Query | None,
    *,
    order: Sequence[OrderKey],
    scope: Scope,
    context: QueryContext,
) -> Sequence[int]:
    """Return the indexes of the visible items that match a query, sorted."""
    columns = world.columns
    kinds = [KINDS.index(kind.path) for kind in types if kind.path in KINDS]
    candidates = _find_candidates(world, kinds, query, context)
    teams = bytes(
        team.project.object_id in scope.projects and team.project.values["State"] == "Open"
        for team in world.company.teams
    )
    team_of, deleted = columns.team, columns.deleted
    indexes = [index for index in candidates if teams[team_of[index]] and not deleted[index]]
    if query is not None:
        for keep in _compile_filters(world, types, query, context):
            indexes = [index for index in indexes if keep(index)]
    _sort_indexes(world, indexes, order)
    return indexes


def _find_candidates(world: "World", kinds: Sequence[int], query: Query | None, context: QueryContext) -> Iterable[int]:
    columns = world.columns
    ranges = EVERYTHING
    if query is not None:
        for column, values, read in (
            ("ObjectID", columns.object_id, parse_number),
            ("CreationDate", columns.created, make_date_reader(context)),
        ):
            bounds = extract_ranges(query, column, read)
            if bounds is not None:
                spans = tuple((begin, end - 1) for begin, end in find_spans(values, bounds))
                ranges = intersect_ranges(ranges, spans)
        if ranges == EVERYTHING:
            since = extract_ranges(query, "LastUpdateDate", make_date_reader(context))
            if since is not None and since and since[0][0] > LOWEST:
                kind_set = frozenset(kinds)
                return [index for index in world.find_updated_since(since[0][0]) if columns.kind[index] in kind_set]
    indexes: list[int] = []
    for kind in kinds:
        members = columns.of_kind[kind]
        for low, high in ranges:
            begin = 0 if low <= 0 else bisect_left(members, low)
            end = len(members) if high >= len(columns) else bisect_left(members, high + 1)
            indexes.extend(members[begin:end])
    if len(kinds) > 1:
        indexes.sort()
    return indexes


def _compile_filters(world: "World", types: Sequence[Type], query: Query, context: QueryContext) -> list[IndexFilter]:
    """Compile a filter for each ANDed part that ranges don't cover; filters on arrays come first."""
    # Compiling the full query first finds errors in every part.
    compile_query(query, types, world, context)
    cheap: list[IndexFilter] = []
    costly: list[IndexFilter] = []
    for part in iter_conjuncts(query):
        if is_exact(part, _ASCENDING) and isinstance(part, Condition):
            continue
        index_filter = _compile_index_filter(world, types, part, context)
        if index_filter is not None:
            cheap.append(index_filter)
            continue
        predicate = compile_query(part, types, world, context)
        costly.append(lambda index, predicate=predicate: predicate(world.item(index)))  # type: ignore[misc]  # the default binds the loop's value
    return cheap + costly


def _compile_index_filter(
    world: "World", types: Sequence[Type], query: Query, context: QueryContext
) -> IndexFilter | None:
    """Compile a filter that reads only arrays; return None if that is impossible."""
    if isinstance(query, Condition):
        column = _COLUMNS.get(".".join(query.path))
        if column is None:
            return None
        read, test = column(world.columns, world), resolve_condition(query, types, context).test
        return lambda index: test(read(index))
    one, other = (
        _compile_index_filter(world, types, query.first, context),
        _compile_index_filter(world, types, query.second, context),
    )
    if one is None or other is None:
        return None
    if query.operator == "AND":
        return lambda index: one(index) and other(index)
    return lambda index: one(index) or other(index)


def _project_reader(columns: Columns, world: "World") -> Callable[[int], Any]:
    projects = [team.project for team in world.company.teams]
    return lambda index: projects[columns.team[index]]


def _project_id_reader(columns: Columns, world: "World") -> Callable[[int], Any]:
    ids = [team.project.object_id for team in world.company.teams]
    return lambda index: ids[columns.team[index]]


def _project_name_reader(columns: Columns, world: "World") -> Callable[[int], Any]:
    names = [team.project.name for team in world.company.teams]
    return lambda index: names[columns.team[index]]


_COLUMNS: dict[str, Callable[[Columns, "World"], Callable[[int], Any]]] = {
    "ObjectID": lambda columns, _: columns.object_id.__getitem__,
    "CreationDate": lambda columns, _: columns.created.__getitem__,
    "LastUpdateDate": lambda columns, _: columns.updated.__getitem__,
    "FormattedID": lambda columns, _: columns.get_formatted_id,
    "Project": _project_reader,
    "Project.ObjectID": _project_id_reader,
    "Project.Name": _project_name_reader,
}


def _sort_indexes(world: "World", indexes: list[int], order: Sequence[OrderKey]) -> None:
    if not order:
        # The server's default order is undocumented (rally-api-notes.md#paging): items are shuffled.
        indexes.sort(key=lambda index: (index * 2_654_435_761) & 0xFFFFFFFF)
        return
    for key in reversed(order):
        indexes.sort(key=_make_sort_key(world, key.name), reverse=key.descending)


def _make_sort_key(world: "World", name: str) -> Callable[[int], Any]:
    columns = world.columns
    match name:
        case "ObjectID":
            return columns.object_id.__getitem__
        case "CreationDate":
            return columns.created.__getitem__
        case "LastUpdateDate":
            return columns.updated.__getitem__

    def key(index: int) -> Any:
        item = world.item(index)
        if name == "FormattedID":
            return item.type, index
        attribute = TYPES[item.type.lower()].attributes.get(name)
        return make_sort_key(get_value(world, item, attribute)) if attribute is not None else make_sort_key(None)

    return key


def make_sort_key(value: Any) -> tuple[int, Any]:
    """Create a key that sorts unset values first and references by name."""
    match value:
        case None:
            return 0, 0
        case bool() | int() | float():
            return 1, value
        case str():
            return 2, value.casefold()
        case _:
            return 2, str(value.name).casefold()


def find_records(
    world: "World",
    kind: Type,
    query: Query | None,
    *,
    order: Sequence[OrderKey],
    scope: Scope,
    login: Login,
    context: QueryContext,
) -> list[Entity]:
    """Return the visible records of a type that match a query, sorted."""
    visible: list[Entity] = [
        record
        for record in _iter_records(world, kind)
        if _is_visible(record, scope, login) and record.object_id not in world.deleted_user_ids
    ]
    return filter_entities(world, visible, kind, query, order=order, context=context)


def filter_entities(
    world: "World",
    entities: Iterable[Entity],
    kind: Type,
    query: Query | None,
    *,
    order: Sequence[OrderKey],
    context: QueryContext,
    shuffled: bool = True,
) -> list[Entity]:
    """Return the entities that match a query, sorted; without an order, shuffled or in their original order."""
    matching = list(entities)
    if query is not None:
        predicate = compile_query(query, (kind,), world, context)
        matching = [entity for entity in matching if predicate(entity)]
    if not order and shuffled:
        # As for work items: an order that clients can't rely on.
        matching.sort(key=lambda entity: (entity.object_id * 2_654_435_761) & 0xFFFFFFFF)
    for key in reversed(order):
        attribute = kind.attributes[key.name]
        matching.sort(key=lambda entity: make_sort_key(get_value(world, entity, attribute)), reverse=key.descending)
    return matching


def _iter_records(world: "World", kind: Type) -> Iterable[Record]:
    if kind.path == "RecycleBinEntry":
        return world.recycle_bin.entries(now=world.clock.milliseconds())
    return world.company.records_of(kind.path.lower())


def _is_visible(record: Record, scope: Scope, login: Login) -> bool:  # noqa: PLR0911 - one table
    match record.type:
        case "User" | "Subscription":
            return True
        case "UserProfile":
            # Other users' profiles only for administrators (rally-api-notes.md#authentication).
            return record is login.user.values["UserProfile"]
        case "Workspace":
            return login.can_see_workspace(record)
        case "Project":
            return record.workspace is scope.workspace and login.can_see(record)
        case "Iteration" | "Release" | "FlowState":
            project = record.values["Project"]
            return project.object_id in scope.projects and project.values["State"] == "Open"
        case "RecycleBinEntry":
            return record.values["Project"].object_id in scope.visible
        case _:
            return record.workspace is None or record.workspace is scope.workspace
