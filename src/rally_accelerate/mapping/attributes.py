"""Resolution of field labels: which attribute of a type a display name or an element name refers to. No I/O.

A label is an attribute's display name or its element name; custom fields are ``c_<name>`` on the wire
(rally-api-notes.md#type-definitions, rally-api-notes.md#custom-fields). A dotted label reads a field of what the first
part refers to: ``Iteration.Name``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rally_accelerate.model.suggestions import suggest_names
from rally_accelerate.model.text_folding import fold

CUSTOM_PREFIX = "c_"
#: Types of attributes that are no references, so that no dot can follow them
#: (rally-api-notes.md#type-definitions).
_SCALAR_TYPES = frozenset(
    {"BOOLEAN", "DATE", "DECIMAL", "INTEGER", "QUANTITY", "RATING", "STRING", "TEXT", "BINARY_DATA"}
)
#: The maximum number of candidates in the message about an ambiguous label.
_MAX_LISTED = 8


@dataclass(frozen=True, slots=True)
class AttributeDefinition:
    """One field of a type as its workspace defines it: ElementName, Name, AttributeType, Custom."""

    element_name: str
    display_name: str
    attribute_type: str = ""
    custom: bool = False
    target: str = ""


@dataclass(frozen=True, slots=True)
class FieldPath:
    """The field that a label refers to: element names, starting at the work item."""

    names: tuple[str, ...]
    display_name: str = ""
    attribute_type: str = ""
    #: What it refers to, by the element name of its type.
    target: str = ""

    def __str__(self) -> str:
        return ".".join(self.names)


def find_path(label: str, definitions: Sequence[AttributeDefinition]) -> FieldPath | None:
    """Return the field that a label refers to.

    The complete label is searched first, because names can contain dots; then the part before a dot. Element names
    take precedence over display names, and those over names without ``c_``. An exact match takes precedence over one
    that ignores case, typography and spaces.

    Returns:
        The path, or None when there is no such field.

    Raises:
        ValueError: The label is ambiguous, or a dot follows a field that is no reference; the message is a sentence.
    """
    cuts = [len(label), *(position for position in range(len(label) - 1, 0, -1) if label[position] == ".")]
    for cut in cuts:
        candidates = _find_by_name(label[:cut].strip(), definitions)
        if not candidates:
            continue
        if len(candidates) > 1:
            names = ", ".join(definition.element_name for definition in candidates[:_MAX_LISTED])
            raise ValueError(f'{len(candidates)} fields are called "{label[:cut]}"; name one of them: {names}')
        members = tuple(part.replace(" ", "") for part in label[cut + 1 :].split(".")) if cut < len(label) else ()
        if not all(part.isidentifier() for part in members):
            raise ValueError(f'"{label}" has no name after a dot')
        first = candidates[0]
        if members and first.attribute_type.upper() in _SCALAR_TYPES:
            raise ValueError(f'"{label[:cut]}" is a {first.attribute_type} and refers to nothing that has fields')
        return FieldPath((first.element_name, *members), first.display_name, first.attribute_type.upper(), first.target)
    return None


def suggest_fields(label: str, definitions: Sequence[AttributeDefinition]) -> str:
    """Return a hint with fields of similar names, or an empty text."""
    names = [name for definition in definitions for name in (definition.element_name, definition.display_name) if name]
    return suggest_names(label, names) or suggest_names(label.partition(".")[0], names)


def _find_by_name(label: str, definitions: Sequence[AttributeDefinition]) -> list[AttributeDefinition]:
    """Return the fields with this name, by the strictest comparison that finds any, without duplicates."""
    readings: tuple[Callable[[str], str], ...] = (str, fold, _fold_compact)
    for reading in readings:
        for name in (_get_element_name, _get_display_name, _get_bare_name):
            compared = reading(label)
            matching = {
                definition.element_name: definition
                for definition in definitions
                if compared and reading(name(definition)) == compared
            }
            if matching:
                return list(matching.values())
    return []


def _get_element_name(definition: AttributeDefinition) -> str:
    return definition.element_name


def _get_display_name(definition: AttributeDefinition) -> str:
    return definition.display_name.strip()


def _get_bare_name(definition: AttributeDefinition) -> str:
    return definition.element_name.removeprefix(CUSTOM_PREFIX)


def _fold_compact(name: str) -> str:
    return "".join(fold(name).replace("_", " ").split())
