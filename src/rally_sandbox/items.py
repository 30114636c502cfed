"""Finding work items: candidates from the arrays, conditions on what is left, and the order."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rally_sandbox.columns import KINDS, Columns
from rally_sandbox.conditions import Asker, compiled, conjuncts, number, resolve
from rally_sandbox.paging import OrderKey
from rally_sandbox.planner import date_reader, is_exact, ranges_of
from rally_sandbox.query import Condition, Query
from rally_sandbox.ranges import EVERYTHING, LOWEST, intersection, positions
from rally_sandbox.schema import TYPES, Type
from rally_sandbox.scope import Scope
from rally_sandbox.views import value_of

if TYPE_CHECKING:
    from rally_sandbox.world import World

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
