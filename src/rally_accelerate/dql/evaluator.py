"""What a query means: whether an issue matches it. Every other way of answering a query must agree with this one.

Assumed, as it is not public (accelerate-api-notes.md#value-stream-queries): texts are compared as ``folding`` says; a
field that is missing or empty matches no comparison, only ``!=`` and what is negated; of a list one element that
matches is enough, and for ``!=`` none may be equal.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rally_accelerate.dql.ast import Both, Comparison, Either, Negated, Operator, Query, Value
from rally_accelerate.model.text_folding import fold

#: The length of a list, behind its name.
COUNT = "count"


def matches(query: Query, issue: Mapping[str, Any], *, now: datetime) -> bool:
    """Whether an issue matches a query.

    Args:
        query: From ``parse``.
        issue: An issue under the wire's names (accelerate-api-notes.md#issue-fields), instants in milliseconds since
            1970.
        now: Ages are counted from here; aware.
    """
    match query:
        case Both(operands):
            return all(matches(operand, issue, now=now) for operand in operands)
        case Either(operands):
            return any(matches(operand, issue, now=now) for operand in operands)
        case Negated(operand):
            return not matches(operand, issue, now=now)
        case Comparison():
            return _compared(query, issue, now)


def _compared(query: Comparison, issue: Mapping[str, Any], now: datetime) -> bool:
    # Only issues are held here: whatever else a value stream may hold is missing.
    found = list(_values(issue, query.path)) if query.item == "issue" else []
    match query.operator:
        case Operator.UNEQUAL:
            return not any(_is_equal(each, query.values[0], now) for each in found)
        case Operator.EQUAL | Operator.AMONG:
            return any(_is_equal(each, value, now) for each in found for value in query.values)
        case Operator.CONTAINS:
            return any(_holds(each, query.values[0]) for each in found)
        case operator:
            return any(_is_ordered(each, operator, query.values[0], now) for each in found)


def _values(held: Any, path: Sequence[str]) -> Iterator[Any]:
    """Every value at a path; lists on the way and at its end are opened."""
    if not path:
        if isinstance(held, list | tuple):
            for each in held:
                yield from _values(each, path)
        elif held is not None and held != "":
            yield held
        return
    name, rest = path[0], path[1:]
    if isinstance(held, list | tuple):
        if name == COUNT and not rest:
            yield len(held)
            return
        for each in held:
            yield from _values(each, path)
    elif isinstance(held, Mapping):
        inner = _member(held, name)
        if inner is None and rest == (COUNT,):
            # What was never filled in counts as an empty list.
            yield 0
        else:
            yield from _values(inner, rest)


def _member(held: Mapping[str, Any], name: str) -> Any:
    if name in held:
        return held[name]
    folded = fold(name)
    return next((value for key, value in held.items() if fold(key) == folded), None)


def _is_equal(held: Any, value: Value, now: datetime) -> bool:
    if isinstance(held, bool):
        return fold(value.text) == str(held).lower()
    if isinstance(held, int | float):
        if value.number is not None:
            return held == value.number
        return value.instant is not None and milliseconds(value.instant) == held
    if isinstance(held, Mapping):
        # A person, a sprint, a project: by its name.
        return any(_is_equal(held[name], value, now) for name in ("name", "id", "key") if held.get(name) is not None)
    return fold(str(held)) == fold(value.text)


def _holds(held: Any, value: Value) -> bool:
    if isinstance(held, Mapping):
        return _holds(held.get("name") or "", value)
    return fold(value.text) in fold(str(held))


def _is_ordered(held: Any, operator: Operator, value: Value, now: datetime) -> bool:
    if isinstance(held, bool | Mapping):
        return False
    moment = as_milliseconds(held)
    if value.age is not None and moment is not None:
        # ``build.endTime < 1d`` means less than one day ago (accelerate-api-notes.md#value-stream-queries).
        return _in_order(milliseconds(now) - moment, operator, value.age / timedelta(milliseconds=1))
    if value.instant is not None and moment is not None:
        return _in_order(moment, operator, milliseconds(value.instant))
    number = as_number(held)
    if value.number is not None and number is not None:
        return _in_order(number, operator, value.number)
    if isinstance(held, int | float):
        return False
    return _in_order(fold(str(held)), operator, fold(value.text))


def _in_order(left: Any, operator: Operator, right: Any) -> bool:
    match operator:
        case Operator.LESS:
            return bool(left < right)
        case Operator.AT_MOST:
            return bool(left <= right)
        case Operator.MORE:
            return bool(left > right)
        case _:
            return bool(left >= right)


def as_number(held: Any) -> float | None:
    """A value as a number, or None."""
    if isinstance(held, int | float):
        return held
    try:
        return float(held)
    except (TypeError, ValueError):
        return None


def as_milliseconds(held: Any) -> float | None:
    """An instant in milliseconds: a number is taken for one, a text if it is a date."""
    if isinstance(held, int | float):
        return held
    if not isinstance(held, str) or len(held) < len("2026-01-01"):
        return None
    try:
        found = datetime.fromisoformat(held)
    except ValueError:
        return None
    return milliseconds(found if found.tzinfo else found.replace(tzinfo=UTC))


def milliseconds(moment: datetime) -> float:
    """An instant in milliseconds since 1970."""
    return moment.timestamp() * 1000
