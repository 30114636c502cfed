"""Which revisions to ask for: every wanted history is asked for once, and addresses stay short."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.rally.keyset_paging import (
    Listing,
    chunks,
    gaps,
    is_fresh,
    list_condition,
    range_condition,
    range_is_cheaper,
)
from rally_accelerate.rally.wsapi import MAX_ADDRESS_LENGTH

ids = st.tuples(st.integers(1, 10**12), st.integers(0, 300)).map(lambda pair: list(range(pair[0], sum(pair))))


@given(ids, st.integers(0, 3500))
def test_lists_hold_every_id_once_and_keep_addresses_short(wanted: Any, taken: Any) -> None:
    parts = chunks(wanted, base_length=taken)
    assert [each for part in parts for each in part] == wanted
    for part in parts:
        length = len(Listing(kind="r", fetch=(), where=(list_condition(part),)).request(after=0, size=1).target)
        empty = len(Listing(kind="r", fetch=(), where=(list_condition((1,)),)).request(after=0, size=1).target)
        assert len(part) == 1 or taken + length - empty <= MAX_ADDRESS_LENGTH


def test_lists_are_not_needlessly_short() -> None:
    (first, *_) = chunks(range(10**11, 10**11 + 500), base_length=700)
    assert len(first) > 45


ranges = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair))), max_size=6)


@given(st.lists(st.integers(0, 120), unique=True).map(sorted), ranges)
def test_gaps_hold_exactly_what_no_range_covers(wanted: Any, covered: Any) -> None:
    groups = gaps(wanted, covered)
    open_ids = [each for each in wanted if not any(low <= each <= high for low, high in covered)]
    assert [each for group in groups for each in group] == open_ids
    for group in groups:
        assert not any(group[0] <= low and high <= group[-1] for low, high in covered), "reads a covered range again"


@given(st.lists(st.integers(0, 120), unique=True).map(sorted), ranges)
def test_gaps_are_as_few_as_possible(wanted: Any, covered: Any) -> None:
    groups = gaps(wanted, covered)
    for one, other in pairwise(groups):
        assert any(one[-1] < low and high < other[0] for low, high in covered)


def test_the_cheaper_way() -> None:
    assert range_is_cheaper(list_requests=37, remaining_rows=10_000, page_size=2000)
    assert not range_is_cheaper(list_requests=4, remaining_rows=10_000, page_size=2000)
    assert range_is_cheaper(list_requests=1, remaining_rows=0, page_size=2000)


def test_an_earlier_answer_serves_only_what_was_old_by_then() -> None:
    answered = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert is_fresh(answered - timedelta(minutes=2), answered)
    assert not is_fresh(answered - timedelta(seconds=30), answered)
    assert not is_fresh(answered, answered)
    assert not is_fresh(answered - timedelta(days=1), None)


def test_conditions() -> None:
    assert range_condition(3, 3).render() == "(RevisionHistory.ObjectID = 3)"
    assert range_condition(3, 9).render() == "((RevisionHistory.ObjectID >= 3) AND (RevisionHistory.ObjectID <= 9))"
