"""The published GraphQL types of Accelerate: reads the tables in ``schemas`` and writes them as GraphQL schemas.

Table A describes an older server (4.x), table B a newer one (5.x); ``schemas/README.md`` explains their format. This
module needs no GraphQL library: pass the text to ``graphql.build_schema`` where one is installed.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "schemas"

#: The schema language's word for each kind that has fields.
KEYWORDS = {"object": "type", "input": "input", "interface": "interface"}

Table = Mapping[str, Mapping[str, Any]]


class Server(StrEnum):
    """A server generation with a published schema."""

    A = "a"
    B = "b"


def load_table(server: Server) -> dict[str, dict[str, Any]]:
    """Load the table of one server generation: type names with their kinds and members."""
    content = (FOLDER / f"accelerate_types_{server.value}.json").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = json.loads(content)
    return table


def sdl(table: Table) -> str:
    """Write a table in GraphQL's schema language."""
    return "\n".join(_definition(name, entry) for name, entry in table.items()) + "\n"


def merge(preferred: Table, other: Table) -> dict[str, dict[str, Any]]:
    """Merge two tables into one that has everything of both.

    Every document that is valid for ``preferred`` stays valid. Where the two differ, ``preferred`` decides; but an
    argument or input field may be null wherever one of them allows it, so that values are accepted that are valid for
    either. What only ``other`` has is added; an argument or input field that only ``other`` requires becomes optional.

    Args:
        preferred: A table, whole.
        other: The table whose additional types, fields, arguments and values are added.
    """
    names = {**preferred, **other}
    return {name: _merge_type(preferred.get(name), other.get(name)) for name in names}


def _merge_type(preferred: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> dict[str, Any]:
    if preferred is None or other is None or preferred["kind"] != other["kind"]:
        return dict(preferred or other or {})
    result = dict(preferred)
    for members in ("values", "types"):
        if members in preferred:
            result[members] = list(dict.fromkeys([*preferred[members], *other[members]]))
    if preferred["kind"] == "input":
        result["fields"] = _merge_inputs(preferred["fields"], other["fields"])
    elif "fields" in preferred:
        fields = {**other["fields"], **preferred["fields"]}
        ours = preferred["fields"]
        theirs = other["fields"]
        result["fields"] = {
            name: _with_arguments(ours[name], theirs[name]) if name in ours and name in theirs else field
            for name, field in fields.items()
        }
    return result


def _with_arguments(preferred: Any, other: Any) -> Any:
    """Return a field with the arguments of both tables."""
    ours, theirs = (field.get("args", {}) if isinstance(field, Mapping) else {} for field in (preferred, other))
    if not theirs:
        return preferred
    type_ = preferred if isinstance(preferred, str) else preferred["type"]
    return {"type": type_, "args": _merge_inputs(ours, theirs)}


def _merge_inputs(preferred: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments, or input fields, of both tables."""
    result = dict(preferred)
    for name, theirs in other.items():
        result[name] = _lenient(result[name], theirs) if name in result else _optional(theirs)
    return result


def _lenient(preferred: Any, other: Any) -> Any:
    """Return an argument that may be null wherever one of the two may; the preferred one where their types differ."""
    ours, theirs = (field if isinstance(field, str) else field["type"] for field in (preferred, other))
    if ours.replace("!", "") != theirs.replace("!", ""):
        return preferred
    type_ = _nullable(ours, theirs)
    return type_ if isinstance(preferred, str) else {**preferred, "type": type_}


def _nullable(one: str, other: str) -> str:
    required = "!" if one.endswith("!") and other.endswith("!") else ""
    one, other = one.removesuffix("!"), other.removesuffix("!")
    return f"[{_nullable(one[1:-1], other[1:-1])}]{required}" if one.startswith("[") else f"{one}{required}"


def _optional(argument: Any) -> Any:
    if isinstance(argument, str):
        return argument.removesuffix("!")
    return argument if "default" in argument else {**argument, "type": argument["type"].removesuffix("!")}


def _definition(name: str, entry: Mapping[str, Any]) -> str:
    match entry["kind"]:
        case "scalar":
            return f"scalar {name}"
        case "enum":
            return f"enum {name} {{ {' '.join(entry['values'])} }}"
        case "union":
            return f"union {name} = {' | '.join(entry['types'])}"
        case kind:
            interfaces = entry.get("interfaces")
            implements = f" implements {' & '.join(interfaces)}" if interfaces else ""
            body = "\n".join(_field(field, value) for field, value in entry["fields"].items())
            return f"{KEYWORDS[kind]} {name}{implements} {{\n{body}\n}}"


def _field(name: str, value: Any) -> str:
    if isinstance(value, Mapping) and value.get("args"):
        arguments = ", ".join(f"{argument}: {_type_text(given)}" for argument, given in value["args"].items())
        return f"  {name}({arguments}): {_type_text(value)}"
    return f"  {name}: {_type_text(value)}"


def _type_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value['type']} = {value['default']}" if "default" in value else str(value["type"])
