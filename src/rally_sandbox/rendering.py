"""Objects as JSON: rows, stubs, nested objects and collections.

See rally-api-notes.md#envelopes and rally-api-notes.md#fetch.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from rally_sandbox.attribute_values import reader
from rally_sandbox.clock import DAY, HOUR, MINUTE, iso
from rally_sandbox.parameters import EVERYTHING, LARGEST_SIZE, VERSION, Fetch, Json, Paging, query_result
from rally_sandbox.records import Entity, Group, History, Item, Record, RevisionRow, uuid_of
from rally_sandbox.schema import TYPES, Attribute, Type

if TYPE_CHECKING:
    from rally_sandbox.world import World


WSAPI = "/slm/webservice/v2.0"

#: Collections whose elements' names are inlined, and what else of them (rally-api-notes.md#collections).
_INLINED = {"Tags": (), "Milestones": ("DisplayColor", "TargetDate")}

Show = Callable[[Entity], Any]


class Renderer:
    """Renders for one request; what it nests twice it renders once.

    Args:
        world: The world.
        base: Scheme and host that refs begin with.
        fetch: What is wanted.
        compact: Relative refs and no version members (rally-api-notes.md#compact-answers).
    """

    def __init__(self, world: "World", *, base: str, fetch: Fetch, compact: bool = False) -> None:
        self._world = world
        self._base = ("" if compact else base) + WSAPI
        self._fetch = fetch
        self._version: dict[str, str] = {} if compact else dict(VERSION)
        self._rows: dict[str, list[tuple[str, Show]]] = {}
        self._nested_plans: dict[str, list[tuple[str, Show]]] = {}
        #: Nested objects repeat from row to row; they are kept as the bytes that they become.
        self._done: dict[int, orjson.Fragment] = {}
        self._cuts = 0
        self._open: list[int] = []
        self._now = world.clock.milliseconds()

    def row(self, entity: Entity) -> Json:
        """A row of a result, or a single object."""
        plan = self._rows.get(entity.type)
        if plan is None:
            kind = TYPES[entity.type.lower()]
            plan = self._rows[entity.type] = self._plan(kind, self._fetch.of_row(kind))
        rendered = self._head(entity)
        rendered["_objectVersion"] = str(entity.version)
        if plan:
            rendered["_CreatedAt"] = self._created_at(entity.created)
            self._open.append(entity.object_id)
            for name, show in plan:
                rendered[name] = show(entity)
            self._open.pop()
        return rendered

    def reference(self, entity: Entity) -> Any:
        """A nested object: a stub, unless one of its attributes is fetched."""
        object_id = entity.object_id
        done = self._done.get(object_id)
        if done is not None:
            return done
        plan = self._nested_plans.get(entity.type)
        if plan is None:
            kind = TYPES.get(entity.type.lower())
            plan = self._plan(kind, self._fetch.of_nested(kind)) if kind is not None else []
            self._nested_plans[entity.type] = plan
        rendered = self._head(entity)
        if plan and object_id in self._open:
            # An object within itself, as a user in the owner of their default project, stays a stub.
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
        # What was cut somewhere inside looks different elsewhere.
        if cuts == self._cuts:
            self._done[object_id] = finished
        return finished

    def ref(self, entity: Entity) -> str:
        """The address of an object."""
        return f"{self._base}/{entity.type.lower()}/{entity.object_id}"

    def _head(self, entity: Entity) -> Json:
        object_id = entity.object_id
        head: Json = {
            **self._version,
            "_ref": f"{self._base}/{entity.type.lower()}/{object_id}",
            "_refObjectUUID": uuid_of(object_id),
            "_type": entity.type,
        }
        if not isinstance(entity, History | RevisionRow):
            head["_refObjectName"] = entity.name
        return head

    def _plan(self, kind: Type, attributes: list[Attribute]) -> list[tuple[str, Show]]:
        return [(each.name, self._show(each, reader(self._world, kind.path, each))) for each in attributes]

    def _show(self, attribute: Attribute, read: Show) -> Show:
        name = attribute.name
        match attribute.kind:
            case "DATE":

                def date(entity: Entity) -> Any:
                    value = read(entity)
                    return None if value is None else iso(value)

                return date
            case "OBJECT":

                def reference(entity: Entity) -> Any:
                    value = read(entity)
                    return None if value is None else self.reference(value)

                return reference
            case "COLLECTION":
                return lambda entity: self._collection(entity, name, read(entity))
            case "STATE" | "RATING" | "STRING":
                return lambda entity: self._scalar(read(entity))
            case _:
                return read

    def _scalar(self, value: Any) -> Any:
        # A work item's State is text, a portfolio item's an object; the attribute tables of both meet on /artifact.
        return self.reference(value) if isinstance(value, Record) else value

    def _collection(self, owner: Entity, name: str, group: Group) -> Json:
        rendered: Json = {
            **self._version,
            "_ref": f"{self._base}/{owner.type}/{owner.object_id}/{name}",
            "_type": group.type,
            "Count": len(group.members),
        }
        inlined = _INLINED.get(name)
        if inlined is not None and isinstance(owner, Item):
            rendered["_tagsNameArray"] = [self._inlined(each, inlined) for each in group.members]
        return rendered

    def _inlined(self, element: Record, names: tuple[str, ...]) -> Json:
        entry: Json = {"Name": element.name, "_ref": f"{self._base}/{element.type.lower()}/{element.object_id}"}
        for name in names:
            value = element.values[name]
            entry[name] = iso(value) if isinstance(value, int) else value
        return entry

    def _created_at(self, created: int) -> str:
        """Text for people, never to be parsed (rally-api-notes.md#envelopes)."""
        age = self._now - created
        if age < MINUTE:
            return "just now"
        if age < HOUR:
            return f"{age // MINUTE} minutes ago"
        if age < DAY:
            return f"{age // HOUR} hours ago"
        return f"{age // DAY} days ago"


def schema_document(world: "World", *, base: str) -> Json:
    """The definitions of all types; unlike elsewhere, attributes and allowed values are written out in place."""
    renderer = Renderer(world, base=base, fetch=EVERYTHING)
    rows: list[Json] = []
    for definition in world.company.of("typedefinition"):
        row = renderer.row(definition)
        attributes = definition.values.get("Attributes", Group("AttributeDefinition"))
        row["Attributes"] = [_attribute(renderer, each) for each in attributes.members]
        rows.append(row)
    return query_result(rows, len(rows), Paging(size=LARGEST_SIZE))


def _attribute(renderer: Renderer, attribute: Record) -> Json:
    row: Json = renderer.row(attribute)
    row["SchemaType"] = attribute.values["SchemaType"]
    allowed: list[dict[str, Any]] = [
        {"StringValue": each.name, "LocalizedStringValue": each.name}
        for each in attribute.values["AllowedValues"].members
    ]
    row["AllowedValues"] = allowed
    return row
