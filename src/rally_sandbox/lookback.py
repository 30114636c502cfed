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
from rally_sandbox.clock import iso
from rally_sandbox.errors import QueryRefused
from rally_sandbox.item_columns import KINDS
from rally_sandbox.records import Change, Item, Link, Record, Values, apply, uuid_of
from rally_sandbox.revision_text import DATES
from rally_sandbox.sample_names import SCHEDULE_STATES
from rally_sandbox.schema import CUSTOM_CHOICES

if TYPE_CHECKING:
    from rally_sandbox.world import World


FOREVER = "9999-01-01T00:00:00.000Z"

#: Attributes whose values are ids unless hydrated.
ENUMERATED = frozenset(
    {"ScheduleState", "State", "Priority", "Severity", "Resolution", "Environment", "Method", "Type", "LastVerdict"}
    | CUSTOM_CHOICES
)

#: Type ids from general to specific, as negative built-in ids, in front of the names (rally-api-notes.md#snapshots).
_TYPE_IDS = {name: -51_000 - position for position, name in enumerate(KINDS, start=38)}
_ANCESTORS = (-51_001, "PersistableObject", -51_002, "DomainObject", -51_003, "WorkspaceDomainObject", "Artifact")

#: What no snapshot holds: texts that Lookback leaves out, and what only the simulator knows.
_LEFT_OUT = frozenset({"Recycled", "CreatedBy", "DragAndDropRank"})


@lru_cache(maxsize=4096)
def enumerated_id(name: str, text: str) -> int:
    """The id of a drop-down's value: stable, and above 2^31 like all of Rally's."""
    return 9_000_000_000 + zlib.crc32(f"{name}:{text}".encode())


@dataclass(frozen=True, slots=True)
class Wish:
    """Which fields are shown and how."""

    #: None shows every field.
    names: frozenset[str] | None
    hydrated: frozenset[str]

    def shows(self, name: str) -> bool:
        """Whether a field is asked for."""
        return self.names is None or name in self.names


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A change with the time during which its values held."""

    number: int
    change: Change
    until: int | None
    restored: bool
    #: Whether no later snapshot of the item exists; a deleted item's last one has an end all the same.
    last: bool


def count(item: Item, *, until: int) -> int:
    """How many snapshots an item has that were made up to a moment."""
    return sum(1 for change in item.changes if change.at <= until and not _is_deletion(change))


def rows(world: "World", item: Item, wish: Wish, *, until: int) -> Iterator[dict[str, Any]]:
    """The snapshots of an item that were made up to a moment, oldest first.

    Args:
        world: Where the item is.
        item: The item.
        wish: Which fields are shown.
        until: Milliseconds: later changes have not reached Lookback yet.
    """
    values = dict(item.initial)
    stretches = {id(each.change): each for each in _stretches(item, until)}
    view = _View(world, item, wish)
    for change in item.changes:
        if change.at > until:
            return
        before = dict(values) if view.wants_previous else values
        apply(values, change.sets)
        stretch = stretches.get(id(change))
        if stretch is not None:
            yield view.row(stretch, values, before)


def _stretches(item: Item, until: int) -> Iterator[_Stretch]:
    changes = [change for change in item.changes if change.at <= until]
    number = 0
    for change, following in zip_longest(changes, changes[1:]):
        if _is_deletion(change):
            continue
        # A deletion closes the last snapshot and makes none of its own (rally-api-notes.md#snapshots-of-removed-items).
        restored = any(name == "Recycled" and not new for name, _, new in change.sets)
        last = following is None or (_is_deletion(following) and following is changes[-1])
        yield _Stretch(number, change, following.at if following is not None else None, restored, last)
        number += 1


def _is_deletion(change: Change) -> bool:
    return any(name == "Recycled" and new for name, _, new in change.sets)


class _View:
    """One item's rows."""

    def __init__(self, world: "World", item: Item, wish: Wish) -> None:
        self._world = world
        self._item = item
        self._wish = wish
        self.wants_previous = wish.shows("_PreviousValues")

    def row(self, stretch: _Stretch, values: Values, before: Values) -> dict[str, Any]:
        item, change, wish = self._item, stretch.change, self._wish
        frame = {
            "_id": f"{item.object_id:012x}{stretch.number:06x}",
            "ObjectID": item.object_id,
            "_ObjectUUID": uuid_of(item.object_id) if wish.shows("_ObjectUUID") else None,
            "_ValidFrom": iso(change.at),
            "_ValidTo": FOREVER if stretch.until is None else iso(stretch.until),
            "_SnapshotNumber": stretch.number,
            "_SnapshotType": "RESTORE" if stretch.restored else "CREATE" if not stretch.number else "UPDATE",
            "_User": change.user.object_id,
        }
        row: dict[str, Any] = {name: value for name, value in frame.items() if wish.shows(name) or name == "_id"}
        if wish.shows("FormattedID"):
            row["FormattedID"] = self._world.formatted_id(item)
        if wish.shows("_UnformattedID"):
            row["_UnformattedID"] = int("".join(filter(str.isdigit, self._world.formatted_id(item))))
        if wish.shows("_TypeHierarchy"):
            row["_TypeHierarchy"] = [*_ANCESTORS, _TYPE_IDS[item.type], item.type]
        if wish.shows("_ProjectHierarchy"):
            row["_ProjectHierarchy"] = project_hierarchy(values["Project"])
        if wish.shows("_ItemHierarchy"):
            row["_ItemHierarchy"] = [*self._ancestors(values), item.object_id]
        for name, value in values.items():
            if name not in _LEFT_OUT and wish.shows(name):
                shown = self._shown(name, value)
                # What is empty is mostly not stored (rally-api-notes.md#snapshots).
                if shown is not None and shown not in ("", []):
                    row[name] = shown
        if stretch.last:
            # Told on the newest snapshot only: of the past nothing more is kept.
            for name, indexes in (
                ("Predecessors", self._world.ties.predecessors(item.index)),
                ("Successors", self._world.ties.successors(item.index)),
                ("DefectSuites", self._world.ties.suites(item.index)),
                ("Defects", self._world.ties.gathered(item.index)),
            ):
                if indexes and wish.shows(name):
                    row[name] = [self._world.columns.object_id[index] for index in indexes]
        if self.wants_previous:
            row["_PreviousValues"] = self._previous(stretch, before)
        return row

    def _previous(self, stretch: _Stretch, before: Values) -> Mapping[str, Any]:
        if not stretch.number:
            # On the first snapshot everything was nothing before (rally-api-notes.md#snapshots).
            return {name: None for name in before if name not in _LEFT_OUT}
        names = dict.fromkeys(name for name, _, _ in stretch.change.sets if name not in _LEFT_OUT)
        return {name: self._shown(name, before.get(name)) for name in names}

    def _shown(self, name: str, value: Any) -> Any:  # noqa: PLR0911 - one table
        match value:
            case None:
                return None
            case Record():
                # A portfolio item's state is an object whose text can be asked for
                # (rally-api-notes.md#lookback-requests).
                return value.name if name in self._wish.hydrated else value.object_id
            case Link():
                return self._world.columns.object_id[value.index]
            case tuple():
                return [self._shown("", each) for each in value]
            case bool() | float():
                return value
            case int():
                return iso(value) if name in DATES else value
            case str() if name in ENUMERATED:
                return value if name in self._wish.hydrated else enumerated_id(name, value)
            case _:
                return value

    def _ancestors(self, values: Values) -> list[int]:
        found: list[int] = []
        for name in ("Parent", "PortfolioItem", "Requirement", "WorkProduct"):
            link = values.get(name)
            if isinstance(link, Link):
                found.append(self._world.columns.object_id[link.index])
        return found[:1]


def project_hierarchy(project: Record) -> Sequence[int]:
    """Project ids from the root to a project."""
    found: list[int] = []
    each: Record | None = project
    while each is not None and each.object_id not in found:
        found.append(each.object_id)
        parent = each.values.get("Parent")
        each = parent if isinstance(parent, Record) else None
    return found[::-1]


Row = Mapping[str, Any]
Test = Callable[[Row], bool]

_ABSENT = object()


def names_in(find: Mapping[str, Any]) -> frozenset[str]:
    """The fields that criteria speak of."""
    found: set[str] = set()
    for name, wanted in find.items():
        if name in {"$and", "$or"}:
            for each in wanted:
                found |= names_in(each)
        elif not name.startswith("__") and name != "_At":
            found.add(name.partition(".")[0])
    return frozenset(found)


def test_of(find: Mapping[str, Any]) -> Test:
    """Whether a snapshot, its drop-downs as text, meets criteria.

    Raises:
        QueryRefused: An operator is unknown.
    """
    tests = [_test(name, wanted) for name, wanted in find.items()]
    return lambda row: all(test(row) for test in tests)


def _test(name: str, wanted: Any) -> Test:
    if name == "$and":
        parts = [test_of(each) for each in wanted]
        return lambda row: all(part(row) for part in parts)
    if name == "$or":
        parts = [test_of(each) for each in wanted]
        return lambda row: any(part(row) for part in parts)
    if name in {"__At", "_At"}:
        return _valid_at(str(wanted))
    if name.startswith("$"):
        raise QueryRefused(f"Unknown operator {name}")
    if isinstance(wanted, Mapping) and any(key.startswith("$") for key in wanted):
        judges = [_judge(name, operator, operand) for operator, operand in wanted.items()]
        return lambda row: all(judge(_value(row, name)) for judge in judges)
    return lambda row: _equals(_value(row, name), wanted)


def _valid_at(moment: str) -> Test:
    if moment == "current":
        return lambda row: str(row["_ValidTo"]).startswith("9999-")
    return lambda row: bool(row["_ValidFrom"] <= moment < row["_ValidTo"])


def _judge(name: str, operator: str, operand: Any) -> Callable[[Any], bool]:
    match operator:
        case "$in":
            wanted = _sequence(operand)
            return lambda value: any(_equals(value, each) for each in wanted)
        case "$nin":
            wanted = _sequence(operand)
            return lambda value: not any(_equals(value, each) for each in wanted)
        case "$ne":
            return lambda value: not _equals(value, operand)
        case "$exists":
            return lambda value: (value is not _ABSENT) == bool(operand)
        case "$regex":
            pattern = re.compile(str(operand).strip("/"))
            return lambda value: isinstance(value, str) and pattern.search(value) is not None
        case "$gt" | "$gte" | "$lt" | "$lte":
            return lambda value: _compares(name.rpartition(".")[2], operator, value, operand)
        case _:
            raise QueryRefused(f"Unknown operator {operator}")


def _compares(name: str, operator: str, value: Any, operand: Any) -> bool:
    if value is _ABSENT or value is None:
        # Nothing comes before every state (a null previous value meets $lt, rally-api-notes.md#lookback-criteria).
        if name not in ENUMERATED:
            return False
        value = ""
    if name in ENUMERATED:
        value, operand = _rank(value), _rank(operand)
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


def _rank(value: Any) -> int:
    return SCHEDULE_STATES.index(value) if value in SCHEDULE_STATES else -1


def _value(row: Row, name: str) -> Any:
    head, _, rest = name.partition(".")
    value = row.get(head, _ABSENT)
    if not rest:
        return value
    return value.get(rest, _ABSENT) if isinstance(value, Mapping) else _ABSENT


def _equals(value: Any, wanted: Any) -> bool:
    if wanted is None:
        return value is _ABSENT or value is None
    if isinstance(value, list):
        # An array meets a criterion that one of its members meets.
        return wanted in value or value == wanted
    return bool(value == wanted)


def _sequence(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise QueryRefused("$in and $nin take an array")
    return value


Json = Mapping[str, Any]

#: Granted at most; with every field, less (rally-api-notes.md#lookback-requests).
LARGEST_PAGE = 20_000
LARGEST_WHOLE_PAGE = 100
DEFAULT_PAGE = 100

#: Shown when no fields are asked for.
_DEFAULT_FIELDS = ("ObjectID", "_ValidFrom", "_ValidTo", "_UnformattedID", "Project")


class Forbidden(Exception):
    """The workspace is none that the caller may see: HTTP 403 (rally-api-notes.md#access-to-snapshots)."""


@dataclass(frozen=True, slots=True)
class _Question:
    find: Mapping[str, Any]
    fields: Any
    hydrate: frozenset[str]
    sort: Sequence[tuple[str, int]]
    start: int
    size: int
    warnings: tuple[str, ...]
    remove_unauthorized: bool


def answer(world: "World", workspace: int, asked: Json, login: Login) -> dict[str, Any]:
    """The answer to a question.

    Args:
        world: What is looked back at.
        workspace: The ObjectID in the path.
        asked: The members of the body, or of the address.
        login: Who asks.

    Raises:
        QueryRefused: The question cannot be understood, or touches projects that the caller may not see.
        Forbidden: The caller may not see the workspace.
    """
    place = next((each for each in world.company.workspaces if each.object_id == workspace), None)
    if place is None or not login.sees_workspace(place):
        raise Forbidden
    question = _read(asked)
    until = world.clock.milliseconds() - world.lookback.lag_ms
    search = _Search(world, place, question, login, until=until)
    found, total = search.page()
    if search.unauthorized and not question.remove_unauthorized:
        ids = ",".join(map(str, sorted(search.unauthorized)))
        raise QueryRefused(f"Server Error: Unauthorized for projects: {ids}")
    return {
        "_rallyAPIMajor": "2",
        "_rallyAPIMinor": "0",
        "Errors": [],
        "Warnings": list(question.warnings),
        "GeneratedQuery": {
            "find": question.find,
            "limit": question.size,
            "skip": question.start,
            "fields": question.fields,
            "compress": False,
        },
        "TotalResultCount": total,
        "HasMore": total > question.start + len(found),
        "StartIndex": question.start,
        "PageSize": question.size,
        "ETLDate": iso(until),
        **({"UnauthorizedProjects": sorted(search.unauthorized)} if search.unauthorized else {}),
        "Results": found,
    }


def parsed(parameters: Mapping[str, str]) -> Json:
    """The question of a GET: each parameter is JSON text (rally-api-notes.md#lookback-requests)."""
    found: dict[str, Any] = {}
    for name, text in parameters.items():
        try:
            found[name] = orjson.loads(text)
        except orjson.JSONDecodeError:
            found[name] = text
    return found


def _read(asked: Json) -> _Question:
    find = asked.get("find")
    if not isinstance(find, Mapping):
        raise QueryRefused("The find parameter is required")
    fields = asked.get("fields", list(_DEFAULT_FIELDS))
    if isinstance(fields, Mapping):
        fields = [name for name, wanted in fields.items() if wanted]
    size = min(int(asked.get("pagesize") or DEFAULT_PAGE), LARGEST_PAGE)
    warnings: tuple[str, ...] = ()
    if fields is True and size > LARGEST_WHOLE_PAGE:
        size = LARGEST_WHOLE_PAGE
        warnings = ("Max page size limited to 100 when fields=true",)
    sort = asked.get("sort") or {"_ValidFrom": 1}
    order = [(sort, 1)] if isinstance(sort, str) else [(name, int(way)) for name, way in sort.items()]
    return _Question(
        find=find,
        fields=fields,
        hydrate=frozenset(str(name).removeprefix("_PreviousValues.") for name in asked.get("hydrate") or ()),
        sort=order,
        start=int(asked.get("start") or 0),
        size=size,
        warnings=warnings,
        remove_unauthorized=bool(asked.get("removeUnauthorizedSnapshots")),
    )


class _Search:
    def __init__(self, world: "World", place: Record, question: _Question, login: Login, *, until: int) -> None:
        self._world = world
        self._place = place
        self._question = question
        self._login = login
        self._until = until
        #: ObjectIDs of projects whose snapshots were left out.
        self.unauthorized: set[int] = set()
        wanted = None if question.fields is True else frozenset(question.fields)
        self._rest = {name: value for name, value in question.find.items() if not _is_choice(name, value)}
        self._judged = names_in(self._rest) | {"_ValidFrom", "_ValidTo", "Project"}
        sorted_by = {name for name, _ in question.sort}
        made = None if wanted is None else wanted | self._judged | sorted_by | {"ObjectID"}
        # Criteria and sorting read drop-downs as text; what was not to be hydrated becomes an id afterwards.
        self._wish = Wish(made, question.hydrate)
        self._judging = Wish(self._judged, ENUMERATED)
        self._shown = wanted

    def page(self) -> tuple[list[dict[str, Any]], int]:
        """The rows of the page, and how many there are in all."""
        question = self._question
        by_item = [name for name, way in question.sort if way > 0][:2] in (["ObjectID"], ["ObjectID", "_ValidFrom"])
        if by_item and len(question.sort) <= 2 and not self._rest and self._login.only_projects is None:  # noqa: PLR2004 - the two fields of the natural order
            return self._natural()
        found = list(self._rows())
        for name, way in reversed(question.sort):
            found.sort(key=lambda row, name=name: _sortable(row.get(name)), reverse=way < 0)  # type: ignore[misc]  # the default binds the name now
        return [self._final(row) for row in found[question.start : question.start + question.size]], len(found)

    def _natural(self) -> tuple[list[dict[str, Any]], int]:
        # Items come in the order of their ids, and only those of the page are told.
        start, end = self._question.start, self._question.start + self._question.size
        found: list[dict[str, Any]] = []
        position = 0
        for index in self._candidates():
            item = self._world.item(index)
            more = count(item, until=self._until)
            if position < end and position + more > start:
                its = list(rows(self._world, item, self._wish, until=self._until))
                found.extend(self._final(row) for row in its[max(0, start - position) : end - position])
            position += more
        return found, position

    def _rows(self) -> Iterator[dict[str, Any]]:
        judge = test_of(self._rest)
        for index in self._candidates():
            item = self._world.item(index)
            wanted: set[int] = set()
            for number, told in enumerate(rows(self._world, item, self._judging, until=self._until)):
                if judge(told):
                    project = told["Project"]
                    if self._login.only_projects is None or project in self._login.only_projects:
                        wanted.add(number)
                    else:
                        self.unauthorized.add(project)
            if wanted:
                every = enumerate(rows(self._world, item, self._wish, until=self._until))
                yield from (row for number, row in every if number in wanted)

    def _candidates(self) -> Iterator[int]:
        """Indexes of the items that the choice by id and type leaves, ascending."""
        columns, find = self._world.columns, self._question.find
        ids = find.get("ObjectID")
        if isinstance(ids, int):
            chosen: Sequence[int] = [ids]
        elif isinstance(ids, Mapping) and set(ids) == {"$in"}:
            chosen = sorted(set(ids["$in"]))
        else:
            kinds = _kinds(find.get("_TypeHierarchy"))
            for index in range(len(columns)):
                if KINDS[columns.kind[index]] in kinds and self._is_here(index):
                    yield index
            return
        for each in chosen:
            found = columns.find(each)
            if found is not None and self._is_here(found):
                yield found

    def _is_here(self, index: int) -> bool:
        team = self._world.company.teams[self._world.columns.team[index]]
        return team.workspace is self._place

    def _final(self, row: dict[str, Any]) -> dict[str, Any]:
        if self._shown is None:
            return row
        return {name: value for name, value in row.items() if name in self._shown or name == "_id"}


def _is_choice(name: str, value: Any) -> bool:
    """Whether a criterion is settled by choosing the candidates."""
    if name == "ObjectID":
        return isinstance(value, int) or (isinstance(value, Mapping) and set(value) == {"$in"})
    return False


def _kinds(wanted: Any) -> frozenset[str]:
    names = wanted.get("$in", ()) if isinstance(wanted, Mapping) else [wanted] if wanted else ()
    found = frozenset(kind for kind in KINDS if any(kind == name or kind.startswith(f"{name}/") for name in names))
    # An ancestor type, or an id, chooses nothing beforehand: the criteria themselves decide.
    return found or frozenset(KINDS)


def _sortable(value: Any) -> tuple[int, Any]:
    return (0, "") if value is None else (1, value)
