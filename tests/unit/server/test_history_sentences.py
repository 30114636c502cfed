"""A history reads like what a colleague would tell."""

from typing import Any

import pytest

from rally_accelerate.server.web.issue_detail import describe_change, label


def said(field: str, before: Any, after: Any, **more: Any) -> str:
    return "".join(text for _, text in describe_change({"field": field, "from": before, "to": after, **more}))


@pytest.mark.parametrize(
    ("field", "before", "after", "expected"),
    [
        ("status", "Defined", "In-Progress", "moved it from Defined to In-Progress"),
        ("status", "", "Defined", "set the status to Defined"),
        ("owner", "", "Ann", "assigned it to Ann"),
        ("owner", "Ann", "Bo", "reassigned it from Ann to Bo"),
        ("owner", "Ann", "", "unassigned Ann"),
        ("sprint", [], [{"id": "1", "name": "Sprint 3"}], "added it to Sprint 3"),
        ("sprint", [{"name": "Sprint 3"}], [], "removed it from Sprint 3"),
        ("storyPoints", "3", "5", "changed the estimate from 3 to 5"),
        ("storyPoints", "", 5.0, "estimated it at 5"),
        ("blocked", "false", "true", "blocked it"),
        ("blocked", True, False, "unblocked it"),
        ("labels", ["a"], ["b", "c"], "added labels b, c and removed labels a"),
        ("labels", None, ["b"], "added labels b"),
        ("description", "long", "longer", "changed the description"),
        ("flowState", "x", "y", "changed Flow state from x to y"),
        ("c_CostCentre", "", "7", "set Cost centre to 7"),
        ("priority", "High", None, "cleared Priority (was High)"),
        ("status", None, None, "updated Status"),
        ("", "", "x", "set a field to x"),
    ],
)
def test_what_is_told_of_a_change(field: str, before: Any, after: Any, expected: str) -> None:
    assert said(field, before, after) == expected


@pytest.mark.parametrize(
    ("field", "before", "after", "expected"),
    [
        ("sprint", [], ["Sprint 3"], "added it to Sprint 3"),
        ("sprint", ["Sprint 3"], ["Sprint 4"], "moved it from Sprint 3 to Sprint 4"),
        ("sprints", ["Sprint 3"], [], "removed it from Sprint 3"),
        ("release", ["R1"], ["R2"], "moved it from R1 to R2"),
        ("sprint", ["S1"], ["S1", "S2"], "added sprint S2"),
        ("labels", ["a"], ["b"], "added labels b and removed labels a"),
    ],
)
def test_a_sprint_in_a_list_of_names_reads_like_a_move(field: str, before: Any, after: Any, expected: str) -> None:
    assert said(field, before, after, type="stringArray") == expected


def test_values_are_told_apart_from_the_words_around_them() -> None:
    pieces = describe_change({"field": "status", "from": "to", "to": "{0}"})
    assert pieces == [(False, "moved it from "), (True, "to"), (False, " to "), (True, "{0}")]


def test_a_value_as_long_as_a_book_is_cut() -> None:
    assert len(said("name", "a", "b" * 5000)) < 300


def test_names_of_fields() -> None:
    assert [label(each) for each in ("storyPoints", "scheduleState", "c_my_field", "x")] == [
        "Story points",
        "Schedule state",
        "My field",
        "X",
    ]
