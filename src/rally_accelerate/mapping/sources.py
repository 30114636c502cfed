"""The value of any Rally field as texts, whatever shape Rally gives it.

See rally-api-notes.md#references, rally-api-notes.md#empty-values and rally-api-notes.md#custom-fields.
"""

from collections.abc import Mapping
from typing import Any

from rally_accelerate.mapping import fields
from rally_accelerate.mapping.attributes import Path
from rally_accelerate.mapping.matchers import words_of
from rally_accelerate.mapping.text import readable

#: Attributes whose text is HTML (rally-api-notes.md#rich-text).
RICH = "TEXT"

#: Such attributes of the objects that an item refers to, whose definitions are not read
#: (rally-api-notes.md#attributes).
_RICH_NAMES = frozenset(
    {"Description", "Notes", "Objective", "PostConditions", "PreConditions", "Text", "Theme"}
    | {"ValidationExpectedResult", "ValidationInput"}
)


def texts_at(row: Mapping[str, Any], path: Path, *, site: str = "") -> tuple[str, ...]:
    """Return the texts of a field, without empty ones; nothing when it is unset or was not told.

    Args:
        row: The item under Rally's own names.
        path: Where the field is.
        site: The address of the Rally server for people, which relative links of rich texts are completed with.
    """
    held: Any = row
    for name in path.names[:-1]:
        inner = held.get(name)
        if not isinstance(inner, Mapping):
            return ()
        held = inner
    texts = _texts(held, path.names[-1])
    if path.attribute_type == RICH if len(path.names) == 1 else path.names[-1] in _RICH_NAMES:
        texts = tuple(readable(text, site=site) for text in texts)
    return tuple(text for text in texts if text)


def texts_of(value: Any) -> tuple[str, ...]:
    """The texts of a value that is mapped already, without empty ones."""
    members = value if isinstance(value, list | tuple) else (value,)
    return tuple(text for text in (words_of(each) for each in members) if text)


def _texts(held: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = held.get(name)
    if isinstance(value, list):
        return tuple(_text({name: each}, name) for each in value)
    if isinstance(value, Mapping) and "_tagsNameArray" in value:
        return fields.names_in(held, name)
    return (_text(held, name),)


def _text(held: Mapping[str, Any], name: str) -> str:
    match held.get(name):
        case Mapping() as value:
            # People go by their display names, web links by what they show; the rest by their name.
            shown = fields.person(held, name) or fields.name_of(value)
            return shown or words_of(value.get("DisplayString")) or words_of(value.get("LinkID")) or ""
        case value:
            return words_of(value) or ""
