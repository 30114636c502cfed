"""A query as a tree; every leaf knows where it stands in the text."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Operator(StrEnum):
    """How a field is compared."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    #: Equal to one of several values.
    AMONG = "IN"
    #: A text holds another, or a list an element.
    CONTAINS = "CONTAINS"


@dataclass(frozen=True, slots=True)
class Value:
    """One value as it was written, with everything that it may mean."""

    text: str
    #: A number, where it can be read as one.
    number: float | None = None
    #: A duration such as ``1d``, where it was written without quotes; compared with instants it is an age.
    age: timedelta | None = None
    #: An instant, where it can be read as a date of ISO 8601.
    instant: datetime | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field against one value or several."""

    #: ``issue``, ``pr``, ``commit``, ``build`` or ``deployment``.
    item: str
    #: The field's name, and those inside it.
    path: tuple[str, ...]
    operator: Operator
    values: tuple[Value, ...]
    #: 1-based.
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Negated:
    """True where the operand is not."""

    operand: "Query"


@dataclass(frozen=True, slots=True)
class Both:
    """True where all operands are; without operands always."""

    operands: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """True where one of the operands is."""

    operands: tuple["Query", ...]


Query = Comparison | Negated | Both | Either

EVERYTHING = Both(())


def leaves(query: Query) -> Iterator[Comparison]:
    """Every comparison of a query, in the order of its text."""
    match query:
        case Both(operands) | Either(operands):
            for operand in operands:
                yield from leaves(operand)
        case Negated(operand):
            yield from leaves(operand)
        case Comparison():
            yield query
