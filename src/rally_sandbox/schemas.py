"""``/slm/schema/v2.0/…``: every type with its attributes in one answer, undocumented but asked for by toolkits."""

from typing import TYPE_CHECKING, Any

from rally_sandbox.envelopes import Json, query_result
from rally_sandbox.fetch import EVERYTHING
from rally_sandbox.paging import LARGEST_SIZE, Paging
from rally_sandbox.records import Group, Record
from rally_sandbox.render import Renderer

if TYPE_CHECKING:
    from rally_sandbox.world import World


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
