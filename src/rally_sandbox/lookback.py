"""Lookback's query endpoint: snapshots of artifacts, in bulk (rally-api-notes.md#lookback)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from rally_sandbox.access import Login
from rally_sandbox.columns import KINDS
from rally_sandbox.criteria import names_in, test_of
from rally_sandbox.errors import QueryRefused
from rally_sandbox.instants import SECOND, iso
from rally_sandbox.records import Record
from rally_sandbox.snapshots import ENUMERATED, Wish, count, rows

if TYPE_CHECKING:
    from rally_sandbox.world import World

Json = Mapping[str, Any]

#: Granted at most; with every field, less (rally-api-notes.md#lookback-requests).
LARGEST_PAGE = 20_000
LARGEST_WHOLE_PAGE = 100
DEFAULT_PAGE = 100

#: Shown when no fields are asked for.
_DEFAULT_FIELDS = ("ObjectID", "_ValidFrom", "_ValidTo", "_UnformattedID", "Project")


@dataclass(slots=True)
class LookbackService:
    """How the service is today: changed by tests and by ``/_sandbox/lookback``."""

    #: How far the feed lags behind, in milliseconds (15 to 60 seconds, rally-api-notes.md#lookback-availability).
    lag_ms: int = 30 * SECOND
    #: False on servers that have no Lookback (rally-api-notes.md#lookback-availability).
    available: bool = True


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
