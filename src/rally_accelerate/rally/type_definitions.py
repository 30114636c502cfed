"""Attribute definitions of a workspace: display names, types, and which attributes are custom."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rally_accelerate.errors import AccessDeniedError, NotFoundError, RejectedError
from rally_accelerate.rally.history_fields import TrackedFields
from rally_accelerate.rally.keyset_paging import Row, is_doubtful
from rally_accelerate.rally.responses import Answer
from rally_accelerate.rally.session import Session
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


async def read_types(session: Session, *, workspace: int) -> TypeNames:
    """Read the types of a workspace; there are some seventy (rally-api-notes.md#type-definitions).

    Args:
        session: Sends requests to Rally.
        workspace: The workspace's ObjectID.
    """
    params = {"workspace": f"/workspace/{workspace}", "fetch": _FETCH, "order": "ObjectID"}
    rows = await _read_all(session, "typedefinition", f"{WSAPI}/typedefinition", params)
    return TypeNames(definition for row in rows if (definition := _type(row)) is not None)


async def read_attributes(
    session: Session, *, workspace: int, types: TypeNames, kinds: Sequence[str]
) -> Mapping[str, Sequence[Attribute]]:
    """Read the attributes of each type, by wire name.

    Args:
        session: Sends requests to Rally.
        workspace: The workspace's ObjectID.
        types: The types of the workspace.
        kinds: Wire names, lower case.

    Raises:
        NotFoundError: The workspace lacks a type.
    """
    by_kind = {definition.kind: definition.object_id for definition in types.definitions}
    attributes: dict[str, Sequence[Attribute]] = {}
    for kind in kinds:
        definition = by_kind.get(kind)
        if definition is None:
            raise NotFoundError(
                f"The workspace has no type {kind}.",
                hint="Check types: each workspace names its portfolio levels.",
            )
        attributes[kind] = await _read_attributes(session, workspace, definition)
    return attributes


async def read_allowed_values(
    session: Session, *, workspace: int, types: TypeNames, fields: Mapping[str, Collection[str]]
) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Read the values that fields can have, by wire name of their type and by element name.

    A field without a list of values has an empty one; fields that a type does not have are left out.

    Args:
        session: Sends requests to Rally.
        workspace: The workspace's ObjectID.
        types: The types of the workspace.
        fields: Element names by wire name.
    """
    by_kind = {definition.kind: definition.object_id for definition in types.definitions}
    values_by_kind: dict[str, dict[str, Sequence[str]]] = {}
    for kind, names in fields.items():
        if kind not in by_kind:
            continue
        params = {"workspace": f"/workspace/{workspace}", "fetch": "ObjectID,ElementName", "order": "ObjectID"}
        path = f"{WSAPI}/TypeDefinition/{by_kind[kind]}/Attributes"
        for row in await _read_all(session, "attributedefinition", path, params):
            oid, name = ref_id(row), str(row.get("ElementName") or "")
            if name not in names or oid is None:
                continue
            # rally-api-notes.md#type-definitions
            listed = f"{WSAPI}/attributedefinition/{oid}/AllowedValues"
            rows = await _read_all(session, "attributedefinition", listed, {**params, "fetch": "StringValue"})
            values = [value for value_row in rows if isinstance(value := value_row.get("StringValue"), str) and value]
            values_by_kind.setdefault(kind, {})[name] = values
    return values_by_kind


def _type(row: Row) -> TypeDefinition | None:
    oid, path = ref_id(row), str(row.get("TypePath") or "")
    if oid is None or not path:
        return None
    above = row.get("Parent")
    names = ("TypePath", "Name", "_refObjectName")
    parent = next((str(above[name]) for name in names if above.get(name)), "") if isinstance(above, Mapping) else ""
    return TypeDefinition(
        object_id=oid,
        path=path,
        element_name=str(row.get("ElementName") or ""),
        display_name=str(row.get("DisplayName") or ""),
        name=str(row.get("Name") or ""),
        parent=parent,
        abstract=row.get("Abstract") is True,
    )


async def _read_attributes(session: Session, workspace: int, definition: int) -> Sequence[Attribute]:
    params = {"workspace": f"/workspace/{workspace}", "fetch": _ATTRIBUTE_FETCH, "order": "ObjectID"}
    path = f"{WSAPI}/TypeDefinition/{definition}/Attributes"
    return tuple(_attribute(row) for row in await _read_all(session, "attributedefinition", path, params))


async def _read_all(session: Session, what: str, path: str, params: Mapping[str, str]) -> list[Row]:
    """Read every row of a list by offset, because built-in definitions have negative ids.

    See rally-api-notes.md#type-definitions.
    """
    rows: list[Row] = []
    while True:
        start = len(rows) + 1
        answer, _ = await session.read_page(what, partial(_page_request, path, params, start), doubtful=is_doubtful)
        some = _rows(answer)
        rows.extend(some)
        total = answer.data.get("TotalResultCount")
        if not some or not isinstance(total, int) or len(rows) >= total:
            return rows


def _page_request(path: str, params: Mapping[str, str], start: int, size: int) -> Request:
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


class LabelReader:
    """Reader of the labels of tracked fields; each type's definitions are read once.

    Args:
        session: Sends requests to Rally.
        workspace: The workspace's ObjectID.
        fields: The tracked fields.
    """

    def __init__(self, session: Session, *, workspace: int, fields: TrackedFields) -> None:
        self._session = session
        self._workspace = workspace
        self._fields = fields
        self._known: dict[str, TrackedFields] = {}
        self._types: TypeNames | None = None

    async def read(self, kind: str) -> TrackedFields:
        """Return the fields with the labels of a kind; Rally's default labels if definitions cannot be read."""
        if kind not in self._known:
            try:
                if self._types is None:
                    self._types = await read_types(self._session, workspace=self._workspace)
                attributes = await read_attributes(
                    self._session, workspace=self._workspace, types=self._types, kinds=[kind]
                )
                self._known[kind] = add_labels(self._fields, attributes[kind])
            except (AccessDeniedError, NotFoundError, RejectedError) as error:
                logger.info("the fields' display names cannot be read, Rally's own are used: %s", error)
                self._known[kind] = self._fields
        return self._known[kind]


def add_labels(fields: TrackedFields, attributes: Sequence[Attribute]) -> TrackedFields:
    """Add today's labels to those that fields have by default.

    Args:
        fields: The tracked fields.
        attributes: One type's definitions.
    """
    today = {
        attribute.element_name: attribute.display_name.strip().upper()
        for attribute in attributes
        if attribute.display_name.strip()
    }
    tracked = {field.name for field in fields.fields}
    # A current label belongs to the field that has it today. Only custom fields take labels from others:
    # built-in ones mirror each other, as Feature does PortfolioItem (rally-api-notes.md#portfolio-levels).
    used_labels = {
        today[attribute.element_name]
        for attribute in attributes
        if attribute.custom and attribute.element_name in today
    }
    used_labels |= {today[name] for name in tracked & today.keys()}
    return TrackedFields(
        tuple(
            replace(
                field,
                labels=tuple(dict.fromkeys((*own, *(label for label in field.labels if label not in used_labels)))),
            )
            for field in fields.fields
            for own in [(today[field.name],) if field.name in today else ()]
        )
    )
