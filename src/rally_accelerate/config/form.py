"""The settings as form fields, for the plug-in manifest and the pages of the embedded server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from rally_accelerate.config.item_queries import format_query
from rally_accelerate.config.load import validate_integration
from rally_accelerate.config.model import Properties
from rally_accelerate.errors import ConfigError, Problem

#: Labels of the page mark these with a star (accelerate-api-notes.md#ucv-ext-rally).
REQUIRED = ("baseUrl",)

#: Types by the names that people know, where the default has them by those of the wire.
PLAIN_KINDS = {"hierarchicalrequirement": "Story", "defect": "Defect"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One property as a form field."""

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


def list_form_fields() -> list[FormField]:
    """Return all properties, in the order of the form."""
    form_fields = []
    for name, field in Properties.model_fields.items():
        extra = field.json_schema_extra
        if not isinstance(extra, dict):
            continue
        alias = field.alias or name
        form_fields.append(
            FormField(
                name=alias,
                label=str(extra["label"]),
                kind=str(extra["kind"]),
                description=field.description or "",
                required=alias in REQUIRED,
                hidden=bool(extra["hidden"]),
                inside=bool(extra["inside"]),
                default=field.get_default(call_default_factory=True),
                choices=_list_choices(field.annotation),
            )
        )
    return form_fields


def format_value(name: str, value: Any) -> str:  # noqa: PLR0911 - a table of cases, first match wins
    """Return a value as people type it: lists with commas, structures as JSON."""
    match value:
        case None | ():
            return ""
        case bool():
            return "true" if value else "false"
        case str() | dict() if name == "query":
            return format_query(value)
        case tuple() if name == "types":
            return ", ".join(PLAIN_KINDS.get(str(element), str(element)) for element in value)
        case (int() as items, float() as share) if name == "removalCap":
            return f"{share * 100:g}%, {items}"
        case list() | tuple() if any(isinstance(element, dict | list) for element in value):
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            texts = [str(element) for element in value]
            plain = all("," not in text and not text.startswith("[") for text in texts)
            return ", ".join(texts) if plain else json.dumps(texts, ensure_ascii=False)
        case dict():
            return json.dumps(value, ensure_ascii=False) if value else ""
        case float():
            return f"{value:g}"
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _list_choices(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(str(argument) for argument in get_args(annotation))
    return next((choices for argument in get_args(annotation) if (choices := _list_choices(argument))), ())


#: Problems between two properties, by the beginning of their sentences, and the field that displays them.
_BETWEEN = {
    "no credentials": "properties.apiKey",
    "password is missing": "properties.password",
    "username is missing": "properties.username",
    "proxyUsername is given": "properties.proxyServer",
}

#: Each pass finds at least one more problem or is the last one.
_MAX_PASSES = 4


def find_problems(raw: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the problems by field: ``name``, ``properties.baseUrl`` and so on.

    The model checks relations between properties only if each property is valid on its own, and stops at the first
    problem. So each problem is corrected here and the settings are validated again.

    Args:
        raw: An integration in the form of the JSON file.
    """
    problems: dict[str, list[str]] = {}
    properties = dict(raw.get("properties") or {})
    envelope = dict(raw)
    for _ in range(_MAX_PASSES):
        try:
            validate_integration({**envelope, "properties": properties})
        except ConfigError as error:
            for problem in error.problems:
                field = get_field(problem)
                texts = problems.setdefault(field, [])
                if problem.text not in texts:
                    texts.append(problem.text)
                _correct_field(field, envelope, properties)
        else:
            break
    return problems


def get_field(problem: Problem) -> str:
    """Return the form field at which a problem is displayed."""
    if problem.path == "properties":
        return next((field for text, field in _BETWEEN.items() if problem.text.startswith(text)), "properties")
    return ".".join(problem.path.split(".")[:2]) if problem.path.startswith("properties.") else problem.path


def _correct_field(field: str, envelope: dict[str, Any], properties: dict[str, Any]) -> None:
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
