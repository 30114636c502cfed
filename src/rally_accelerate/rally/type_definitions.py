"""The attributes that a workspace defines for its types: their names for people, and which are its own."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rally_accelerate.errors import AccessDeniedError, NotFoundError, RejectedError
from rally_accelerate.rally.history_fields import PastFields
from rally_accelerate.rally.keyset_paging import Row, is_doubtful
from rally_accelerate.rally.responses import Answer
from rally_accelerate.rally.session import Caller
from rally_accelerate.rally.type_names import TypeDefinition, TypeNames
from rally_accelerate.rally.wsapi import WSAPI, Request, ref_id

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
        NotFoundError: The workspace lacks a type.
    """
    by_kind = {each.kind: each.object_id for each in types.definitions}
    attributes: dict[str, Sequence[Attribute]] = {}
    for kind in kinds:
        definition = by_kind.get(kind)
        if definition is None:
            raise NotFoundError(
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


logger = logging.getLogger(__name__)


class Labels:
    """The tracked fields of each type with their labels; each type's definitions are asked for once.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
        fields: What is tracked.
    """

    def __init__(self, caller: Caller, *, workspace: int, fields: PastFields) -> None:
        self._caller = caller
        self._workspace = workspace
        self._fields = fields
        self._known: dict[str, PastFields] = {}
        self._types: TypeNames | None = None

    async def of(self, kind: str) -> PastFields:
        """The fields as a kind's revisions call them; by Rally's own labels where definitions cannot be read."""
        if kind not in self._known:
            try:
                if self._types is None:
                    self._types = await types_of(self._caller, workspace=self._workspace)
                attributes = await attributes_of(
                    self._caller, workspace=self._workspace, types=self._types, kinds=[kind]
                )
                self._known[kind] = labelled(self._fields, attributes[kind])
            except (AccessDeniedError, NotFoundError, RejectedError) as error:
                logger.info("the fields' display names cannot be read, Rally's own are used: %s", error)
                self._known[kind] = self._fields
        return self._known[kind]


def labelled(fields: PastFields, attributes: Sequence[Attribute]) -> PastFields:
    """The fields with today's labels besides those that they have by themselves.

    Args:
        fields: What is tracked.
        attributes: One type's definitions.
    """
    today = {each.element_name: each.display_name.strip().upper() for each in attributes if each.display_name.strip()}
    tracked = {each.name for each in fields.fields}
    # A label that another field bears today tells of that one. Only fields of the workspace's own take labels away:
    # Rally's own ones mirror each other, as Feature does PortfolioItem (rally-api-notes.md#portfolio-levels).
    taken = {today[each.element_name] for each in attributes if each.custom and each.element_name in today}
    taken |= {today[name] for name in tracked & today.keys()}
    return PastFields(
        tuple(
            replace(each, labels=tuple(dict.fromkeys((*own, *(label for label in each.labels if label not in taken)))))
            for each in fields.fields
            for own in [(today[each.name],) if each.name in today else ()]
        )
    )
