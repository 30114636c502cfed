"""Every problem of some settings at once, each at the field that it belongs to: for forms."""

from collections.abc import Mapping
from typing import Any

from rally_accelerate.config.load import validated
from rally_accelerate.errors import ConfigError, Problem

#: Faults that lie between two properties, by how their sentences begin, and the field where they are told.
_BETWEEN = {
    "no credentials": "properties.apiKey",
    "password is missing": "properties.password",
    "username is missing": "properties.username",
    "proxyUsername is given": "properties.proxyServer",
}

#: Each look finds at least one more fault or is the last one.
_LOOKS = 4


def problems_of(raw: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is wrong, by field: ``name``, ``properties.baseUrl`` and the like.

    The model looks at faults between properties only when each property is right by itself, and stops at the first
    one; so what was found is put right here, and it is asked again.

    Args:
        raw: An integration in the form of the JSON file.
    """
    found: dict[str, list[str]] = {}
    properties = dict(raw.get("properties") or {})
    envelope = dict(raw)
    for _ in range(_LOOKS):
        try:
            validated({**envelope, "properties": properties})
        except ConfigError as error:
            for problem in error.problems:
                field = field_of(problem)
                texts = found.setdefault(field, [])
                if problem.text not in texts:
                    texts.append(problem.text)
                _put_right(field, envelope, properties)
        else:
            break
    return found


def field_of(problem: Problem) -> str:
    """The field that a problem is told at."""
    if problem.path == "properties":
        return next((field for text, field in _BETWEEN.items() if problem.text.startswith(text)), "properties")
    return ".".join(problem.path.split(".")[:2]) if problem.path.startswith("properties.") else problem.path


def _put_right(field: str, envelope: dict[str, Any], properties: dict[str, Any]) -> None:
    name = field.removeprefix("properties.")
    if field in {"properties.apiKey", "properties.password", "properties.username"}:
        properties |= {"apiKey": "given", "username": "", "password": None}
    elif field == "properties.proxyServer":
        properties |= {"proxyServer": "", "proxyUsername": ""}
    elif field == "name":
        envelope["name"] = "given"
    elif field.startswith("properties."):
        properties.pop(name, None)
    else:
        envelope.pop(field, None)
