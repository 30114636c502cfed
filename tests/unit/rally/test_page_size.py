"""The page size shrinks where the service struggles and grows back slowly."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.rally.session import MIN_PAGE_SIZE, PageSize


def test_halves_down_to_the_smallest() -> None:
    size, seen = PageSize.of(2000), []
    while size.can_shrink:
        size = size.shrink()
        seen.append(size.current)
    assert seen == [1000, 500, 250, 125, 62, 31, 15, 10]


def test_a_slow_or_large_answer_halves_the_next() -> None:
    assert PageSize.of(2000).adjust(seconds=121, size=10).current == 1000
    assert PageSize.of(2000).adjust(seconds=1, size=33_000_000).current == 1000


def test_grows_back_slowly_and_only_when_quick() -> None:
    shrunk = PageSize(2000, 100)
    assert shrunk.adjust(seconds=1, size=1000).current == 125
    assert shrunk.adjust(seconds=60, size=1000).current == 100


def test_does_not_grow_into_a_size_that_is_too_large() -> None:
    assert PageSize(2000, 1000).adjust(seconds=1, size=30_000_000).current == 1000


@given(
    st.integers(1, 2000),
    st.lists(st.tuples(st.booleans(), st.floats(0, 300), st.integers(0, 10**8)), max_size=50),
)
def test_stays_between_its_limits(largest: Any, events: Any) -> None:
    size = PageSize.of(largest)
    for failed, seconds, body in events:
        size = size.shrink() if failed else size.adjust(seconds=seconds, size=body)
        assert min(MIN_PAGE_SIZE, largest) <= size.current <= largest


@given(st.integers(1, 2000))
def test_comes_back_to_the_largest(largest: Any) -> None:
    size = PageSize(largest, min(MIN_PAGE_SIZE, largest))
    for _ in range(60):
        size = size.adjust(seconds=0.1, size=10)
    assert size.current == largest
