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
        arguments = ", ".join(f"{argument}: {_typed(given)}" for argument, given in value["args"].items())
        return f"  {name}({arguments}): {_typed(value)}"
    return f"  {name}: {_typed(value)}"


def _typed(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value['type']} = {value['default']}" if "default" in value else str(value["type"])
