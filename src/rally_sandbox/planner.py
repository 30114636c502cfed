"""Which part of a query the arrays can answer: ranges of ids and dates, so that no million of items is scanned."""

from collections.abc import Callable
from typing import Any

from rally_sandbox.conditions import Asker, moment, referenced
from rally_sandbox.errors import QueryRefused
from rally_sandbox.query import Both, Condition, Query
from rally_sandbox.ranges import Ranges, comparison, intersection, union
from rally_sandbox.schema import Attribute

#: Reads the right side of a condition as an integer.
Read = Callable[[str], float]


def ranges_of(query: Query, column: str, read: Read) -> Ranges | None:
    """The values that a column has on every row that fulfils the query; None when the query does not bound it.

    Args:
        query: The query.
        column: A dotted attribute name.
        read: Reads values.
    """
    match query:
        case Condition(path=path, operator=operator, value=value) if ".".join(path) == column and not query.is_null:
            if operator == "in":
                parts = [comparison("=", read(part.strip())) for part in value.split(",")]
                return union(*(part for part in parts if part is not None))
            return comparison(operator, read(value))
        case Both(left, junction, right):
            one, other = ranges_of(left, column, read), ranges_of(right, column, read)
            if junction == "AND":
                if one is None or other is None:
                    return other if one is None else one
                return intersection(one, other)
            return None if one is None or other is None else union(one, other)
        case _:
            return None


def is_exact(query: Query, columns: frozenset[str]) -> bool:
    """Whether a query is about one of some columns and nothing else, so that its ranges say all."""
    match query:
        case Condition(path=path, operator=operator):
            return ".".join(path) in columns and not query.is_null and operator not in {"contains", "!contains"}
        case Both(left, _, right):
            return is_exact(left, columns) and is_exact(right, columns)


def date_reader(asker: Asker) -> Read:
    """Reads dates as milliseconds."""
    return lambda text: float(moment(text, asker))


def reference_reader(attribute: Attribute, asker: Asker) -> Read:
    """Reads references as ObjectIDs."""

    def read(text: str) -> float:
        found: Any = referenced(text, attribute, asker)
        if isinstance(found, str):
            raise QueryRefused(f'Could not parse: Cannot parse object reference from "{text}"')
        return float(found)

    return read
