"""The syntax tree of a query; each leaf has its position in the text."""

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
    """One value as written, with every possible reading of it."""

    text: str
    #: A number, where it can be read as one.
    number: float | None = None
    #: A duration such as ``1d``, where it was written without quotes; compared with instants it is an age.
    age: timedelta | None = None
    #: An instant, where it can be read as a date of ISO 8601.
    instant: datetime | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of one field with one or more values."""

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
class Not:
    """The negation of its operand."""

    operand: "Query"


@dataclass(frozen=True, slots=True)
class And:
    """True if all operands are true; always true without operands."""

    operands: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True if one of the operands is true."""

    operands: tuple["Query", ...]


Query = Comparison | Not | And | Or

EVERYTHING = And(())


def iterate_comparisons(query: Query) -> Iterator[Comparison]:
    """Yield every comparison of a query, in the order of its text."""
    match query:
        case And(operands) | Or(operands):
            for operand in operands:
                yield from iterate_comparisons(operand)
        case Not(operand):
            yield from iterate_comparisons(operand)
        case Comparison():
            yield query
