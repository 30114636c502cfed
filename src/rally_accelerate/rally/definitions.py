"""The attributes that a workspace defines for its types: their names for people, and which are its own."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rally_accelerate.errors import NotFound
from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.decipher import Answer
from rally_accelerate.rally.keyset import Row, is_doubtful
from rally_accelerate.rally.typenames import TypeDefinition, TypeNames
from rally_accelerate.rally.wire import WSAPI, Request, ref_id

_FETCH = "ObjectID,Name,DisplayName,ElementName,TypePath,Parent,Abstract"
_ATTRIBUTE_FETCH = "ElementName,Name,AttributeType,Custom,Hidden,AllowedValueType"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One field of a type as its workspace defines it (rally-api-notes.md#type-definitions)."""

    element_name: str
    display_name: str
    attribute_type: str
    custom: bool
    #: What a reference refers to, by the element name of its type; empty for other attributes.
    target: str = ""


async def types_of(caller: Caller, *, workspace: int) -> TypeNames:
    """Read the types of a workspace; there are some seventy (rally-api-notes.md#type-definitions).

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
    """
    params = {"workspace": f"/workspace/{workspace}", "fetch": _FETCH, "order": "ObjectID"}
    rows = await _every(caller, "typedefinition", f"{WSAPI}/typedefinition", params)
    return TypeNames(each for row in rows if (each := _type(row)) is not None)


async def attributes_of(
    caller: Caller, *, workspace: int, types: TypeNames, kinds: Sequence[str]
) -> Mapping[str, Sequence[Attribute]]:
    """The attributes of each type, by wire name.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
        types: What the workspace has.
        kinds: Wire names, lower case.

    Raises:
        NotFound: The workspace lacks a type.
    """
    by_kind = {each.kind: each.object_id for each in types.definitions}
    attributes: dict[str, Sequence[Attribute]] = {}
    for kind in kinds:
        definition = by_kind.get(kind)
        if definition is None:
            raise NotFound(
                f"The workspace has no type {kind}.",
                hint="Check types: portfolio levels have own names.",
            )
        attributes[kind] = await _defined(caller, workspace, definition)
    return attributes


async def values_of(
    caller: Caller, *, workspace: int, types: TypeNames, fields: Mapping[str, Collection[str]]
) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Read the values that fields can have, by wire name of their type and by element name.

    A field without a list of values has an empty one; fields that a type does not have are left out.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
        types: What the workspace has.
        fields: Element names by wire name.
    """
    by_kind = {each.kind: each.object_id for each in types.definitions}
    found: dict[str, dict[str, Sequence[str]]] = {}
    for kind, names in fields.items():
        if kind not in by_kind:
            continue
        params = {"workspace": f"/workspace/{workspace}", "fetch": "ObjectID,ElementName", "order": "ObjectID"}
        path = f"{WSAPI}/TypeDefinition/{by_kind[kind]}/Attributes"
        for row in await _every(caller, "attributedefinition", path, params):
            its_id, name = ref_id(row), str(row.get("ElementName") or "")
            if name not in names or its_id is None:
                continue
            # rally-api-notes.md#type-definitions
            listed = f"{WSAPI}/attributedefinition/{its_id}/AllowedValues"
            rows = await _every(caller, "attributedefinition", listed, {**params, "fetch": "StringValue"})
            values = [value for each in rows if isinstance(value := each.get("StringValue"), str) and value]
            found.setdefault(kind, {})[name] = values
    return found


def _type(row: Row) -> TypeDefinition | None:
    its_id, path = ref_id(row), str(row.get("TypePath") or "")
    if its_id is None or not path:
        return None
    above = row.get("Parent")
    names = ("TypePath", "Name", "_refObjectName")
    parent = next((str(above[name]) for name in names if above.get(name)), "") if isinstance(above, Mapping) else ""
    return TypeDefinition(
        object_id=its_id,
        path=path,
        element_name=str(row.get("ElementName") or ""),
        display_name=str(row.get("DisplayName") or ""),
        name=str(row.get("Name") or ""),
        parent=parent,
        abstract=row.get("Abstract") is True,
    )


async def _defined(caller: Caller, workspace: int, definition: int) -> Sequence[Attribute]:
    params = {"workspace": f"/workspace/{workspace}", "fetch": _ATTRIBUTE_FETCH, "order": "ObjectID"}
    path = f"{WSAPI}/TypeDefinition/{definition}/Attributes"
    return tuple(_attribute(row) for row in await _every(caller, "attributedefinition", path, params))


async def _every(caller: Caller, what: str, path: str, params: Mapping[str, str]) -> list[Row]:
    """Every row of a list, page by page from its start: built-in definitions have negative ids.

    See rally-api-notes.md#type-definitions.
    """
    rows: list[Row] = []
    while True:
        start = len(rows) + 1
        answer, _ = await caller.page(what, partial(_from, path, params, start), doubtful=is_doubtful)
        some = _rows(answer)
        rows.extend(some)
        total = answer.data.get("TotalResultCount")
        if not some or not isinstance(total, int) or len(rows) >= total:
            return rows


def _from(path: str, params: Mapping[str, str], start: int, size: int) -> Request:
    return Request(path, {**params, "start": str(start), "pagesize": str(size)})


def _rows(answer: Answer) -> list[Row]:
    rows = answer.data.get("Results")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _attribute(row: Row) -> Attribute:
    target = row.get("AllowedValueType")
    return Attribute(
        element_name=str(row.get("ElementName") or ""),
        display_name=str(row.get("Name") or ""),
        attribute_type=str(row.get("AttributeType") or ""),
        custom=row.get("Custom") is True,
        target=str(target.get("ElementName") or target.get("_refObjectName") or "") if isinstance(target, dict) else "",
    )
