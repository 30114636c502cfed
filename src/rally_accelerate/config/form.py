"""The settings model as a form shows it: the plug-in manifest and the pages of the embedded host are made from this."""

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from rally_accelerate.config.model import Properties
from rally_accelerate.config.queries import as_text

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
