"""What is kept of a work item is the work item."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.rally.records import (
    FieldChange,
    ItemHistory,
    Milestone,
    Post,
    Record,
    RelatedObjects,
    Timebox,
    TimeboxValue,
    WorkItem,
    from_bytes,
    to_bytes,
)

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
ROWS = st.dictionaries(
    st.text(), st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
INSTANTS = st.datetimes(timezones=st.just(UTC))
VALUES = st.one_of(
    st.none(), st.text(), st.lists(st.text()).map(tuple), st.builds(TimeboxValue, st.none() | st.integers(), st.text())
)
CHANGES = st.builds(FieldChange, st.integers(0), st.text(), st.text(), VALUES, VALUES)
BOXES = st.builds(
    Timebox, object_id=st.integers(), name=st.text(), start=st.none() | INSTANTS, end=st.none() | INSTANTS
)
MILESTONES = st.builds(Milestone, target=st.none() | INSTANTS)
POSTS = st.builds(Post, created=INSTANTS, updated=INSTANTS)
ITEMS = st.builds(
    WorkItem,
    record=st.builds(Record, fields=ROWS),
    past=st.builds(ItemHistory, changes=st.lists(CHANGES).map(tuple)),
    around=st.builds(
        RelatedObjects,
        posts=st.lists(POSTS, max_size=2).map(tuple),
        timeboxes=st.dictionaries(st.integers(), BOXES, max_size=2),
        items=st.dictionaries(st.integers(), st.tuples(st.text(), st.text()), max_size=2),
        milestones=st.dictionaries(st.integers(), MILESTONES, max_size=2),
    ),
)


@given(ITEMS)
def test_what_is_kept_comes_back_as_it_was(item: WorkItem) -> None:
    assert from_bytes(to_bytes(item)) == item


@pytest.mark.parametrize("kept", [b"", b"nonsense", to_bytes.__doc__.encode() if to_bytes.__doc__ else b"x"])
def test_what_cannot_be_read_is_told(kept: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_bytes(kept)
