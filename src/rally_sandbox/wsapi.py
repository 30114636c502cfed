"""WSAPI v2.0: from the path and the parameters of a GET to its answer (rally-api-notes.md#web-services-api)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rally_sandbox import parameters as fetching
from rally_sandbox.attribute_values import value_of
from rally_sandbox.auth import Login, Scope, scope
from rally_sandbox.errors import NotFound, QueryRefused, UnknownType
from rally_sandbox.item_search import chosen, find_items, find_records
from rally_sandbox.parameters import JS_WARNING, Json, Paging, operation_result, order_of, paging, query_result, single
from rally_sandbox.query import Asker, Query, parse
from rally_sandbox.records import Entity, Group, History, Item, Record, RevisionRow
from rally_sandbox.rendering import Renderer
from rally_sandbox.revision_search import find_revisions
from rally_sandbox.schema import ARTIFACTS, TYPES, Type, concrete, type_of

if TYPE_CHECKING:
    from rally_sandbox.world import World


#: Types that answer with one object when asked for by their singular (rally-api-notes.md#addresses).
_SINGLETONS = frozenset({"subscription", "user"})
_PORTFOLIO = "portfolioitem"


@dataclass(frozen=True, slots=True)
class Request:
    """One GET below ``/slm/webservice/v2.0/``."""

    #: Decoded parts of the path.
    parts: tuple[str, ...]
    parameters: Mapping[str, str]
    login: Login
    #: Scheme and host for refs.
    base: str


@dataclass(frozen=True, slots=True)
class Target:
    """What a path means."""

    #: Several types behind ``/artifact`` or ``/portfolioitem``.
    types: tuple[Type, ...]
    object_id: int | None = None
    collection: str = ""
    #: The path named a singleton in the singular.
    current: bool = False
    js: bool = False


def target_of(parts: Sequence[str], parameters: Mapping[str, str]) -> Target:
    """Read a path.

    Raises:
        UnknownType: The first part is no type.
        NotFound: The id is none.
    """
    words = [part for part in parts if part]
    js = bool(words) and words[-1].endswith(".js")
    if js:
        words[-1] = words[-1].removesuffix(".js")
    if not words:
        raise UnknownType('Requested type name "" is unknown.')
    name, *rest = words
    if name.lower() == _PORTFOLIO and rest and not _is_id(rest[0]):
        name, rest = f"{name}/{rest[0]}", rest[1:]
    types = _types(name, parameters)
    if not rest:
        return Target(types, current=name.lower() in _SINGLETONS, js=js)
    if not _is_id(rest[0]):
        raise NotFound("Cannot find object to read")
    collection = rest[1] if len(rest) > 1 else ""
    return Target(types, _id(rest[0]), collection, js=js)


def _types(name: str, parameters: Mapping[str, str]) -> tuple[Type, ...]:
    if name.lower() in {"artifact", "artifacts"}:
        wanted = [each.strip().lower() for each in parameters.get("types", "").split(",") if each.strip()]
        types = [found for each in wanted or ARTIFACTS for found in _named(each)]
        if any(found.path.lower() not in ARTIFACTS for found in types):
            raise UnknownType(f'Requested type name "{parameters.get("types", "")}" is unknown.')
        return tuple(types)
    return _named(name)


def _named(name: str) -> tuple[Type, ...]:
    kind = type_of(name)
    if kind is None:
        raise UnknownType(f'Requested type name "{name}" is unknown.')
    return concrete(kind.path)


def _is_id(text: str) -> bool:
    return text.lstrip("-").isdecimal() or len(text.replace("-", "")) == _UUID_DIGITS


def _id(text: str) -> int:
    return int(text) if text.lstrip("-").isdecimal() else -1


_UUID_DIGITS = 32


class Wsapi:
    """Answers GETs from a world. The caller holds the world's lock."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def answer(self, request: Request) -> Json:
        """The JSON of an answer with status 200.

        Raises:
            UnknownType: The path names no type.
        """
        target = target_of(request.parts, request.parameters)
        warnings = [JS_WARNING] if target.js else []
        wanted = Paging()
        try:
            if target.object_id is None and not target.current:
                wanted = paging(request.parameters)
                return self._query(request, target, wanted, warnings)
            if target.collection:
                wanted = paging(request.parameters)
                return self._collection(request, target, wanted, warnings)
            return self._read(request, target, warnings)
        except NotFound as refusal:
            return operation_result(errors=[str(refusal)], warnings=warnings)
        except QueryRefused as refusal:
            return query_result([], 0, wanted, errors=[str(refusal)], warnings=warnings)

    def _query(self, request: Request, target: Target, wanted: Paging, warnings: Sequence[str]) -> Json:
        types = target.types
        if not types[0].queryable:
            raise NotFound(f"Type {types[0].path} cannot be queried")
        query = self._parsed(request)
        order = order_of(request.parameters.get("order"), types)
        where = self._scope(request)
        asker = self._asker(request)
        page: Sequence[Entity]
        if types[0].path.lower() in ARTIFACTS:
            found = find_items(self._world, types, query, order=order, scope=where, asker=asker)
            total, page = len(found), [self._world.item(index) for index in found[wanted.window]]
        elif types[0].path == "Revision":
            revisions = find_revisions(self._world, query, paging=wanted, order=order, scope=where, asker=asker)
            total, page = revisions.total, revisions.rows
        else:
            records = find_records(
                self._world, types[0], query, order=order, scope=where, login=request.login, asker=asker
            )
            total, page = len(records), records[wanted.window]
        renderer = self._renderer(request, default=fetching.STUB)
        return query_result([renderer.row(each) for each in page], total, wanted, warnings=warnings)

    def _read(self, request: Request, target: Target, warnings: Sequence[str]) -> Json:
        entity = self._entity(request, target)
        renderer = self._renderer(request, default=fetching.EVERYTHING)
        return single(entity.type.rpartition("/")[2], renderer.row(entity), warnings=warnings)

    def _entity(self, request: Request, target: Target) -> Entity:
        if target.current:
            return self._world.company.subscription if target.types[0].path == "Subscription" else request.login.user
        assert target.object_id is not None  # the caller has looked
        entity = self._world.entity(target.object_id)
        if (
            entity is None
            or entity.type not in {each.path for each in target.types}
            or not self._is_visible(entity, request.login)
        ):
            raise NotFound("Cannot find object to read")
        return entity

    def _is_visible(self, entity: Entity, login: Login) -> bool:
        match entity:
            case Item():
                project = entity.values["Project"]
                return not entity.deleted and project.values["State"] == "Open" and login.sees(project)
            case Record(type="Project"):
                return login.sees(entity)
            case Record(type="Workspace"):
                return login.sees_workspace(entity)
            case Record(type="UserProfile"):
                return entity is login.user.values["UserProfile"]
            case Record():
                project = entity.values.get("Project")
                return not isinstance(project, Record) or login.sees(project)
            case History() | RevisionRow():
                return self._is_visible(entity.owner, login)

    def _collection(self, request: Request, target: Target, wanted: Paging, warnings: Sequence[str]) -> Json:
        entity = self._entity(request, target)
        kind = TYPES[entity.type.lower()]
        name = next((each for each in kind.attributes if each.lower() == target.collection.lower()), "")
        if not name or kind.attributes[name].kind != "COLLECTION":
            raise NotFound(f"Cannot find object to read: {entity.type} has no collection {target.collection}")
        group = value_of(self._world, entity, kind.attributes[name])
        members = self._members(request, group)
        types = concrete(group.type)
        query = self._parsed(request)
        # Collections of types that the simulator does not know are empty.
        if types:
            order = order_of(request.parameters.get("order"), types)
            members = chosen(
                self._world, members, types[0], query, order=order, asker=self._asker(request), shuffled=False
            )
        # Without "fetch" a collection shows everything: pyral reads collections so and asks for nothing later.
        renderer = self._renderer(request, default=fetching.EVERYTHING)
        rows = [renderer.row(each) for each in members[wanted.window]]
        return query_result(rows, len(members), wanted, warnings=warnings)

    def _members(self, request: Request, group: Group) -> list[Entity]:
        members = [self._world.item(each) if isinstance(each, int) else each for each in group.members]
        if group.type.lower() in ARTIFACTS:
            # Without "workspace" a collection of items is looked for in the default one (rally-api-notes.md#scope).
            where = self._scope(request).workspace
            members = [each for each in members if each.workspace is where]
        return [each for each in members if self._is_visible(each, request.login)]

    def _parsed(self, request: Request) -> Query | None:
        text = request.parameters.get("query", "").strip()
        return parse(text) if text else None

    def _scope(self, request: Request) -> Scope:
        return scope(self._world.company, request.login, request.parameters)

    def _asker(self, request: Request) -> Asker:
        return Asker(request.login.user, self._world.clock.milliseconds())

    def _renderer(self, request: Request, *, default: fetching.Fetch) -> Renderer:
        wanted = fetching.parse(request.parameters.get("fetch"), default=default)
        compact = request.parameters.get("compact", "").lower() == "true"
        return Renderer(self._world, base=request.base, fetch=wanted, compact=compact)


def kind_of_request(parts: Sequence[str]) -> str:
    """The word by which faults and statistics know a request: its type, or ``Type/Collection`` in lower case."""
    words = [part.lower().removesuffix(".js") for part in parts if part]
    named = [word for word in words if not _is_id(word)]
    return "/".join(named)
