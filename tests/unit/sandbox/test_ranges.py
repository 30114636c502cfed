"""Sets of integers: what the planner promises must be what a scan would find."""

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_sandbox.item_search import (
    EVERYTHING,
    Ranges,
    contains,
    convert_to_ranges,
    extract_ranges,
    find_spans,
    intersect_ranges,
    is_exact,
    unite_ranges,
)
from rally_sandbox.query import BooleanOperation, parse_query

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_numbers = st.integers(-6, 6)
_sets = st.lists(st.tuples(_numbers, _numbers).map(sorted).map(tuple), max_size=4).map(
    lambda pairs: unite_ranges(tuple(pairs))  # type: ignore[arg-type]  # sorted pairs are pairs
)


@given(st.sampled_from(sorted(_OPERATORS)), st.integers(-6, 6) | st.sampled_from([0.5, -1.5]), _numbers)
def test_a_comparison_holds_exactly_within_its_ranges(sign: str, value: float, number: int) -> None:
    ranges = convert_to_ranges(sign, value)
    if ranges is not None:
        assert contains(ranges, number) is _OPERATORS[sign](number, value)


@given(_sets, _sets, _numbers)
def test_union_and_intersection_contain_what_they_should(one: Ranges, other: Ranges, number: int) -> None:
    assert contains(unite_ranges(one, other), number) is (contains(one, number) or contains(other, number))
    assert contains(intersect_ranges(one, other), number) is (contains(one, number) and contains(other, number))
    assert intersect_ranges(EVERYTHING, one) == one


@given(st.lists(_numbers, unique=True).map(sorted), _sets)
def test_positions_select_the_members(values: list[int], ranges: Ranges) -> None:
    found = [values[place] for begin, end in find_spans(values, ranges) for place in range(begin, end)]
    assert found == [value for value in values if contains(ranges, value)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("((ObjectID > 5) AND (ObjectID <= 9))", ((6, 9),)),
        ("((ObjectID = 5) OR (ObjectID = 7))", ((5, 5), (7, 7))),
        ('(ObjectID in "3,4,9")', ((3, 4), (9, 9))),
        ('((ObjectID > 5) AND (Name = "x"))', ((6, 1 << 62),)),
        ('((ObjectID > 5) OR (Name = "x"))', None),
        ("(ObjectID = null)", None),
    ],
)
def test_the_planner_reads_bounds_from_queries(text: str, expected: Ranges | None) -> None:
    assert extract_ranges(parse_query(text), "ObjectID", int) == expected


def test_only_conditions_on_the_columns_are_exact() -> None:
    query = parse_query('((ObjectID > 5) AND (Name = "x"))')
    assert isinstance(query, BooleanOperation)
    assert is_exact(query.first, frozenset({"ObjectID"}))
    assert not is_exact(query, frozenset({"ObjectID"}))
