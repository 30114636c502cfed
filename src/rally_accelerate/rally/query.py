"""WSAPI query expressions, rendered in Rally's strictly binary grammar.

See rally-api-notes.md#query-language.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rally_accelerate.errors import QueryError
from rally_accelerate.rally.wsapi import render_instant

Value = str | int | float | bool | datetime | None

_FIELD = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_OPERATORS = frozenset({"=", "!=", "<", ">", "<=", ">=", "contains", "!contains"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison: ``(field operator value)``.

    The right side is always a literal, Rally compares no two fields. ``in`` is left out on purpose: it is
    undependable for some attribute types (rally-api-notes.md#query-language).
    """

    field: str
    operator: str
    value: Value

    def render(self) -> str:
        """Render the condition with its parentheses.

        Raises:
            QueryError: The value holds a double quote, which Rally's grammar cannot express.
        """
        if not _FIELD.fullmatch(self.field):
            raise ValueError(f"{self.field!r} is no attribute path")
        if self.operator not in _OPERATORS:
            raise ValueError(f"{self.operator!r} is no operator")
        return f"({self.field} {self.operator} {_literal(self.value)})"


@dataclass(frozen=True, slots=True)
class Raw:
    """A condition in Rally's syntax, checked for its parentheses and quotes only."""

    text: str

    def render(self) -> str:
        """Render the text as one operand: with outer parentheses, and without redundant ones.

        Raises:
            QueryError: Parentheses or quotes are not balanced; includes the column.
        """
        return _to_operand(self.text)


@dataclass(frozen=True, slots=True)
class And:
    """Conjunction of operands; a single operand is rendered without AND."""

    operands: tuple["Expression", ...]

    def render(self) -> str:
        """Render the operands, joined in pairs."""
        return _join([operand.render() for operand in self.operands], "AND")


@dataclass(frozen=True, slots=True)
class Or:
    """Disjunction of operands; a single operand is rendered without OR."""

    operands: tuple["Expression", ...]

    def render(self) -> str:
        """Render the operands, joined in pairs."""
        return _join([operand.render() for operand in self.operands], "OR")


Expression = Condition | Raw | And | Or


def any_of(field: str, values: Sequence[Value]) -> Or:
    """Build a condition that the field equals one of the values."""
    return Or(tuple(Condition(field, "=", value) for value in values))


def _join(parts: Sequence[str], word: str) -> str:
    match parts:
        case []:
            raise ValueError(f"{word} needs an operand")
        case [only]:
            # A redundant pair of parentheses is an error to Rally (rally-api-notes.md#query-language).
            return only
    # Halved rather than chained: a long list nests a few levels deep instead of one level for each operand.
    middle = (len(parts) + 1) // 2
    return f"({_join(parts[:middle], word)} {word} {_join(parts[middle:], word)})"


def _literal(value: Value) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value}"
        case datetime():
            return f'"{render_instant(value)}"'
    if '"' in value:
        # No working escape is known (rally-api-notes.md#query-language).
        raise QueryError(
            f"Rally's query language cannot express a value with a double quote: {value!r}",
            column=value.index('"') + 1,
        )
    return f'"{value}"'


def _to_operand(text: str) -> str:
    stripped = text.strip()
    offset = len(text) - len(text.lstrip())
    if not stripped:
        raise QueryError("The query is empty.", expected=("(",))
    closing = _match_parentheses(stripped, offset=offset)
    if closing.get(0) != len(stripped) - 1:
        return f"({stripped})"
    while closing.get(1) == len(stripped) - 2:
        # ((A)) is an error to Rally, ((A) AND (B)) is not.
        stripped = stripped[1:-1]
        closing = _match_parentheses(stripped, offset=offset)
    return stripped


def _match_parentheses(text: str, *, offset: int) -> dict[int, int]:
    """Return the position of the closing parenthesis for each opening one outside quotes."""
    opened: list[int] = []
    closing: dict[int, int] = {}
    quoted_at: int | None = None
    for position, char in enumerate(text):
        if char == '"':
            quoted_at = position if quoted_at is None else None
        elif quoted_at is not None:
            continue
        elif char == "(":
            opened.append(position)
        elif char == ")":
            if not opened:
                raise QueryError(
                    "A closing parenthesis has no opening one.", column=offset + position + 1, expected=("(",)
                )
            closing[opened.pop()] = position
    if quoted_at is not None:
        raise QueryError("A double quote is not closed.", column=offset + quoted_at + 1, expected=('"',))
    if opened:
        raise QueryError("A parenthesis is not closed.", column=offset + opened[-1] + 1, expected=(")",))
    return closing
