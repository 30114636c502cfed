"""Objects as JSON: rows, stubs, nested objects and collections.

See rally-api-notes.md#envelopes and rally-api-notes.md#fetch.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from rally_sandbox.attribute_values import make_reader
from rally_sandbox.clock import DAY, HOUR, MINUTE, format_iso
from rally_sandbox.parameters import EVERYTHING, MAX_SIZE, VERSION, Fetch, Json, Paging, create_query_result
from rally_sandbox.records import Entity, Group, History, Item, Record, RevisionRow, make_uuid
from rally_sandbox.schema import TYPES, Attribute, Type

if TYPE_CHECKING:
    from rally_sandbox.world import World


WSAPI = "/slm/webservice/v2.0"

#: Collections whose elements' names are inlined, and what else of them (rally-api-notes.md#collections).
_INLINED = {"Tags": (), "Milestones": ("DisplayColor", "TargetDate")}

ValueReader = Callable[[Entity], Any]


class Renderer:
    """Renders the objects of one response; repeated nested objects are cached.

    Args:
        world: The world.
        base: Scheme and host of refs.
        fetch: The requested attributes.
        compact: Relative refs and no version members (rally-api-notes.md#compact-answers).
    """

    def __init__(self, world: "World", *, base: str, fetch: Fetch, compact: bool = False) -> None:
        self._world = world
        self._base = ("" if compact else base) + WSAPI
        self._fetch = fetch
        self._version: dict[str, str] = {} if compact else dict(VERSION)
        self._rows: dict[str, list[tuple[str, ValueReader]]] = {}
        self._nested_plans: dict[str, list[tuple[str, ValueReader]]] = {}
        #: Nested objects repeat from row to row; they are cached as JSON.
        self._nested_cache: dict[int, orjson.Fragment] = {}
        self._cuts = 0
        self._open: list[int] = []
        self._now = world.clock.milliseconds()

    def render_row(self, entity: Entity) -> Json:
        """Render a row of a result, or a single object."""
        plan = self._rows.get(entity.type)
        if plan is None:
            kind = TYPES[entity.type.lower()]
            plan = self._rows[entity.type] = self._create_plan(kind, self._fetch.list_row_attributes(kind))
        rendered = self._render_head(entity)
        rendered["_objectVersion"] = str(entity.version)
        if plan:
            rendered["_CreatedAt"] = self._format_age(entity.created)
            self._open.append(entity.object_id)
            for name, show in plan:
                rendered[name] = show(entity)
            self._open.pop()
        return rendered

    def render_reference(self, entity: Entity) -> Any:
        """Render a nested object: a stub, unless one of its attributes is fetched."""
        object_id = entity.object_id
        cached = self._nested_cache.get(object_id)
        if cached is not None:
            return cached
        plan = self._nested_plans.get(entity.type)
        if plan is None:
            kind = TYPES.get(entity.type.lower())
            plan = self._create_plan(kind, self._fetch.list_nested_attributes(kind)) if kind is not None else []
            self._nested_plans[entity.type] = plan
        rendered = self._render_head(entity)
        if plan and object_id in self._open:
            # An object nested in itself, such as a user in the owner of their default project, is a stub.
            self._cuts += 1
            return rendered
        cuts = self._cuts
        if plan:
            rendered["_objectVersion"] = str(entity.version)
            self._open.append(object_id)
            for name, show in plan:
                rendered[name] = show(entity)
            self._open.pop()
        if isinstance(entity, History | RevisionRow):
            return rendered
        finished = orjson.Fragment(orjson.dumps(rendered))
        # An object with such a stub inside differs in other places.
        if cuts == self._cuts:
            self._nested_cache[object_id] = finished
        return finished

    def ref(self, entity: Entity) -> str:
        """Return the URL of an object."""
        return f"{self._base}/{entity.type.lower()}/{entity.object_id}"

    def _render_head(self, entity: Entity) -> Json:
        object_id = entity.object_id
        head: Json = {
            **self._version,
            "_ref": f"{self._base}/{entity.type.lower()}/{object_id}",
            "_refObjectUUID": make_uuid(object_id),
            "_type": entity.type,
        }
        if not isinstance(entity, History | RevisionRow):
            head["_refObjectName"] = entity.name
        return head

    def _create_plan(self, kind: Type, attributes: list[Attribute]) -> list[tuple[str, ValueReader]]:
        return [
            (attribute.name, self._create_reader(attribute, make_reader(self._world, kind.path, attribute)))
            for attribute in attributes
        ]

    def _create_reader(self, attribute: Attribute, read: ValueReader) -> ValueReader:
        name = attribute.name
        match attribute.kind:
            case "DATE":

                def date(entity: Entity) -> Any:
                    value = read(entity)
                    return None if value is None else format_iso(value)

                return date
            case "OBJECT":

                def reference(entity: Entity) -> Any:
                    value = read(entity)
                    return None if value is None else self.render_reference(value)

                return reference
            case "COLLECTION":
                return lambda entity: self._render_collection(entity, name, read(entity))
            case "STATE" | "RATING" | "STRING":
                return lambda entity: self._render_scalar(read(entity))
            case _:
                return read

    def _render_scalar(self, value: Any) -> Any:
        # A work item's State is text, a portfolio item's is an object; /artifact returns both.
        return self.render_reference(value) if isinstance(value, Record) else value

    def _render_collection(self, owner: Entity, name: str, group: Group) -> Json:
        rendered: Json = {
            **self._version,
            "_ref": f"{self._base}/{owner.type}/{owner.object_id}/{name}",
            "_type": group.type,
            "Count": len(group.members),
        }
        inlined = _INLINED.get(name)
        if inlined is not None and isinstance(owner, Item):
            rendered["_tagsNameArray"] = [self._render_inline(member, inlined) for member in group.members]
        return rendered

    def _render_inline(self, element: Record, names: tuple[str, ...]) -> Json:
        entry: Json = {"Name": element.name, "_ref": f"{self._base}/{element.type.lower()}/{element.object_id}"}
        for name in names:
            value = element.values[name]
            entry[name] = format_iso(value) if isinstance(value, int) else value
        return entry

    def _format_age(self, created: int) -> str:
        """Format the age as text for people (rally-api-notes.md#envelopes)."""
        age = self._now - created
        if age < MINUTE:
            return "just now"
        if age < HOUR:
            return f"{age // MINUTE} minutes ago"
        if age < DAY:
            return f"{age // HOUR} hours ago"
        return f"{age // DAY} days ago"


def render_schema(world: "World", *, base: str) -> Json:
    """Render the definitions of all types with their attributes and allowed values in place."""
    renderer = Renderer(world, base=base, fetch=EVERYTHING)
    rows: list[Json] = []
    for definition in world.company.records_of("typedefinition"):
        row = renderer.render_row(definition)
        attributes = definition.values.get("Attributes", Group("AttributeDefinition"))
        row["Attributes"] = [_render_attribute(renderer, attribute) for attribute in attributes.members]
        rows.append(row)
    return create_query_result(rows, len(rows), Paging(size=MAX_SIZE))


def _render_attribute(renderer: Renderer, attribute: Record) -> Json:
    row: Json = renderer.render_row(attribute)
    row["SchemaType"] = attribute.values["SchemaType"]
    allowed: list[dict[str, Any]] = [
        {"StringValue": value.name, "LocalizedStringValue": value.name}
        for value in attribute.values["AllowedValues"].members
    ]
    row["AllowedValues"] = allowed
    return row
