"""Lookback's query endpoint: snapshots of artifacts, in bulk (rally-api-notes.md#lookback)."""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import orjson

from rally_sandbox.auth import Login
from rally_sandbox.clock import format_iso
from rally_sandbox.errors import QueryError
from rally_sandbox.item_columns import KINDS
from rally_sandbox.records import Change, Item, Link, Record, Values, apply_changes, make_uuid
from rally_sandbox.revision_text import DATES
from rally_sandbox.sample_names import SCHEDULE_STATES
from rally_sandbox.schema import CUSTOM_CHOICES

if TYPE_CHECKING:
    from rally_sandbox.world import World


FOREVER = "9999-01-01T00:00:00.000Z"

#: Attributes whose values are ids unless hydrated.
CHOICE_FIELDS = frozenset(
    {"ScheduleState", "State", "Priority", "Severity", "Resolution", "Environment", "Method", "Type", "LastVerdict"}
    | CUSTOM_CHOICES
)

#: Type ids from general to specific, as negative built-in ids, in front of the names (rally-api-notes.md#snapshots).
_TYPE_IDS = {name: -51_000 - position for position, name in enumerate(KINDS, start=38)}
_ANCESTORS = (-51_001, "PersistableObject", -51_002, "DomainObject", -51_003, "WorkspaceDomainObject", "Artifact")

#: Fields that snapshots don't contain: texts that Lookback omits, and fields that only the simulator has.
_EXCLUDED_FIELDS = frozenset({"Recycled", "CreatedBy", "DragAndDropRank"})


@lru_cache(maxsize=4096)
def make_choice_id(name: str, text: str) -> int:
    """Return the id of a drop-down's value: stable, and above 2^31 like all of Rally's ids."""
    return 9_000_000_000 + zlib.crc32(f"{name}:{text}".encode())


@dataclass(frozen=True, slots=True)
class Projection:
    """The fields to return, and which of them with names instead of ids."""

    #: None means all fields.
    names: frozenset[str] | None
    hydrated: frozenset[str]

    def includes(self, name: str) -> bool:
        """Return whether a field is requested."""
        return self.names is None or name in self.names


@dataclass(frozen=True, slots=True)
class _ValidityPeriod:
    """A change with the period during which its values were valid."""

    number: int
    change: Change
    until: int | None
    restored: bool
    #: Whether no later snapshot of the item exists; a deleted item's last snapshot has an end nevertheless.
    last: bool


def count_snapshots(item: Item, *, until: int) -> int:
    """Count the snapshots of an item until a time in milliseconds."""
    return sum(1 for change in item.changes if change.at <= until and not _is_deletion(change))


def iter_snapshots(world: "World", item: Item, projection: Projection, *, until: int) -> Iterator[dict[str, Any]]:
    """Generate the snapshots of an item until a time, oldest first.

    Args:
        world: The item's world.
        item: The item.
        projection: The fields to return.
        until: Milliseconds; later changes have not reached Lookback yet.
    """
    values = dict(item.initial)
    periods = {id(period.change): period for period in _iter_periods(item, until)}
    builder = _SnapshotBuilder(world, item, projection)
    for change in item.changes:
        if change.at > until:
            return
        before = dict(values) if builder.wants_previous else values
        apply_changes(values, change.field_changes)
        period = periods.get(id(change))
        if period is not None:
            yield builder.build(period, values, before)


def _iter_periods(item: Item, until: int) -> Iterator[_ValidityPeriod]:
    changes = [change for change in item.changes if change.at <= until]
    number = 0
    for change, following in zip_longest(changes, changes[1:]):
        if _is_deletion(change):
            continue
        # A deletion closes the last snapshot without creating one (rally-api-notes.md#snapshots-of-removed-items).
        restored = any(name == "Recycled" and not new for name, _, new in change.field_changes)
        last = following is None or (_is_deletion(following) and following is changes[-1])
        yield _ValidityPeriod(number, change, following.at if following is not None else None, restored, last)
        number += 1


def _is_deletion(change: Change) -> bool:
    return any(name == "Recycled" and new for name, _, new in change.field_changes)


class _SnapshotBuilder:
    """Builds the snapshots of one item."""

    def __init__(self, world: "World", item: Item, projection: Projection) -> None:
        self._world = world
        self._item = item
        self._projection = projection
        self.wants_previous = projection.includes("_PreviousValues")

    def build(self, period: _ValidityPeriod, values: Values, before: Values) -> dict[str, Any]:
        item, change, projection = self._item, period.change, self._projection
        frame = {
            "_id": f"{item.object_id:012x}{period.number:06x}",
            "ObjectID": item.object_id,
            "_ObjectUUID": make_uuid(item.object_id) if projection.includes("_ObjectUUID") else None,
            "_ValidFrom": format_iso(change.at),
            "_ValidTo": FOREVER if period.until is None else format_iso(period.until),
            "_SnapshotNumber": period.number,
            "_SnapshotType": "RESTORE" if period.restored else "CREATE" if not period.number else "UPDATE",
            "_User": change.user.object_id,
        }
        row: dict[str, Any] = {
            name: value for name, value in frame.items() if projection.includes(name) or name == "_id"
        }
        if projection.includes("FormattedID"):
            row["FormattedID"] = self._world.get_formatted_id(item)
        if projection.includes("_UnformattedID"):
            row["_UnformattedID"] = int("".join(filter(str.isdigit, self._world.get_formatted_id(item))))
        if projection.includes("_TypeHierarchy"):
            row["_TypeHierarchy"] = [*_ANCESTORS, _TYPE_IDS[item.type], item.type]
        if projection.includes("_ProjectHierarchy"):
            row["_ProjectHierarchy"] = list_project_ancestors(values["Project"])
        if projection.includes("_ItemHierarchy"):
            row["_ItemHierarchy"] = [*self._list_ancestors(values), item.object_id]
        for name, value in values.items():
            if name not in _EXCLUDED_FIELDS and projection.includes(name):
                rendered = self._render_value(name, value)
                # Empty values are mostly not stored (rally-api-notes.md#snapshots).
                if rendered is not None and rendered not in ("", []):
                    row[name] = rendered
        if period.last:
            # On the newest snapshot only: relations have no history.
            for name, indexes in (
                ("Predecessors", self._world.relations.predecessors(item.index)),
                ("Successors", self._world.relations.successors(item.index)),
                ("DefectSuites", self._world.relations.suites(item.index)),
                ("Defects", self._world.relations.suite_defects(item.index)),
            ):
                if indexes and projection.includes(name):
                    row[name] = [self._world.columns.object_id[index] for index in indexes]
        if self.wants_previous:
            row["_PreviousValues"] = self._render_previous(period, before)
        return row

    def _render_previous(self, period: _ValidityPeriod, before: Values) -> Mapping[str, Any]:
        if not period.number:
            # The first snapshot has null as previous value of all fields (rally-api-notes.md#snapshots).
            return {name: None for name in before if name not in _EXCLUDED_FIELDS}
        names = dict.fromkeys(name for name, _, _ in period.change.field_changes if name not in _EXCLUDED_FIELDS)
        return {name: self._render_value(name, before.get(name)) for name in names}

    def _render_value(self, name: str, value: Any) -> Any:  # noqa: PLR0911 - one table
        match value:
            case None:
                return None
            case Record():
                # A portfolio item's state is an object whose text can be requested
                # (rally-api-notes.md#lookback-requests).
                return value.name if name in self._projection.hydrated else value.object_id
            case Link():
                return self._world.columns.object_id[value.index]
            case tuple():
                return [self._render_value("", element) for element in value]
            case bool() | float():
                return value
            case int():
                return format_iso(value) if name in DATES else value
            case str() if name in CHOICE_FIELDS:
                return value if name in self._projection.hydrated else make_choice_id(name, value)
            case _:
                return value

    def _list_ancestors(self, values: Values) -> list[int]:
        ancestors: list[int] = []
        for name in ("Parent", "PortfolioItem", "Requirement", "WorkProduct"):
            link = values.get(name)
            if isinstance(link, Link):
                ancestors.append(self._world.columns.object_id[link.index])
        return ancestors[:1]


def list_project_ancestors(project: Record) -> Sequence[int]:
    """List the project ids from the root to a project."""
    ids: list[int] = []
    current: Record | None = project
    while current is not None and current.object_id not in ids:
        ids.append(current.object_id)
        parent = current.values.get("Parent")
        current = parent if isinstance(parent, Record) else None
    return ids[::-1]


Row = Mapping[str, Any]
Test = Callable[[Row], bool]

_ABSENT = object()


def collect_field_names(find: Mapping[str, Any]) -> frozenset[str]:
    """Collect the fields that criteria refer to."""
    names: set[str] = set()
    for name, operand in find.items():
        if name in {"$and", "$or"}:
            for criteria in operand:
                names |= collect_field_names(criteria)
        elif not name.startswith("__") and name != "_At":
            names.add(name.partition(".")[0])
    return frozenset(names)


def compile_criteria(find: Mapping[str, Any]) -> Test:
    """Compile criteria to a test of snapshots whose drop-downs are texts.

    Raises:
        QueryError: An operator is unknown.
    """
    tests = [_compile_criterion(name, operand) for name, operand in find.items()]
    return lambda row: all(test(row) for test in tests)


def _compile_criterion(name: str, expected: Any) -> Test:
    if name == "$and":
        parts = [compile_criteria(criteria) for criteria in expected]
        return lambda row: all(part(row) for part in parts)
    if name == "$or":
        parts = [compile_criteria(criteria) for criteria in expected]
        return lambda row: any(part(row) for part in parts)
    if name in {"__At", "_At"}:
        return _compile_valid_at(str(expected))
    if name.startswith("$"):
        raise QueryError(f"Unknown operator {name}")
    if isinstance(expected, Mapping) and any(key.startswith("$") for key in expected):
        operators = [_compile_operator(name, operator, operand) for operator, operand in expected.items()]
        return lambda row: all(matches(_read_value(row, name)) for matches in operators)
    return lambda row: _equals(_read_value(row, name), expected)


def _compile_valid_at(moment: str) -> Test:
    if moment == "current":
        return lambda row: str(row["_ValidTo"]).startswith("9999-")
    return lambda row: bool(row["_ValidFrom"] <= moment < row["_ValidTo"])


def _compile_operator(name: str, operator: str, operand: Any) -> Callable[[Any], bool]:
    match operator:
        case "$in":
            options = _require_array(operand)
            return lambda value: any(_equals(value, option) for option in options)
        case "$nin":
            options = _require_array(operand)
            return lambda value: not any(_equals(value, option) for option in options)
        case "$ne":
            return lambda value: not _equals(value, operand)
        case "$exists":
            return lambda value: (value is not _ABSENT) == bool(operand)
        case "$regex":
            pattern = re.compile(str(operand).strip("/"))
            return lambda value: isinstance(value, str) and pattern.search(value) is not None
        case "$gt" | "$gte" | "$lt" | "$lte":
            return lambda value: _compare(name.rpartition(".")[2], operator, value, operand)
        case _:
            raise QueryError(f"Unknown operator {operator}")


def _compare(name: str, operator: str, value: Any, operand: Any) -> bool:
    if value is _ABSENT or value is None:
        # No value sorts before all states (a null previous value meets $lt, rally-api-notes.md#lookback-criteria).
        if name not in CHOICE_FIELDS:
            return False
        value = ""
    if name in CHOICE_FIELDS:
        value, operand = _rank_state(value), _rank_state(operand)
    try:
        return bool(
            value > operand
            if operator == "$gt"
            else value >= operand
            if operator == "$gte"
            else value < operand
            if operator == "$lt"
            else value <= operand
        )
    except TypeError:
        return False


def _rank_state(value: Any) -> int:
    return SCHEDULE_STATES.index(value) if value in SCHEDULE_STATES else -1


def _read_value(row: Row, name: str) -> Any:
    head, _, rest = name.partition(".")
    value = row.get(head, _ABSENT)
    if not rest:
        return value
    return value.get(rest, _ABSENT) if isinstance(value, Mapping) else _ABSENT


def _equals(value: Any, expected: Any) -> bool:
    if expected is None:
        return value is _ABSENT or value is None
    if isinstance(value, list):
        # An array meets a criterion that one of its members meets.
        return expected in value or value == expected
    return bool(value == expected)


def _require_array(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise QueryError("$in and $nin take an array")
    return value


Json = Mapping[str, Any]

#: Largest page; smaller with all fields (rally-api-notes.md#lookback-requests).
MAX_PAGE_SIZE = 20_000
MAX_PAGE_SIZE_ALL_FIELDS = 100
DEFAULT_PAGE_SIZE = 100

#: Returned if a request contains no fields.
_DEFAULT_FIELDS = ("ObjectID", "_ValidFrom", "_ValidTo", "_UnformattedID", "Project")


class ForbiddenError(Exception):
    """The caller cannot see the workspace: HTTP 403 (rally-api-notes.md#access-to-snapshots)."""


@dataclass(frozen=True, slots=True)
class _SnapshotQuery:
    find: Mapping[str, Any]
    fields: Any
    hydrate: frozenset[str]
    sort: Sequence[tuple[str, int]]
    start: int
    size: int
    warnings: tuple[str, ...]
    remove_unauthorized: bool


def execute_query(world: "World", workspace: int, members: Json, login: Login) -> dict[str, Any]:
    """Execute a query; return the members of the response.

    Args:
        world: The simulated subscription.
        workspace: The ObjectID in the path.
        members: The members of the request body, or the URL's parameters.
        login: The caller.

    Raises:
        QueryError: The query is invalid or includes projects that the caller cannot see.
        ForbiddenError: The caller cannot see the workspace.
    """
    workspace_record = next((record for record in world.company.workspaces if record.object_id == workspace), None)
    if workspace_record is None or not login.can_see_workspace(workspace_record):
        raise ForbiddenError
    query = _parse_query(members)
    until = world.clock.milliseconds() - world.lookback.lag_ms
    search = _Search(world, workspace_record, query, login, until=until)
    page, total = search.fetch_page()
    if search.unauthorized and not query.remove_unauthorized:
        ids = ",".join(map(str, sorted(search.unauthorized)))
        raise QueryError(f"Server Error: Unauthorized for projects: {ids}")
    return {
        "_rallyAPIMajor": "2",
        "_rallyAPIMinor": "0",
        "Errors": [],
        "Warnings": list(query.warnings),
        "GeneratedQuery": {
            "find": query.find,
            "limit": query.size,
            "skip": query.start,
            "fields": query.fields,
            "compress": False,
        },
        "TotalResultCount": total,
        "HasMore": total > query.start + len(page),
        "StartIndex": query.start,
        "PageSize": query.size,
        "ETLDate": format_iso(until),
        **({"UnauthorizedProjects": sorted(search.unauthorized)} if search.unauthorized else {}),
        "Results": page,
    }


def parse_parameters(parameters: Mapping[str, str]) -> Json:
    """Parse the query of a GET: each parameter is JSON text (rally-api-notes.md#lookback-requests)."""
    members: dict[str, Any] = {}
    for name, text in parameters.items():
        try:
            members[name] = orjson.loads(text)
        except orjson.JSONDecodeError:
            members[name] = text
    return members


def _parse_query(members: Json) -> _SnapshotQuery:
    find = members.get("find")
    if not isinstance(find, Mapping):
        raise QueryError("The find parameter is required")
    fields = members.get("fields", list(_DEFAULT_FIELDS))
    if isinstance(fields, Mapping):
        fields = [name for name, included in fields.items() if included]
    size = min(int(members.get("pagesize") or DEFAULT_PAGE_SIZE), MAX_PAGE_SIZE)
    warnings: tuple[str, ...] = ()
    if fields is True and size > MAX_PAGE_SIZE_ALL_FIELDS:
        size = MAX_PAGE_SIZE_ALL_FIELDS
        warnings = ("Max page size limited to 100 when fields=true",)
    sort = members.get("sort") or {"_ValidFrom": 1}
    order = [(sort, 1)] if isinstance(sort, str) else [(name, int(direction)) for name, direction in sort.items()]
    return _SnapshotQuery(
        find=find,
        fields=fields,
        hydrate=frozenset(str(name).removeprefix("_PreviousValues.") for name in members.get("hydrate") or ()),
        sort=order,
        start=int(members.get("start") or 0),
        size=size,
        warnings=warnings,
        remove_unauthorized=bool(members.get("removeUnauthorizedSnapshots")),
    )


class _Search:
    def __init__(self, world: "World", workspace: Record, query: _SnapshotQuery, login: Login, *, until: int) -> None:
        self._world = world
        self._workspace = workspace
        self._query = query
        self._login = login
        self._until = until
        #: ObjectIDs of projects whose snapshots were left out.
        self.unauthorized: set[int] = set()
        output_fields = None if query.fields is True else frozenset(query.fields)
        self._criteria = {name: value for name, value in query.find.items() if not _selects_items(name, value)}
        self._criteria_fields = collect_field_names(self._criteria) | {"_ValidFrom", "_ValidTo", "Project"}
        sorted_by = {name for name, _ in query.sort}
        read_fields = (
            None if output_fields is None else output_fields | self._criteria_fields | sorted_by | {"ObjectID"}
        )
        # Criteria and sorting need drop-downs as text; fields without hydration are converted to ids afterwards.
        self._projection = Projection(read_fields, query.hydrate)
        self._criteria_projection = Projection(self._criteria_fields, CHOICE_FIELDS)
        self._output_fields = output_fields

    def fetch_page(self) -> tuple[list[dict[str, Any]], int]:
        """Return the rows of the page and the total count."""
        query = self._query
        by_item = [name for name, direction in query.sort if direction > 0][:2] in (
            ["ObjectID"],
            ["ObjectID", "_ValidFrom"],
        )
        if by_item and len(query.sort) <= 2 and not self._criteria and self._login.visible_projects is None:  # noqa: PLR2004 - the two fields of the natural order
            return self._page_by_item()
        rows = list(self._iter_rows())
        for name, direction in reversed(query.sort):
            rows.sort(key=lambda row, name=name: _make_sort_key(row.get(name)), reverse=direction < 0)  # type: ignore[misc]  # the default binds the name now
        return [self._select_fields(row) for row in rows[query.start : query.start + query.size]], len(rows)

    def _page_by_item(self) -> tuple[list[dict[str, Any]], int]:
        # Items are in the order of their ids, and only snapshots on the page are built.
        start, end = self._query.start, self._query.start + self._query.size
        page: list[dict[str, Any]] = []
        position = 0
        for index in self._iter_candidates():
            item = self._world.item(index)
            more = count_snapshots(item, until=self._until)
            if position < end and position + more > start:
                snapshots = list(iter_snapshots(self._world, item, self._projection, until=self._until))
                page.extend(self._select_fields(row) for row in snapshots[max(0, start - position) : end - position])
            position += more
        return page, position

    def _iter_rows(self) -> Iterator[dict[str, Any]]:
        matches = compile_criteria(self._criteria)
        for index in self._iter_candidates():
            item = self._world.item(index)
            matching: set[int] = set()
            for number, snapshot in enumerate(
                iter_snapshots(self._world, item, self._criteria_projection, until=self._until)
            ):
                if matches(snapshot):
                    project = snapshot["Project"]
                    if self._login.visible_projects is None or project in self._login.visible_projects:
                        matching.add(number)
                    else:
                        self.unauthorized.add(project)
            if matching:
                snapshots = enumerate(iter_snapshots(self._world, item, self._projection, until=self._until))
                yield from (row for number, row in snapshots if number in matching)

    def _iter_candidates(self) -> Iterator[int]:
        """Yield the indexes of the items that match the criteria for id and type, ascending."""
        columns, find = self._world.columns, self._query.find
        ids = find.get("ObjectID")
        if isinstance(ids, int):
            object_ids: Sequence[int] = [ids]
        elif isinstance(ids, Mapping) and set(ids) == {"$in"}:
            object_ids = sorted(set(ids["$in"]))
        else:
            kinds = _select_kinds(find.get("_TypeHierarchy"))
            for index in range(len(columns)):
                if KINDS[columns.kind[index]] in kinds and self._is_in_workspace(index):
                    yield index
            return
        for object_id in object_ids:
            position = columns.find(object_id)
            if position is not None and self._is_in_workspace(position):
                yield position

    def _is_in_workspace(self, index: int) -> bool:
        team = self._world.company.teams[self._world.columns.team[index]]
        return team.workspace is self._workspace

    def _select_fields(self, row: dict[str, Any]) -> dict[str, Any]:
        if self._output_fields is None:
            return row
        return {name: value for name, value in row.items() if name in self._output_fields or name == "_id"}


def _selects_items(name: str, value: Any) -> bool:
    """Return whether the selection of candidates fully covers a criterion."""
    if name == "ObjectID":
        return isinstance(value, int) or (isinstance(value, Mapping) and set(value) == {"$in"})
    return False


def _select_kinds(criterion: Any) -> frozenset[str]:
    names = criterion.get("$in", ()) if isinstance(criterion, Mapping) else [criterion] if criterion else ()
    selected = frozenset(kind for kind in KINDS if any(kind == name or kind.startswith(f"{name}/") for name in names))
    # An ancestor type or an id selects no candidates: the criteria themselves decide.
    return selected or frozenset(KINDS)


def _make_sort_key(value: Any) -> tuple[int, Any]:
    return (0, "") if value is None else (1, value)
