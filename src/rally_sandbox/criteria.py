"""Lookback's criteria: objects in the manner of a document database, judged on one snapshot.

See rally-api-notes.md#lookback-criteria.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rally_sandbox.errors import QueryRefused
from rally_sandbox.names import SCHEDULE_STATES
from rally_sandbox.snapshots import ENUMERATED

Row = Mapping[str, Any]
Test = Callable[[Row], bool]

_ABSENT = object()


def names_in(find: Mapping[str, Any]) -> frozenset[str]:
    """The fields that criteria speak of."""
    found: set[str] = set()
    for name, wanted in find.items():
        if name in {"$and", "$or"}:
            for each in wanted:
                found |= names_in(each)
        elif not name.startswith("__") and name != "_At":
            found.add(name.partition(".")[0])
    return frozenset(found)


def test_of(find: Mapping[str, Any]) -> Test:
    """Whether a snapshot, its drop-downs as text, meets criteria.

    Raises:
        QueryRefused: An operator is unknown.
    """
    tests = [_test(name, wanted) for name, wanted in find.items()]
    return lambda row: all(test(row) for test in tests)


def _test(name: str, wanted: Any) -> Test:
    if name == "$and":
        parts = [test_of(each) for each in wanted]
        return lambda row: all(part(row) for part in parts)
    if name == "$or":
        parts = [test_of(each) for each in wanted]
        return lambda row: any(part(row) for part in parts)
    if name in {"__At", "_At"}:
        return _valid_at(str(wanted))
    if name.startswith("$"):
        raise QueryRefused(f"Unknown operator {name}")
    if isinstance(wanted, Mapping) and any(key.startswith("$") for key in wanted):
        judges = [_judge(name, operator, operand) for operator, operand in wanted.items()]
        return lambda row: all(judge(_value(row, name)) for judge in judges)
    return lambda row: _equals(_value(row, name), wanted)


def _valid_at(moment: str) -> Test:
    if moment == "current":
        return lambda row: str(row["_ValidTo"]).startswith("9999-")
    return lambda row: bool(row["_ValidFrom"] <= moment < row["_ValidTo"])


def _judge(name: str, operator: str, operand: Any) -> Callable[[Any], bool]:
    match operator:
        case "$in":
            wanted = _sequence(operand)
            return lambda value: any(_equals(value, each) for each in wanted)
        case "$nin":
            wanted = _sequence(operand)
            return lambda value: not any(_equals(value, each) for each in wanted)
        case "$ne":
            return lambda value: not _equals(value, operand)
        case "$exists":
            return lambda value: (value is not _ABSENT) == bool(operand)
        case "$regex":
            pattern = re.compile(str(operand).strip("/"))
            return lambda value: isinstance(value, str) and pattern.search(value) is not None
        case "$gt" | "$gte" | "$lt" | "$lte":
            return lambda value: _compares(name.rpartition(".")[2], operator, value, operand)
        case _:
            raise QueryRefused(f"Unknown operator {operator}")


def _compares(name: str, operator: str, value: Any, operand: Any) -> bool:
    if value is _ABSENT or value is None:
        # Nothing comes before every state (a null previous value meets $lt, rally-api-notes.md#lookback-criteria).
        if name not in ENUMERATED:
            return False
        value = ""
    if name in ENUMERATED:
        value, operand = _rank(value), _rank(operand)
    try:
        return bool(
            value > operand
            if operator == "$gt"
            else value >= operand
            if operator == "$gte"
            else value < operand
            if operator == "$lt"
            else value <= operand
        )
    except TypeError:
        return False


def _rank(value: Any) -> int:
    return SCHEDULE_STATES.index(value) if value in SCHEDULE_STATES else -1


def _value(row: Row, name: str) -> Any:
    head, _, rest = name.partition(".")
    value = row.get(head, _ABSENT)
    if not rest:
        return value
    return value.get(rest, _ABSENT) if isinstance(value, Mapping) else _ABSENT


def _equals(value: Any, wanted: Any) -> bool:
    if wanted is None:
        return value is _ABSENT or value is None
    if isinstance(value, list):
        # An array meets a criterion that one of its members meets.
        return wanted in value or value == wanted
    return bool(value == wanted)


def _sequence(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise QueryRefused("$in and $nin take an array")
    return value
