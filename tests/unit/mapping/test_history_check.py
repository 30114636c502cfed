"""A history is complete only when it leads, without a break, to what the item is now."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.mapping.history_check import Verdict, check_history
from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally.records import (
    FieldChange,
    FieldValue,
    HistorySource,
    ItemHistory,
    Record,
    TimeboxValue,
    UnparsedChange,
    WorkItem,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def item(*changes: tuple[str, FieldValue, FieldValue], row: dict[str, Any] | None = None, **past: Any) -> WorkItem:
    told = tuple(FieldChange(number, "u", *change) for number, change in enumerate(changes))
    record = Record(kind="defect", object_id=1, revision=SourceRevision(NOW), fields=row or {})
    return WorkItem(record=record, past=ItemHistory(**{"source": HistorySource.LOOKBACK, "changes": told, **past}))


STATE = ("ScheduleState", "Defined", "In-Progress")


@pytest.mark.parametrize(
    ("its", "verdict"),
    [
        (item(), Verdict.COMPLETE),
        (item(STATE, row={"ScheduleState": "In-Progress"}), Verdict.COMPLETE),
        (item(STATE, row={"ScheduleState": "Accepted"}), Verdict.INCOMPLETE),
        (
            item(STATE, ("ScheduleState", "Completed", "Accepted"), row={"ScheduleState": "Accepted"}),
            Verdict.INCOMPLETE,
        ),
        (item(STATE, ("ScheduleState", "In-Progress", "Defined"), row={"ScheduleState": "Defined"}), Verdict.COMPLETE),
        (item(("Priority", "Low", ""), row={"Priority": "None"}), Verdict.COMPLETE),
        (item(("PlanEstimate", "", "3"), row={"PlanEstimate": 3.0}), Verdict.COMPLETE),
        (item(("Blocked", "false", "true"), row={"Blocked": True}), Verdict.COMPLETE),
        (item(("Blocked", "false", "true"), row={"Blocked": False}), Verdict.INCOMPLETE),
        (
            item(("Tags", (), ("a", "b")), row={"Tags": {"_tagsNameArray": [{"Name": "b"}, {"Name": "a"}]}}),
            Verdict.COMPLETE,
        ),
        (
            item(("Iteration", None, TimeboxValue(5, "old name")), row={"Iteration": {"ObjectID": 5, "Name": "n"}}),
            Verdict.COMPLETE,
        ),
        (
            item(("Iteration", None, TimeboxValue(5, "n")), row={"Iteration": {"ObjectID": 6, "Name": "n"}}),
            Verdict.INCOMPLETE,
        ),
        (item(("Iteration", TimeboxValue(5, "n"), None), row={"Iteration": None}), Verdict.COMPLETE),
        (item(("Recycled", "false", "true")), Verdict.INCOMPLETE),
        (item(("Recycled", "false", "true"), ("Recycled", "true", "false")), Verdict.COMPLETE),
        (item(("Parent", "US1", "US2"), row={"Parent": None}), Verdict.COMPLETE),
        (item(("c_Own", "true", "false"), row={"c_Own": None}), Verdict.COMPLETE),
        (item(("c_Own", "false", "true"), row={"c_Own": None}), Verdict.INCOMPLETE),
        (item(("c_Own", "", "1234567.5"), row={"c_Own": 1234567.5}), Verdict.COMPLETE),
        (item(("c_Own", "", "2026-07-01T06:00:00Z"), row={"c_Own": "2026-07-01T06:00:00.250Z"}), Verdict.COMPLETE),
        (item(("c_Own", "", "2026-07-01T06:00:00Z"), row={"c_Own": "2026-07-02T06:00:00.000Z"}), Verdict.INCOMPLETE),
        (item(("c_Own", "", "Ada"), row={"c_Own": {"_type": "User", "DisplayName": "Ada"}}), Verdict.COMPLETE),
        (item(("c_Own", "", "US1"), row={"c_Own": {"_type": "Defect", "FormattedID": "DE1"}}), Verdict.INCOMPLETE),
        (
            item(
                ("c_Own", None, TimeboxValue(5, "old")),
                row={"c_Own": {"_type": "Iteration", "ObjectID": 5, "Name": "n"}},
            ),
            Verdict.COMPLETE,
        ),
        (item(whole=False), Verdict.INCOMPLETE),
        (item(up_to_date=False), Verdict.INCOMPLETE),
        (item(unread=(UnparsedChange(1, "u", "X changed"),)), Verdict.UNVERIFIABLE),
        (item(source=HistorySource.NONE), Verdict.UNVERIFIABLE),
    ],
)
def test_verdicts(its: WorkItem, verdict: Verdict) -> None:
    assert check_history(its).verdict is verdict


def test_a_gap_says_which_field_where_and_what() -> None:
    found = check_history(item(STATE, row={"ScheduleState": "Accepted"}))
    assert [str(gap) for gap in found.gaps] == ["ScheduleState was left at 'In-Progress' and is 'Accepted' today"]
