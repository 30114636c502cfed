"""Custom fields on request: what they are called, how their past is read, and what they are worth now; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.mapping.attributes import AttributeDefinition, Path, find, near
from rally_accelerate.model.likeness import MOST_EXPLAINED
from rally_accelerate.rally.pastfields import PastField, Shape, label_of

#: How the values of an attribute type read in the past (rally-api-notes.md#type-definitions,
#: rally-api-notes.md#custom-fields).
_SHAPES = {
    "BOOLEAN": Shape.FLAG,
    "INTEGER": Shape.NUMBER,
    "DECIMAL": Shape.NUMBER,
    "QUANTITY": Shape.NUMBER,
    "RATING": Shape.CHOICE,
    "STATE": Shape.CHOICE,
    "STRING": Shape.CHOICE,
    "TEXT": Shape.TEXT,
    "DATE": Shape.DATE,
}

#: How references read, by what they refer to; everything else is taken for a work item.
_REFERENCES = {
    "User": Shape.PERSON,
    "Project": Shape.PROJECT,
    "Iteration": Shape.ITERATION,
    "Release": Shape.RELEASE,
}


@dataclass(frozen=True, slots=True)
class CustomField:
    """One field that is carried along."""

    #: The element name, for example ``c_RiskLevel``.
    name: str
    display_name: str
    attribute_type: str
    #: The element name of what a reference refers to.
    target: str = ""

    @property
    def past(self) -> PastField | None:
        """How its past is read; None for types whose past cannot be told: collections and web links."""
        is_reference = self.attribute_type == "OBJECT" and self.target
        shape = _REFERENCES.get(self.target, Shape.ITEM) if is_reference else _SHAPES.get(self.attribute_type)
        if shape is None:
            return None
        # The name is made of the first label, which may have been another (rally-api-notes.md#custom-fields).
        labels = dict.fromkeys((self.display_name.upper(), label_of(self.name)))
        return PastField(self.name, shape, tuple(labels))


def past_of(path: Path) -> PastField | None:
    """Return how the past of the field behind a label is read; None where it cannot be, or leads on to another item."""
    if len(path.names) != 1:
        return None
    return CustomField(path.names[0], path.display_name, path.attribute_type, path.target).past


def choose(
    labels: Sequence[str], definitions_by_type: Mapping[str, Sequence[AttributeDefinition]]
) -> tuple[CustomField, ...]:
    """The fields that a list of labels means.

    Args:
        labels: Display names or element names.
        definitions_by_type: The attributes of every type that is read.

    Raises:
        ConfigError: Labels that mean nothing or too much, all of them at once.
    """
    chosen: dict[str, CustomField] = {}
    problems: list[Problem] = []
    for label in labels:
        found = False
        try:
            for definitions in definitions_by_type.values():
                path = find(label, definitions)
                if path is not None and len(path.names) == 1:
                    found = True
                    its = (path.names[0], path.display_name, path.attribute_type, path.target)
                    chosen[path.names[0]] = CustomField(*its)
        except ValueError as error:
            problems.append(Problem("properties.customFields", str(error)))
            continue
        if not found:
            every = [each for definitions in definitions_by_type.values() for each in definitions]
            close = near(label, every) if len(problems) < MOST_EXPLAINED else ""
            problems.append(Problem("properties.customFields", f'no field is called "{label}"{close}'))
    if problems:
        raise ConfigError("; ".join(map(str, problems)), problems=problems)
    return tuple(chosen.values())
