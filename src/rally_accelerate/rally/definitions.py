"""The attributes that a workspace defines for its types: their names for people, and which are its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rally_accelerate.errors import NotFound
from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.decipher import Answer
from rally_accelerate.rally.keyset import Row, is_doubtful
from rally_accelerate.rally.query import any_of
from rally_accelerate.rally.wire import WSAPI, Request, ref_id

#: TypePaths of the wire names whose spelling differs in more than case (rally-api.md 1.1).
_TYPE_PATHS = {
    "hierarchicalrequirement": "HierarchicalRequirement",
    "defect": "Defect",
    "defectsuite": "DefectSuite",
    "task": "Task",
    "testcase": "TestCase",
    "testset": "TestSet",
    "portfolioitem": "PortfolioItem",
}

_FETCH = ("ObjectID", "Name", "ElementName", "TypePath")
_ATTRIBUTE_FETCH = "ElementName,Name,AttributeType,Custom,Hidden,AllowedValueType"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One field of a type as its workspace defines it (rally-api.md 2.2.28)."""

    element_name: str
    display_name: str
    attribute_type: str
    custom: bool
    #: What a reference refers to, by the element name of its type; empty for other attributes.
    target: str = ""


async def attributes_of(caller: Caller, *, workspace: int, kinds: Sequence[str]) -> Mapping[str, Sequence[Attribute]]:
    """The attributes of each type, by wire name.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
        kinds: Wire names, lower case.

    Raises:
        NotFound: The workspace lacks a type.
    """
    params = {
        "workspace": f"/workspace/{workspace}",
        "fetch": ",".join(_FETCH),
        "query": any_of("TypePath", [_type_path(kind) for kind in kinds]).render(),
        "order": "ObjectID",
    }
    found = await _every(caller, "typedefinition", f"{WSAPI}/typedefinition", params)
    # Comparison of texts ignores case [M]; a server for which it counts still lists every type.
    by_kind = {str(row.get("TypePath") or "").lower(): ref_id(row) for row in found}
    attributes: dict[str, Sequence[Attribute]] = {}
    for kind in kinds:
        definition = by_kind.get(kind)
        if definition is None:
            raise NotFound(
                f"The workspace has no type {_type_path(kind)}.",
                hint="Check types: portfolio levels have own names.",
            )
        attributes[kind] = await _defined(caller, workspace, definition)
    return attributes


def _type_path(kind: str) -> str:
    return _TYPE_PATHS.get(kind, kind)


async def _defined(caller: Caller, workspace: int, definition: int) -> Sequence[Attribute]:
    params = {"workspace": f"/workspace/{workspace}", "fetch": _ATTRIBUTE_FETCH, "order": "ObjectID"}
    path = f"{WSAPI}/TypeDefinition/{definition}/Attributes"
    return tuple(_attribute(row) for row in await _every(caller, "attributedefinition", path, params))


async def _every(caller: Caller, what: str, path: str, params: Mapping[str, str]) -> list[Row]:
    """Every row of a list, page by page from its start: built-in definitions have negative ids (rally-api.md 1.1)."""
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
