"""Rules give each field its value with the reason for it; whatever Rally sends, they never fail an item."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.mapping.attributes import AttributeDefinition
from rally_accelerate.mapping.item_types import build_item_type
from rally_accelerate.mapping.rule_engine import (
    AppliedRules,
    RemappedIssue,
    apply_rules,
    map_history_value,
    remap_issue,
)
from rally_accelerate.mapping.rule_parser import parse_rules
from rally_accelerate.mapping.rules import CompiledRules, resolve_rules
from rally_accelerate.model.issue import HistoryEntry, Issue, NormalizedType, SourceRevision, Sprint

FIELDS = [
    AttributeDefinition(name, name.removeprefix("c_"), kind)
    for name, kind in {
        "ScheduleState": "STATE",
        "Severity": "RATING",
        "PlanEstimate": "QUANTITY",
        "Owner": "OBJECT",
        "Iteration": "OBJECT",
        "Blocked": "BOOLEAN",
        "Tags": "COLLECTION",
        "Notes": "TEXT",
        "ClosedDate": "DATE",
        "c_Size": "STRING",
        "c_Link": "WEB_LINK",
    }.items()
]
DEFECT = build_item_type("defect")
STORY = build_item_type("hierarchicalrequirement")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def compiled(raw: Any) -> CompiledRules:
    rules, faults = parse_rules(raw)
    assert faults == ()
    return resolve_rules(rules, {"defect": FIELDS, "hierarchicalrequirement": FIELDS})


def applied(raw: Any, row: dict[str, Any] | None = None, **defaults: Any) -> AppliedRules:
    return apply_rules(compiled(raw), DEFECT, row or {}, defaults)


def status(raw: Any, default: str, row: dict[str, Any] | None = None) -> Any:
    return applied(raw, row, status=default).values["status"]


def values(standards: dict[str, Any], target: str = "status") -> dict[str, Any]:
    return {"type": "*", "valueMapping": {target: standards}}


def source(target: str, label: str) -> dict[str, Any]:
    return {"type": "*", "fieldMapping": {target: label}}


def test_without_rules_everything_stays() -> None:
    outcome = applied(None, status="Open").outcomes["status"]
    assert outcome.value == "Open"
    assert outcome.reason.is_default
    assert str(outcome.reason) == "mapped by default"


def test_a_named_source_replaces_the_default() -> None:
    outcome = applied(source("priority", "Size"), {"c_Size": "XL"}, priority="High").outcomes["priority"]
    assert outcome.value == "XL"
    assert str(outcome.reason) == "read from c_Size (fieldMapping[0].fieldMapping.priority)"


def test_what_a_source_holds_is_translated() -> None:
    raw = {**source("storyPoints", "Size"), **values({"8": ["XL"]}, "storyPoints")}
    outcome = applied(raw, {"c_Size": "XL"}, storyPoints=1.0).outcomes["storyPoints"]
    assert outcome.value == 8.0
    assert str(outcome.reason).endswith('; "XL" becomes "8" by fieldMapping[0].valueMapping.storyPoints.8[0]: XL')


def test_the_first_standard_value_that_fits_wins() -> None:
    assert status(values({"A": ["/e/"], "B": ["Open"], "C": ["/p/"]}), "Open") == "A"
    assert status(values({"C": ["/p/"], "B": ["Open"], "A": ["/e/"]}), "Open") == "C"


def test_of_several_values_that_fit_the_first_is_told() -> None:
    [match] = applied(values({"Done": ["x", "/^A/", "/d$/"]}), status="Accepted").outcomes["status"].reason.matches
    assert (match.rule, match.matched) == ("fieldMapping[0].valueMapping.status.Done[1]", "/^A/")
    [match] = applied(values({"Done": "accepted"}), status="Accepted").outcomes["status"].reason.matches
    assert (match.rule, match.matched) == ("fieldMapping[0].valueMapping.status.Done", "accepted")


@pytest.mark.parametrize(
    ("target", "default"), [("description", ""), ("priority", "None"), ("resolved", NOW), ("epic", None)]
)
def test_a_default_that_no_rule_knows_stays_as_it_is(target: str, default: Any) -> None:
    assert applied(values({"2026-01-01": ["x"]}, target), **{target: default}).values[target] == default


def test_a_text_that_is_equal_wins_over_one_equal_but_for_case() -> None:
    assert status(values({"A": ["open"], "B": ["Open"]}), "Open") == "B"
    assert status(values({"A": ["open "], "B": ["/O/"]}), "Open") == "A"
    assert status(values({"A": ["OPEN"], "B": ["open"]}), "Open") == "A"


def test_a_rule_for_the_type_goes_before_one_for_every_type() -> None:
    star, own = values({"Any": ["Open"]}), {**values({"Own": ["Open"]}), "type": "Defect"}
    assert status([star, own], "Open") == "Own"
    assert status([own, star], "Open") == "Own"
    assert status([star, {**own, "type": "Story"}], "Open") == "Any"


def test_a_source_for_the_type_goes_before_one_for_every_type() -> None:
    star, own = source("epic", "Size"), {**source("epic", "Severity"), "type": "Defect"}
    row = {"c_Size": "S", "Severity": "Minor"}
    assert applied([star, own], row).values == applied([own, star], row).values == {"epic": "Minor"}


def test_what_a_rule_for_the_type_does_not_know_the_rule_for_every_type_may() -> None:
    raw = [values({"Any": ["Open"]}), {**values({"Own": ["Closed"]}), "type": "Defect"}]
    assert status(raw, "Open") == "Any"


def test_a_value_that_no_rule_knows_stays_and_is_told() -> None:
    outcome = applied(values({"Done": ["Accepted"]}), status="Odd").outcomes["status"]
    assert (outcome.value, outcome.reason.unmatched) == ("Odd", ("Odd",))


def test_conditions_look_at_other_fields_and_must_all_hold() -> None:
    raw = values({"Stuck": [{"Blocked": True, "Severity": ["Major", "/^Crash/"]}], "Going": ["Open"]})
    assert status(raw, "Open", {"Blocked": True, "Severity": "Crash/Data Loss"}) == "Stuck"
    assert status(raw, "Open", {"Blocked": True, "Severity": "Minor"}) == "Going"
    assert status(raw, "Open", {"Blocked": False, "Severity": "Major"}) == "Going"
    assert status(raw, "Open", {}) == "Going"


def test_a_condition_on_a_collection_holds_for_any_member() -> None:
    tags = {"Count": 2, "_tagsNameArray": [{"Name": "a"}, {"Name": "hot"}]}
    assert status(values({"Hot": {"Tags": "hot"}}), "Open", {"Tags": tags}) == "Hot"


@pytest.mark.parametrize("unset", [None, "", "None"])
@pytest.mark.parametrize("written", [None, "", "None", "none"])
def test_an_unset_field_goes_by_any_of_its_names(unset: Any, written: Any) -> None:
    assert status(values({"Odd": [{"Severity": written}]}), "Open", {"Severity": unset}) == "Odd"
    raw = {**source("priority", "Severity"), **values({"Lowest": [written]}, "priority")}
    assert applied(raw, {"Severity": unset}).values["priority"] == "Lowest"


@pytest.mark.parametrize("unset", [None, "", "None"])
def test_an_unset_source_empties_what_may_be_empty(unset: Any) -> None:
    assert applied(source("priority", "Severity"), {"Severity": unset}, priority="High").values["priority"] is None


def test_an_unset_source_leaves_what_every_issue_has() -> None:
    assert applied(source("status", "Size"), {}, status="Open").values["status"] == "Open"


@pytest.mark.parametrize(
    ("label", "row", "value"),
    [
        ("Owner", {"Owner": {"_refObjectName": "U", "DisplayName": "User One"}}, "User One"),
        ("Owner.UserName", {"Owner": {"UserName": "one@x.example"}}, "one@x.example"),
        ("Iteration.Name", {"Iteration": {"Name": "S4"}}, "S4"),
        ("Iteration.Name", {"Iteration": None}, None),
        ("Iteration", {"Iteration": {"_refObjectName": "S4"}}, "S4"),
        ("Link", {"c_Link": {"LinkID": "7", "DisplayString": "seven"}}, "seven"),
        ("Notes", {"Notes": "<p>a &amp; b</p>"}, "a & b"),
        ("Iteration.Theme", {"Iteration": {"Theme": "<p>a</p><p>b</p>"}}, "a\n\nb"),
        ("Iteration.Name", {"Iteration": {"Name": "<p> is a tag"}}, "<p> is a tag"),
        ("Blocked", {"Blocked": False}, "false"),
        ("PlanEstimate", {"PlanEstimate": 1234567.0}, "1234567"),
        ("Tags", {"Tags": {"_tagsNameArray": [{"Name": "b"}, {"Name": "a"}]}}, "a, b"),
    ],
)
def test_every_shape_of_field_is_read_as_text(label: str, row: dict[str, Any], value: str | None) -> None:
    assert applied(source("epic", label), row).values["epic"] == value


def test_members_of_a_list_are_translated_one_by_one() -> None:
    raw = values({"quality": ["QA", "/^test/"], "blocked": [{"Blocked": True}]}, "labels")
    outcome = applied(raw, {"Blocked": True}, labels=("QA", "tests", "other")).outcomes["labels"]
    assert outcome.value == ("quality", "other", "blocked")
    assert outcome.reason.unmatched == ("other",)
    assert applied(raw, {"Blocked": False}, labels=("other",)).values["labels"] == ("other",)


def test_of_many_values_the_first_that_a_rule_knows_fills_a_single_field() -> None:
    raw = {**source("severity", "Tags"), **values({"SEV1": ["hot"]}, "severity")}
    tags = {"_tagsNameArray": [{"Name": "cold"}, {"Name": "hot"}]}
    assert applied(raw, {"Tags": tags}).values["severity"] == "SEV1"


@pytest.mark.parametrize("held", ["3", "3.0", 3, 3.0, " 3 "])
def test_numbers_are_read_from_text(held: Any) -> None:
    assert applied(source("storyPoints", "Size"), {"c_Size": held}).values["storyPoints"] == 3.0


@pytest.mark.parametrize("held", ["L", "nan", "inf", True, "1e999"])
def test_what_is_no_number_is_a_warning_and_the_default_stays(held: Any) -> None:
    found = applied(source("storyPoints", "Size"), {"c_Size": held}, storyPoints=5.0)
    assert found.values["storyPoints"] == 5.0
    [warning] = found.warnings
    assert warning.endswith("(from c_Size) is no number; 5 stays")


def test_a_number_of_any_length_is_no_failure() -> None:
    assert applied(source("epic", "Size"), {"c_Size": 10**5000}).values["epic"]
    assert applied(source("storyPoints", "Size"), {"c_Size": 10**5000}).warnings


def test_dates_are_read_as_utc() -> None:
    raw = source("resolved", "ClosedDate")
    assert applied(raw, {"ClosedDate": "2026-03-01T01:00:00+01:00"}).values["resolved"] == NOW
    assert applied(raw, {"ClosedDate": "0001-01-01T00:00:00+23:00"}).warnings
    assert applied(raw, {"ClosedDate": "soon"}).warnings


def test_a_word_that_the_server_does_not_know_is_a_warning() -> None:
    found = applied(source("normalizedType", "Size"), {"c_Size": "Bug"}, normalizedType="OTHER")
    assert found.values["normalizedType"] == "OTHER"
    assert found.warnings == ('normalizedType: "Bug" (from c_Size) is none of EPIC, FEATURE, OTHER; OTHER stays',)
    assert applied(source("normalizedType", "Size"), {"c_Size": "epic"}).values["normalizedType"] == "EPIC"


def test_history_passes_through_the_same_values_without_conditions() -> None:
    rules = compiled(
        [
            values({"Stuck": [{"Blocked": True}], "Done": ["Accepted"]}),
            {**values({"Fixed": ["Accepted"]}), "type": "Defect"},
        ]
    )
    assert map_history_value(rules, DEFECT, "status", "Accepted") == "Fixed"
    assert map_history_value(rules, STORY, "status", "Accepted") == "Done"
    assert map_history_value(rules, STORY, "status", "Odd") == "Odd"
    assert map_history_value(compiled(values({"Any": ["/.*/"]})), STORY, "status", "") == ""


def issue(**how: Any) -> Issue:
    given = {
        "external_id": "1",
        "display_id": "DE1",
        "name": "Sample",
        "status": "Accepted",
        "url": "https://rally.example/1",
        "created": NOW,
        "last_update": NOW,
        "type": "Defect",
        "revision": SourceRevision(NOW),
    }
    return Issue(**{**given, **how})


def laid(raw: Any, row: dict[str, Any], **how: Any) -> RemappedIssue:
    return remap_issue(compiled(raw), DEFECT, row, issue(**how))


def test_no_rules_leave_an_issue_equal() -> None:
    plain = issue(
        priority="High", story_points=3.0, labels=("a",), sprints=(Sprint(id="8", name="S4"),), description="words"
    )
    assert remap_issue(CompiledRules(), DEFECT, {}, plain).issue == plain
    unrelated = {"valueMapping": {"extended.x": {"a": ["b"]}}}
    assert remap_issue(compiled(unrelated), DEFECT, {}, plain).issue == plain


def test_rules_are_laid_onto_an_issue() -> None:
    raw = {
        "fieldMapping": {"severity": "Severity", "extended.size": "Size"},
        "valueMapping": {
            "status": {"Done": ["Accepted"]},
            "severity": {"SEV2": ["Major"]},
            "normalizedType": {"FEATURE": ["OTHER"]},
            "sprints": {"Four": ["S4"]},
        },
    }
    entry = HistoryEntry(instant=NOW, field="status", before="Open", after="Accepted")
    other = HistoryEntry(instant=NOW, field="revision", before="", after="Accepted")
    found = laid(
        raw,
        {"Severity": "Major", "c_Size": "L"},
        history=(entry, other),
        sprints=(Sprint(id="8", name="S4", start=NOW),),
    )
    assert found.issue.status == "Done"
    assert found.issue.normalized_type is NormalizedType.FEATURE
    assert [each.after for each in found.issue.history] == ["Done", "Accepted"]
    assert found.issue.sprints == (Sprint(id="8", name="Four", start=NOW),)
    assert found.extras == {"severity": "SEV2"}
    assert found.extended == {"size": "L"}


def test_a_sprint_that_rally_did_not_give_goes_by_its_name() -> None:
    assert laid(source("sprints", "Size"), {"c_Size": "S9"}).issue.sprints == (Sprint(id="S9", name="S9"),)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["Name", "_tagsNameArray", "_type"]), inner)
    ),
    max_leaves=15,
)
NAMES = st.sampled_from([each.element_name for each in FIELDS])
EVERYTHING = {
    "fieldMapping": {
        "name": "Size", "description": "Notes", "status": "ScheduleState", "labels": "Tags", "sprints": "Iteration.Name",
        "storyPoints": "PlanEstimate", "resolved": "ClosedDate", "severity": "Severity", "epic": "Owner",
        "normalizedType": "Size", "extended.link": "Link",
    },
    "valueMapping": {"status": {"Done": ["A", {"Tags": "/x/", "Owner.UserName": ["y"]}]}, "labels": {"q": {"Blocked": True}}},
}  # fmt: skip
FULL = compiled(EVERYTHING)


@given(row=st.dictionaries(NAMES, JSON))
def test_no_row_makes_the_rules_fail(row: dict[str, Any]) -> None:
    found = remap_issue(FULL, DEFECT, row, issue())
    assert found.issue.status
    assert all(isinstance(label, str) for label in found.issue.labels)


@given(
    row=st.dictionaries(NAMES, JSON), defaults=st.dictionaries(st.sampled_from(["status", "labels", "epic", "x"]), JSON)
)
def test_no_default_makes_the_rules_fail(row: dict[str, Any], defaults: dict[str, Any]) -> None:
    for outcome in apply_rules(FULL, DEFECT, row, defaults).outcomes.values():
        assert str(outcome.reason)
