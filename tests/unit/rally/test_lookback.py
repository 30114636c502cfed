"""Snapshots become changes; gaps, missing parts and odd rows are noticed and never guessed over."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.rally import lookback
from rally_accelerate.rally.history_fields import Shape, TrackedFields
from rally_accelerate.rally.lookback import SnapshotReader, Snapshots
from rally_accelerate.rally.records import FieldChange, ItemHistory, TimeboxValue

FOREVER = "9999-01-01T00:00:00.000Z"
FIELDS = TrackedFields.of()


def at(hour: int) -> str:
    return f"2026-01-01T{hour:02d}:00:00.000Z"


def ms(hour: int) -> int:
    return lookback.milliseconds(at(hour))


def row(number: int, since: int, until: int | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "_id": f"{number}",
        "ObjectID": 1,
        "_SnapshotNumber": number,
        "_ValidFrom": at(since),
        "_ValidTo": at(until) if until is not None else FOREVER,
        "_User": 7,
        **fields,
    }


def past(*rows: dict[str, Any], up_to_date: bool = True) -> ItemHistory:
    reader = SnapshotReader(FIELDS)
    condensed = reader.summarize(list(rows))
    return reader.to_history(condensed, lambda shape, its_id, _: f"{shape.value} {its_id}", up_to_date=up_to_date)


def test_a_change_has_its_instant_its_author_and_both_values() -> None:
    found = past(
        row(0, 1, 2, ScheduleState="Defined"),
        row(1, 2, ScheduleState="In-Progress", Iteration=5, PlanEstimate=3.0, Owner=8, Blocked=True),
    )
    assert found.changes == (
        FieldChange(ms(2), "person 7", "ScheduleState", "Defined", "In-Progress", 7),
        FieldChange(ms(2), "person 7", "Owner", "", "person 8", 7),
        FieldChange(ms(2), "person 7", "PlanEstimate", "", "3", 7),
        FieldChange(ms(2), "person 7", "Iteration", None, TimeboxValue(5, "iteration 5"), 7),
        FieldChange(ms(2), "person 7", "Blocked", "false", "true", 7),
    )
    assert (found.whole, found.up_to_date, found.creator, found.creator_id) == (True, True, "person 7", 7)


def test_rows_may_come_in_any_order() -> None:
    rows = [row(0, 1, 2, Name="a"), row(1, 2, 3, Name="b"), row(2, 3, Name="c")]
    assert past(*reversed(rows)) == past(*rows)


def test_a_gap_is_the_time_in_the_recycle_bin() -> None:
    found = past(row(0, 1, 3, Name="a"), row(1, 5, _SnapshotType="RESTORE", Name="a"))
    assert [(change.at, change.field, change.before, change.after) for change in found.changes] == [
        (ms(3), "Recycled", "false", "true"),
        (ms(5), "Recycled", "true", "false"),
    ]
    assert found.whole


@pytest.mark.parametrize("rows", [(row(1, 1, 2), row(2, 2)), (row(0, 1, 2), row(2, 4))])
def test_a_missing_part_is_noticed(rows: tuple[dict[str, Any], ...]) -> None:
    found = past(*rows)
    assert not found.whole


def test_nothing_is_told_of_what_happened_in_a_missing_part() -> None:
    found = past(
        row(0, 1, 2, ScheduleState="Defined"),
        row(1, 2, 3, ScheduleState="In-Progress"),
        # Hidden: to Completed, by somebody else.
        row(3, 5, 6, ScheduleState="Accepted"),
        row(4, 6, ScheduleState="Released"),
    )
    assert [(each.field, each.before, each.after) for each in found.changes] == [
        ("ScheduleState", "Defined", "In-Progress"),
        ("ScheduleState", "Accepted", "Released"),
    ]
    assert not found.whole


def test_numbers_order_snapshots_and_instants_never_go_back() -> None:
    rows = [row(0, 1, ScheduleState="A"), row(1, 3, ScheduleState="B"), row(2, 2, ScheduleState="C")]
    for order in (rows, [rows[0], rows[2], rows[1]]):
        found = past(*order)
        assert [(each.at, each.before, each.after) for each in found.changes] == [(ms(3), "A", "B"), (ms(3), "B", "C")]


def test_a_last_snapshot_that_is_closed_is_not_the_end_of_the_story() -> None:
    assert not past(row(0, 1, 2)).up_to_date
    assert not past(row(0, 1), up_to_date=False).up_to_date


def test_tags_are_whole_lists_in_order() -> None:
    (change,) = past(row(0, 1, 2, Tags=[3, 2]), row(1, 2, Tags=[2, 4])).changes
    assert (change.before, change.after) == (("tag 2", "tag 3"), ("tag 2", "tag 4"))


def test_every_id_that_needs_a_name_is_gathered() -> None:
    reader = SnapshotReader(FIELDS)
    reader.summarize([row(0, 1, 2, Iteration=5, Tags=[3], Parent=9), row(1, 2, Iteration=6, Tags=[], Parent=10)])
    assert reader.ids.by_shape[Shape.ITERATION] == {5, 6}
    assert reader.ids.by_shape[Shape.TAGS] == {3}
    assert reader.ids.by_shape[Shape.PERSON] == {7}
    assert reader.ids.items == {"Parent": {9, 10}}


def test_a_row_that_comes_on_both_sides_of_a_pages_edge_counts_once() -> None:
    rows = [row(number, number + 1) for number in range(4)]
    snapshots = Snapshots()
    assert snapshots.add_page({"Results": rows[:3], "HasMore": True, "ETLDate": at(9)})
    # A snapshot that was made meanwhile moved the rest by one.
    assert not snapshots.add_page({"Results": rows[2:], "HasMore": False, "ETLDate": at(10)})
    assert [each["_SnapshotNumber"] for each in snapshots.by_item[1]] == [0, 1, 2, 3]
    assert snapshots.feed_time is not None
    assert snapshots.feed_time.hour == 9


def test_the_question_asks_for_all_items_at_once_and_leaves_other_peoples_projects_out() -> None:
    asked = orjson.loads(lookback.snapshots_request(7, [1, 2], fields=FIELDS, start=5, size=100).body)
    assert asked["find"] == {"ObjectID": {"$in": [1, 2]}}
    assert (asked["start"], asked["pagesize"], asked["removeUnauthorizedSnapshots"]) == (5, 100, True)
    assert set(asked["hydrate"]) <= set(asked["fields"])
    assert len(asked["fields"]) == len(set(asked["fields"]))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.lists(st.dictionaries(st.sampled_from([each.name for each in FIELDS.fields]), anything), min_size=1, max_size=4)
)
def test_no_value_of_any_field_makes_an_item_fail(values: list[dict[str, Any]]) -> None:
    rows = [row(number, number + 1, number + 2, **fields) for number, fields in enumerate(values)]
    assert past(*rows).whole
