"""WSAPI v2.0: the response to the path and parameters of a GET (rally-api-notes.md#web-services-api)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rally_sandbox import parameters as fetching
from rally_sandbox.attribute_values import get_value
from rally_sandbox.auth import Login, Scope, parse_scope
from rally_sandbox.errors import NotFoundError, QueryError, UnknownTypeError
from rally_sandbox.item_search import filter_entities, find_items, find_records
from rally_sandbox.parameters import (
    JS_WARNING,
    Json,
    Paging,
    create_object_result,
    create_operation_result,
    create_query_result,
    parse_order,
    parse_paging,
)
from rally_sandbox.query import Query, QueryContext, parse_query
from rally_sandbox.records import Entity, Group, History, Item, Record, RevisionRow
from rally_sandbox.rendering import Renderer
from rally_sandbox.revision_search import find_revisions
from rally_sandbox.schema import ARTIFACTS, TYPES, Type, find_type, list_concrete_types

if TYPE_CHECKING:
    from rally_sandbox.world import World


#: Types whose singular returns one object (rally-api-notes.md#addresses).
_SINGLETONS = frozenset({"subscription", "user"})
_PORTFOLIO = "portfolioitem"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One GET below ``/slm/webservice/v2.0/``."""

    #: Decoded parts of the path.
    parts: tuple[str, ...]
    parameters: Mapping[str, str]
    login: Login
    #: Scheme and host for refs.
    base: str


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a path."""

    #: Several types for ``/artifact`` or ``/portfolioitem``.
    types: tuple[Type, ...]
    object_id: int | None = None
    collection: str = ""
    #: The path named a singleton in the singular.
    current: bool = False
    js: bool = False


def parse_path(parts: Sequence[str], parameters: Mapping[str, str]) -> Target:
    """Parse a path.

    Raises:
        UnknownTypeError: The first part is not a type.
        NotFoundError: The second part is not an id.
    """
    words = [part for part in parts if part]
    js = bool(words) and words[-1].endswith(".js")
    if js:
        words[-1] = words[-1].removesuffix(".js")
    if not words:
        raise UnknownTypeError('Requested type name "" is unknown.')
    name, *rest = words
    if name.lower() == _PORTFOLIO and rest and not _is_id(rest[0]):
        name, rest = f"{name}/{rest[0]}", rest[1:]
    types = _parse_types(name, parameters)
    if not rest:
        return Target(types, current=name.lower() in _SINGLETONS, js=js)
    if not _is_id(rest[0]):
        raise NotFoundError("Cannot find object to read")
    collection = rest[1] if len(rest) > 1 else ""
    return Target(types, _parse_id(rest[0]), collection, js=js)


def _parse_types(name: str, parameters: Mapping[str, str]) -> tuple[Type, ...]:
    if name.lower() in {"artifact", "artifacts"}:
        requested = [
            type_name.strip().lower() for type_name in parameters.get("types", "").split(",") if type_name.strip()
        ]
        types = [kind for type_name in requested or ARTIFACTS for kind in _parse_type(type_name)]
        if any(kind.path.lower() not in ARTIFACTS for kind in types):
            raise UnknownTypeError(f'Requested type name "{parameters.get("types", "")}" is unknown.')
        return tuple(types)
    return _parse_type(name)


def _parse_type(name: str) -> tuple[Type, ...]:
    kind = find_type(name)
    if kind is None:
        raise UnknownTypeError(f'Requested type name "{name}" is unknown.')
    return list_concrete_types(kind.path)


def _is_id(text: str) -> bool:
    return text.lstrip("-").isdecimal() or len(text.replace("-", "")) == _UUID_DIGITS


def _parse_id(text: str) -> int:
    return int(text) if text.lstrip("-").isdecimal() else -1


_UUID_DIGITS = 32


class Wsapi:
    """Responds to GETs from a world. The caller locks the world."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def respond(self, request: ApiRequest) -> Json:
        """Return the JSON of a response with status 200.

        Raises:
            UnknownTypeError: The path contains no known type.
        """
        target = parse_path(request.parts, request.parameters)
        warnings = [JS_WARNING] if target.js else []
        page = Paging()
        try:
            if target.object_id is None and not target.current:
                page = parse_paging(request.parameters)
                return self._respond_query(request, target, page, warnings)
            if target.collection:
                page = parse_paging(request.parameters)
                return self._respond_collection(request, target, page, warnings)
            return self._respond_object(request, target, warnings)
        except NotFoundError as error:
            return create_operation_result(errors=[str(error)], warnings=warnings)
        except QueryError as error:
            return create_query_result([], 0, page, errors=[str(error)], warnings=warnings)

    def _respond_query(self, request: ApiRequest, target: Target, paging: Paging, warnings: Sequence[str]) -> Json:
        types = target.types
        if not types[0].queryable:
            raise NotFoundError(f"Type {types[0].path} cannot be queried")
        query = self._parse_query(request)
        order = parse_order(request.parameters.get("order"), types)
        scope = self._parse_scope(request)
        context = self._create_context(request)
        page: Sequence[Entity]
        if types[0].path.lower() in ARTIFACTS:
            indexes = find_items(self._world, types, query, order=order, scope=scope, context=context)
            total, page = len(indexes), [self._world.item(index) for index in indexes[paging.window]]
        elif types[0].path == "Revision":
            revisions = find_revisions(self._world, query, paging=paging, order=order, scope=scope, context=context)
            total, page = revisions.total, revisions.rows
        else:
            records = find_records(
                self._world, types[0], query, order=order, scope=scope, login=request.login, context=context
            )
            total, page = len(records), records[paging.window]
        renderer = self._create_renderer(request, default=fetching.STUB)
        return create_query_result([renderer.render_row(entity) for entity in page], total, paging, warnings=warnings)

    def _respond_object(self, request: ApiRequest, target: Target, warnings: Sequence[str]) -> Json:
        entity = self._find_entity(request, target)
        renderer = self._create_renderer(request, default=fetching.EVERYTHING)
        return create_object_result(entity.type.rpartition("/")[2], renderer.render_row(entity), warnings=warnings)

    def _find_entity(self, request: ApiRequest, target: Target) -> Entity:
        if target.current:
            return self._world.company.subscription if target.types[0].path == "Subscription" else request.login.user
        assert target.object_id is not None  # the caller has looked
        entity = self._world.find_entity(target.object_id)
        if (
            entity is None
            or entity.type not in {kind.path for kind in target.types}
            or not self._is_visible(entity, request.login)
        ):
            raise NotFoundError("Cannot find object to read")
        return entity

    def _is_visible(self, entity: Entity, login: Login) -> bool:
        match entity:
            case Item():
                project = entity.values["Project"]
                return not entity.deleted and project.values["State"] == "Open" and login.can_see(project)
            case Record(type="Project"):
                return login.can_see(entity)
            case Record(type="Workspace"):
                return login.can_see_workspace(entity)
            case Record(type="UserProfile"):
                return entity is login.user.values["UserProfile"]
            case Record():
                project = entity.values.get("Project")
                return not isinstance(project, Record) or login.can_see(project)
            case History() | RevisionRow():
                return self._is_visible(entity.owner, login)

    def _respond_collection(self, request: ApiRequest, target: Target, paging: Paging, warnings: Sequence[str]) -> Json:
        entity = self._find_entity(request, target)
        kind = TYPES[entity.type.lower()]
        name = next((entry for entry in kind.attributes if entry.lower() == target.collection.lower()), "")
        if not name or kind.attributes[name].kind != "COLLECTION":
            raise NotFoundError(f"Cannot find object to read: {entity.type} has no collection {target.collection}")
        group = get_value(self._world, entity, kind.attributes[name])
        members = self._list_members(request, group)
        types = list_concrete_types(group.type)
        query = self._parse_query(request)
        # Collections of types that the simulator does not know are empty.
        if types:
            order = parse_order(request.parameters.get("order"), types)
            members = filter_entities(
                self._world,
                members,
                types[0],
                query,
                order=order,
                context=self._create_context(request),
                shuffled=False,
            )
        # Without "fetch", a collection returns all attributes: pyral reads collections so and requests nothing later.
        renderer = self._create_renderer(request, default=fetching.EVERYTHING)
        rows = [renderer.render_row(entry) for entry in members[paging.window]]
        return create_query_result(rows, len(members), paging, warnings=warnings)

    def _list_members(self, request: ApiRequest, group: Group) -> list[Entity]:
        members = [self._world.item(member) if isinstance(member, int) else member for member in group.members]
        if group.type.lower() in ARTIFACTS:
            # Without "workspace", a collection of items is limited to the default one (rally-api-notes.md#scope).
            workspace = self._parse_scope(request).workspace
            members = [member for member in members if member.workspace is workspace]
        return [member for member in members if self._is_visible(member, request.login)]

    def _parse_query(self, request: ApiRequest) -> Query | None:
        text = request.parameters.get("query", "").strip()
        return parse_query(text) if text else None

    def _parse_scope(self, request: ApiRequest) -> Scope:
        return parse_scope(self._world.company, request.login, request.parameters)

    def _create_context(self, request: ApiRequest) -> QueryContext:
        return QueryContext(request.login.user, self._world.clock.milliseconds())

    def _create_renderer(self, request: ApiRequest, *, default: fetching.Fetch) -> Renderer:
        fetch = fetching.parse_fetch(request.parameters.get("fetch"), default=default)
        compact = request.parameters.get("compact", "").lower() == "true"
        return Renderer(self._world, base=request.base, fetch=fetch, compact=compact)


def get_request_kind(parts: Sequence[str]) -> str:
    """Return the kind of a request for faults and statistics: its type, or ``type/collection``, in lower case."""
    words = [part.lower().removesuffix(".js") for part in parts if part]
    names = [word for word in words if not _is_id(word)]
    return "/".join(names)
