"""The reference evaluator of queries: whether an issue matches. All other evaluations must agree with it.

Assumed, as it is not public (accelerate-api-notes.md#value-stream-queries): texts are compared as ``folding`` says; a
field that is missing or empty matches no comparison, only ``!=`` and what is negated; of a list one element that
matches is enough, and for ``!=`` none may be equal.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rally_accelerate.dql.ast import And, Comparison, Not, Operator, Or, Query, Value
from rally_accelerate.model.text_folding import fold

#: The suffix for the length of a list.
COUNT = "count"


def matches(query: Query, issue: Mapping[str, Any], *, now: datetime) -> bool:
    """Return whether an issue matches a query.

    Args:
        query: From ``parse``.
        issue: An issue under the wire's names (accelerate-api-notes.md#issue-fields), instants in milliseconds since
            1970.
        now: Ages are counted from here; aware.
    """
    match query:
        case And(operands):
            return all(matches(operand, issue, now=now) for operand in operands)
        case Or(operands):
            return any(matches(operand, issue, now=now) for operand in operands)
        case Not(operand):
            return not matches(operand, issue, now=now)
        case Comparison():
            return _matches_comparison(query, issue, now)


def _matches_comparison(query: Comparison, issue: Mapping[str, Any], now: datetime) -> bool:
    # Only issues are stored: all other items of a value stream are missing.
    values = list(_find_values(issue, query.path)) if query.item == "issue" else []
    match query.operator:
        case Operator.UNEQUAL:
            return not any(_is_equal(field_value, query.values[0], now) for field_value in values)
        case Operator.EQUAL | Operator.AMONG:
            return any(_is_equal(field_value, value, now) for field_value in values for value in query.values)
        case Operator.CONTAINS:
            return any(_contains(field_value, query.values[0]) for field_value in values)
        case operator:
            return any(_is_ordered(field_value, operator, query.values[0], now) for field_value in values)


def _find_values(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """Yield all values at a path; lists on the way and at its end are flattened."""
    if not path:
        if isinstance(value, list | tuple):
            for element in value:
                yield from _find_values(element, path)
        elif value is not None and value != "":
            yield value
        return
    name, rest = path[0], path[1:]
    if isinstance(value, list | tuple):
        if name == COUNT and not rest:
            yield len(value)
            return
        for element in value:
            yield from _find_values(element, path)
    elif isinstance(value, Mapping):
        inner = _get_member(value, name)
        if inner is None and rest == (COUNT,):
            # What was never filled in counts as an empty list.
            yield 0
        else:
            yield from _find_values(inner, rest)


def _get_member(fields: Mapping[str, Any], name: str) -> Any:
    if name in fields:
        return fields[name]
    folded = fold(name)
    return next((value for key, value in fields.items() if fold(key) == folded), None)


def _is_equal(field_value: Any, value: Value, now: datetime) -> bool:
    if isinstance(field_value, bool):
        return fold(value.text) == str(field_value).lower()
    if isinstance(field_value, int | float):
        if value.number is not None:
            return field_value == value.number
        return value.instant is not None and get_milliseconds(value.instant) == field_value
    if isinstance(field_value, Mapping):
        # A person, a sprint, a project: by its name.
        return any(
            _is_equal(field_value[name], value, now)
            for name in ("name", "id", "key")
            if field_value.get(name) is not None
        )
    return fold(str(field_value)) == fold(value.text)


def _contains(field_value: Any, value: Value) -> bool:
    if isinstance(field_value, Mapping):
        return _contains(field_value.get("name") or "", value)
    return fold(value.text) in fold(str(field_value))


def _is_ordered(field_value: Any, operator: Operator, value: Value, now: datetime) -> bool:
    if isinstance(field_value, bool | Mapping):
        return False
    moment = as_milliseconds(field_value)
    if value.age is not None and moment is not None:
        # ``build.endTime < 1d`` means less than one day ago (accelerate-api-notes.md#value-stream-queries).
        return _compare_order(get_milliseconds(now) - moment, operator, value.age / timedelta(milliseconds=1))
    if value.instant is not None and moment is not None:
        return _compare_order(moment, operator, get_milliseconds(value.instant))
    number = as_number(field_value)
    if value.number is not None and number is not None:
        return _compare_order(number, operator, value.number)
    if isinstance(field_value, int | float):
        return False
    return _compare_order(fold(str(field_value)), operator, fold(value.text))


def _compare_order(first: Any, operator: Operator, second: Any) -> bool:
    match operator:
        case Operator.LESS:
            return bool(first < second)
        case Operator.AT_MOST:
            return bool(first <= second)
        case Operator.MORE:
            return bool(first > second)
        case _:
            return bool(first >= second)


def as_number(value: Any) -> float | None:
    """Return a value as a number, or None."""
    if isinstance(value, int | float):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def as_milliseconds(value: Any) -> float | None:
    """Return an instant in milliseconds from a number or an ISO date; None for other values."""
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or len(value) < len("2026-01-01"):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return get_milliseconds(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


def get_milliseconds(moment: datetime) -> float:
    """Return an instant in milliseconds since 1970."""
    return moment.timestamp() * 1000
