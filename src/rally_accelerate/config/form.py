"""The settings model as a form shows it: the plug-in manifest and the pages of the embedded host are made from this."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from rally_accelerate.config.item_queries import as_text
from rally_accelerate.config.load import validated
from rally_accelerate.config.model import Properties
from rally_accelerate.errors import ConfigError, Problem

#: Labels of the page mark these with a star (accelerate-api-notes.md#ucv-ext-rally).
REQUIRED = ("baseUrl",)

#: Types by the names that people know, where the default has them by those of the wire.
PLAIN_KINDS = {"hierarchicalrequirement": "Story", "defect": "Defect"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One property as people fill it in."""

    #: The name in the JSON file.
    name: str
    label: str
    #: String, Secure, Array or Boolean: the words that every server version knows
    #: (accelerate-api-notes.md#property-types).
    kind: str
    #: The tooltip.
    description: str
    required: bool
    #: Shown only with "Show hidden properties".
    hidden: bool
    #: Means something inside the plug-in container.
    inside: bool
    default: Any
    #: The values that there are, when there are few.
    choices: tuple[str, ...] = ()


def form_fields() -> list[FormField]:
    """Every property, in the order of the form."""
    found = []
    for name, field in Properties.model_fields.items():
        extra = field.json_schema_extra
        if not isinstance(extra, dict):
            continue
        alias = field.alias or name
        found.append(
            FormField(
                name=alias,
                label=str(extra["label"]),
                kind=str(extra["kind"]),
                description=field.description or "",
                required=alias in REQUIRED,
                hidden=bool(extra["hidden"]),
                inside=bool(extra["inside"]),
                default=field.get_default(call_default_factory=True),
                choices=_choices(field.annotation),
            )
        )
    return found


def as_typed(name: str, value: Any) -> str:  # noqa: PLR0911 - a table of cases, first match wins
    """A value as somebody would type it: lists with commas, structures as JSON."""
    match value:
        case None | ():
            return ""
        case bool():
            return "true" if value else "false"
        case str() | dict() if name == "query":
            return as_text(value)
        case tuple() if name == "types":
            return ", ".join(PLAIN_KINDS.get(str(each), str(each)) for each in value)
        case (int() as items, float() as share) if name == "removalCap":
            return f"{share * 100:g}%, {items}"
        case list() | tuple() if any(isinstance(each, dict | list) for each in value):
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            texts = [str(each) for each in value]
            plain = all("," not in text and not text.startswith("[") for text in texts)
            return ", ".join(texts) if plain else json.dumps(texts, ensure_ascii=False)
        case dict():
            return json.dumps(value, ensure_ascii=False) if value else ""
        case float():
            return f"{value:g}"
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _choices(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(str(each) for each in get_args(annotation))
    return next((found for each in get_args(annotation) if (found := _choices(each))), ())


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
