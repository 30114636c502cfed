"""Finding work items: candidates from the arrays, conditions on what is left, and the order."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rally_sandbox.attribute_values import value_of
from rally_sandbox.auth import Login, Scope
from rally_sandbox.errors import QueryRefused
from rally_sandbox.item_columns import KINDS, Columns
from rally_sandbox.parameters import OrderKey
from rally_sandbox.query import Asker, Both, Condition, Query, compiled, conjuncts, moment, number, referenced, resolve
from rally_sandbox.records import Entity, Record
from rally_sandbox.schema import TYPES, Attribute, Type

if TYPE_CHECKING:
    from rally_sandbox.world import World


Ranges = tuple[tuple[int, int], ...]

LOWEST, HIGHEST = -(1 << 62), 1 << 62
EVERYTHING: Ranges = ((LOWEST, HIGHEST),)


def comparison(operator: str, value: float) -> Ranges | None:  # noqa: PLR0911 - one table
    """The integers for which ``x operator value`` holds; None for operators that no range expresses."""
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


def union(*sets: Ranges) -> Ranges:
    """The integers in any of the sets."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(each for ranges in sets for each in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return tuple(merged)


def intersection(one: Ranges, other: Ranges) -> Ranges:
    """The integers in both sets."""
    if one == EVERYTHING:
        return other
    if other == EVERYTHING:
        return one
    common: list[tuple[int, int]] = []
    left = right = 0
    while left < len(one) and right < len(other):
        low = max(one[left][0], other[right][0])
        high = min(one[left][1], other[right][1])
        if low <= high:
            common.append((low, high))
        if one[left][1] < other[right][1]:
            left += 1
        else:
            right += 1
    return tuple(common)


def positions(values: Sequence[int], ranges: Ranges) -> list[tuple[int, int]]:
    """Where the members of an ascending sequence lie that are in a set: half-open index ranges."""
    found = [(bisect_left(values, low), bisect_right(values, high)) for low, high in ranges]
    return [(begin, end) for begin, end in found if begin < end]


def contains(ranges: Ranges, value: int) -> bool:
    """Whether a set contains a number."""
    return any(low <= value <= high for low, high in ranges)


#: Reads the right side of a condition as an integer.
Read = Callable[[str], float]


def ranges_of(query: Query, column: str, read: Read) -> Ranges | None:
    """The values that a column has on every row that fulfils the query; None when the query does not bound it.

    Args:
        query: The query.
        column: A dotted attribute name.
        read: Reads values.
    """
    match query:
        case Condition(path=path, operator=operator, value=value) if ".".join(path) == column and not query.is_null:
            if operator == "in":
                parts = [comparison("=", read(part.strip())) for part in value.split(",")]
                return union(*(part for part in parts if part is not None))
            return comparison(operator, read(value))
        case Both(left, junction, right):
            one, other = ranges_of(left, column, read), ranges_of(right, column, read)
            if junction == "AND":
                if one is None or other is None:
                    return other if one is None else one
                return intersection(one, other)
            return None if one is None or other is None else union(one, other)
        case _:
            return None


def is_exact(query: Query, columns: frozenset[str]) -> bool:
    """Whether a query is about one of some columns and nothing else, so that its ranges say all."""
    match query:
        case Condition(path=path, operator=operator):
            return ".".join(path) in columns and not query.is_null and operator not in {"contains", "!contains"}
        case Both(left, _, right):
            return is_exact(left, columns) and is_exact(right, columns)


def date_reader(asker: Asker) -> Read:
    """Reads dates as milliseconds."""
    return lambda text: float(moment(text, asker))


def reference_reader(attribute: Attribute, asker: Asker) -> Read:
    """Reads references as ObjectIDs."""

    def read(text: str) -> float:
        found: Any = referenced(text, attribute, asker)
        if isinstance(found, str):
            raise QueryRefused(f'Could not parse: Cannot parse object reference from "{text}"')
        return float(found)

    return read


Keep = Callable[[int], bool]

#: Conditions that the ranges of ascending columns say all about.
_ASCENDING = frozenset({"ObjectID", "CreationDate"})


def find_items(
    world: "World", types: Sequence[Type], query: Query | None, *, order: Sequence[OrderKey], scope: Scope, asker: Asker
) -> Sequence[int]:
    """Indexes of the visible items that a query finds, in order."""
    columns = world.columns
    kinds = [KINDS.index(each.path) for each in types if each.path in KINDS]
    candidates = _candidates(world, kinds, query, asker)
    teams = bytes(
        team.project.object_id in scope.projects and team.project.values["State"] == "Open"
        for team in world.company.teams
    )
    team_of, deleted = columns.team, columns.deleted
    found = [index for index in candidates if teams[team_of[index]] and not deleted[index]]
    if query is not None:
        for keep in _filters(world, types, query, asker):
            found = [index for index in found if keep(index)]
    _sort(world, found, order)
    return found


def _candidates(world: "World", kinds: Sequence[int], query: Query | None, asker: Asker) -> Iterable[int]:
    columns = world.columns
    ranges = EVERYTHING
    if query is not None:
        for column, values, read in (
            ("ObjectID", columns.object_id, number),
            ("CreationDate", columns.created, date_reader(asker)),
        ):
            wanted = ranges_of(query, column, read)
            if wanted is not None:
                spans = tuple((begin, end - 1) for begin, end in positions(values, wanted))
                ranges = intersection(ranges, spans)
        if ranges == EVERYTHING:
            since = ranges_of(query, "LastUpdateDate", date_reader(asker))
            if since is not None and since and since[0][0] > LOWEST:
                wanted_kinds = frozenset(kinds)
                return [each for each in world.updated_since(since[0][0]) if columns.kind[each] in wanted_kinds]
    found: list[int] = []
    for kind in kinds:
        members = columns.of_kind[kind]
        for low, high in ranges:
            begin = 0 if low <= 0 else bisect_left(members, low)
            end = len(members) if high >= len(columns) else bisect_left(members, high + 1)
            found.extend(members[begin:end])
    if len(kinds) > 1:
        found.sort()
    return found


def _filters(world: "World", types: Sequence[Type], query: Query, asker: Asker) -> list[Keep]:
    """One filter for each ANDed part that the ranges do not settle; those that need no item come first."""
    # Compiling the whole first finds every error, whichever part it is in.
    compiled(query, types, world, asker)
    cheap: list[Keep] = []
    costly: list[Keep] = []
    for part in conjuncts(query):
        if is_exact(part, _ASCENDING) and isinstance(part, Condition):
            continue
        by_index = _by_index(world, types, part, asker)
        if by_index is not None:
            cheap.append(by_index)
            continue
        predicate = compiled(part, types, world, asker)
        costly.append(lambda index, predicate=predicate: predicate(world.item(index)))  # type: ignore[misc]  # the default binds the loop's value
    return cheap + costly


def _by_index(world: "World", types: Sequence[Type], query: Query, asker: Asker) -> Keep | None:
    """A test that reads arrays only, or None."""
    if isinstance(query, Condition):
        column = _COLUMNS.get(".".join(query.path))
        if column is None:
            return None
        read, test = column(world.columns, world), resolve(query, types, asker).test
        return lambda index: test(read(index))
    one, other = _by_index(world, types, query.left, asker), _by_index(world, types, query.right, asker)
    if one is None or other is None:
        return None
    if query.junction == "AND":
        return lambda index: one(index) and other(index)
    return lambda index: one(index) or other(index)


def _project(columns: Columns, world: "World") -> Callable[[int], Any]:
    projects = [team.project for team in world.company.teams]
    return lambda index: projects[columns.team[index]]


def _project_id(columns: Columns, world: "World") -> Callable[[int], Any]:
    ids = [team.project.object_id for team in world.company.teams]
    return lambda index: ids[columns.team[index]]


def _project_name(columns: Columns, world: "World") -> Callable[[int], Any]:
    names = [team.project.name for team in world.company.teams]
    return lambda index: names[columns.team[index]]


_COLUMNS: dict[str, Callable[[Columns, "World"], Callable[[int], Any]]] = {
    "ObjectID": lambda columns, _: columns.object_id.__getitem__,
    "CreationDate": lambda columns, _: columns.created.__getitem__,
    "LastUpdateDate": lambda columns, _: columns.updated.__getitem__,
    "FormattedID": lambda columns, _: columns.formatted_id,
    "Project": _project,
    "Project.ObjectID": _project_id,
    "Project.Name": _project_name,
}


def _sort(world: "World", found: list[int], order: Sequence[OrderKey]) -> None:
    if not order:
        # The server's own order is not documented (rally-api-notes.md#paging): here one that helps nobody.
        found.sort(key=lambda index: (index * 2_654_435_761) & 0xFFFFFFFF)
        return
    for key in reversed(order):
        found.sort(key=_sort_key(world, key.name), reverse=key.descending)


def _sort_key(world: "World", name: str) -> Callable[[int], Any]:
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
        return sortable(value_of(world, item, attribute)) if attribute is not None else sortable(None)

    return key


def sortable(value: Any) -> tuple[int, Any]:
    """A key that sorts unset values first and references by name."""
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
    asker: Asker,
) -> list[Entity]:
    """The visible records of a type that a query finds, in order."""
    found: list[Entity] = [
        each for each in _all(world, kind) if _is_visible(each, scope, login) and each.object_id not in world.forgotten
    ]
    return chosen(world, found, kind, query, order=order, asker=asker)


def chosen(
    world: "World",
    entities: Iterable[Entity],
    kind: Type,
    query: Query | None,
    *,
    order: Sequence[OrderKey],
    asker: Asker,
    shuffled: bool = True,
) -> list[Entity]:
    """The entities that a query finds, in order; without an order shuffled, or as they come."""
    found = list(entities)
    if query is not None:
        keeps = compiled(query, (kind,), world, asker)
        found = [each for each in found if keeps(each)]
    if not order and shuffled:
        # As for work items: an order that nobody can rely on.
        found.sort(key=lambda entity: (entity.object_id * 2_654_435_761) & 0xFFFFFFFF)
    for key in reversed(order):
        attribute = kind.attributes[key.name]
        found.sort(key=lambda entity: sortable(value_of(world, entity, attribute)), reverse=key.descending)
    return found


def _all(world: "World", kind: Type) -> Iterable[Record]:
    if kind.path == "RecycleBinEntry":
        return world.bin.entries(now=world.clock.milliseconds())
    return world.company.of(kind.path.lower())


def _is_visible(record: Record, scope: Scope, login: Login) -> bool:  # noqa: PLR0911 - one table
    match record.type:
        case "User" | "Subscription":
            return True
        case "UserProfile":
            # Other users' profiles only for administrators (rally-api-notes.md#authentication).
            return record is login.user.values["UserProfile"]
        case "Workspace":
            return login.sees_workspace(record)
        case "Project":
            return record.workspace is scope.workspace and login.sees(record)
        case "Iteration" | "Release" | "FlowState":
            project = record.values["Project"]
            return project.object_id in scope.projects and project.values["State"] == "Open"
        case "RecycleBinEntry":
            return record.values["Project"].object_id in scope.visible
        case _:
            return record.workspace is None or record.workspace is scope.workspace
