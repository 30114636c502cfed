"""A work item becomes an issue, whatever Rally leaves out."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.mapping.attributes import AttributeDefinition
from rally_accelerate.mapping.issue import map_work_item
from rally_accelerate.mapping.rule_parser import parse_rules
from rally_accelerate.mapping.rules import CustomField, Rules, resolve_rules
from rally_accelerate.model.issue import Issue, NormalizedType, SourceRevision
from rally_accelerate.model.report import Skipped
from rally_accelerate.rally.history_fields import TrackedFields
from rally_accelerate.rally.records import FieldChange, ItemHistory, Post, Record, RelatedObjects, Revision, WorkItem
from rally_accelerate.rally.revision_changes import ProjectAt, RevisionReader

RULES = Rules(web_url="https://rally.example")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
API = "https://rally.example/slm/webservice/v2.0"

STORY: dict[str, Any] = {
    "_type": "HierarchicalRequirement",
    "_ref": f"{API}/hierarchicalrequirement/4711",
    "ObjectID": 4711,
    "FormattedID": "US12",
    "Name": "Export the sample report",
    "Description": "<p>As a <b>reader</b></p>",
    "CreationDate": "2026-01-02T03:04:05.678Z",
    "LastUpdateDate": "2026-02-03T04:05:06.000Z",
    "ScheduleState": "In-Progress",
    "FlowState": {"_refObjectName": "Doing", "_type": "FlowState"},
    "PlanEstimate": 3.0,
    "Owner": {"_refObjectName": "Sample User 01", "_type": "User"},
    "CreatedBy": {"DisplayName": "Sample User 02", "_type": "User"},
    "Project": {"_ref": f"{API}/project/7", "_refObjectName": "Team Amber", "Name": "Team Amber"},
    "Iteration": {
        "_ref": f"{API}/iteration/8",
        "Name": "Sprint 4",
        "StartDate": "2026-02-01T06:00:00.000Z",
        "EndDate": "2026-02-15T05:59:59.000Z",
    },
    "Release": {
        "_ref": "/slm/webservice/v2.x/release/9",
        "Name": "R1",
        "State": "Accepted",
        "ReleaseDate": None,
    },
    "Tags": {"Count": 2, "_tagsNameArray": [{"Name": "urgent"}, {"Name": "[US] quality"}]},
    "Blocked": False,
    "Severity": "",
}


def item(fields: dict[str, Any], *, kind: str = "hierarchicalrequirement", revisions: Any = ()) -> WorkItem:
    record = Record(kind=kind, object_id=4711, revision=SourceRevision(NOW, 5), fields=fields)
    past = RevisionReader(TrackedFields.of(), lambda *_: None).read(revisions, project=ProjectAt(""), collections={})
    return WorkItem(record=record, past=past)


def mapped(fields: dict[str, Any], rules: Rules = RULES, **how: Any) -> Issue:
    issue = map_work_item(item(fields, **how), rules)
    assert isinstance(issue, Issue)
    return issue


def test_a_whole_story() -> None:
    issue = mapped(STORY)
    assert (issue.external_id, issue.display_id, issue.name) == ("4711", "US12", "Export the sample report")
    assert (issue.status, issue.type, issue.normalized_type) == ("In-Progress", "Story", NormalizedType.OTHER)
    assert issue.url == "https://rally.example/#/detail/userstory/4711"
    assert (issue.creator, issue.owner) == ("Sample User 02", "Sample User 01")
    assert issue.description == "As a reader"
    assert issue.created == datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert issue.story_points == 3.0
    assert issue.labels == ("[US] quality", "urgent")
    assert issue.project is not None
    assert (issue.project.id, issue.project.name) == ("7", "Team Amber")
    assert [(sprint.id, sprint.name) for sprint in issue.sprints] == [("8", "Sprint 4")]
    assert issue.sprints[0].end == datetime(2026, 2, 15, 5, 59, 59, tzinfo=UTC)
    assert [(release.id, release.released) for release in issue.releases] == [("9", True)]
    assert issue.version_ids == ("9",)
    states = {"ScheduleState": "In-Progress", "FlowState": "Doing", "ReleaseState": "Accepted"}
    assert issue.raw == {**states, "Blocked": False}


def test_an_item_of_which_nothing_is_known_is_still_an_issue() -> None:
    issue = mapped({})
    assert (issue.display_id, issue.name, issue.status) == ("4711", "4711", "None")
    assert (issue.creator, issue.owner, issue.priority) == ("unknown", None, None)
    assert issue.created == NOW


def test_an_item_without_an_id_is_skipped_by_name() -> None:
    record = Record(kind="defect", object_id=0, revision=SourceRevision(NOW), fields={"FormattedID": "DE1"})
    skipped = map_work_item(WorkItem(record=record), RULES)
    assert isinstance(skipped, Skipped)
    assert skipped.key == "DE1"


@pytest.mark.parametrize("gone", [None, {}, {"_refObjectName": ""}, {"_refObjectName": None}, "text"])
def test_deleted_users_and_odd_references_never_fail(gone: Any) -> None:
    issue = mapped({**STORY, "Owner": gone, "CreatedBy": gone, "Iteration": gone, "Release": gone, "Project": gone})
    assert issue.owner is None
    assert issue.creator == "unknown"
    assert (issue.sprints, issue.releases, issue.version_ids, issue.project) == ((), (), (), None)


def revision(number: int, text: str, user: str = "Sample User 03") -> Revision:
    return Revision(
        history_id=1,
        number=number,
        instant=datetime(2026, 1, 1, number, tzinfo=UTC),
        user=user,
        description=text,
    )


def test_the_creator_comes_from_the_first_revision_when_rally_does_not_say() -> None:
    first = revision(0, "Original revision", "Sample User 09")
    assert mapped({**STORY, "CreatedBy": None}, revisions=(first,)).creator == "Sample User 09"


def test_the_status_history_is_oldest_first_and_never_lacks_a_side() -> None:
    revisions = (
        revision(3, "SCHEDULE STATE changed from [In-Progress] to [Completed], RANK moved up", ""),
        revision(2, "FLOW STATE changed from [a] to [b], SCHEDULE STATE changed from [Defined] to [In-Progress]"),
        revision(1, "SCHEDULE STATE changed to [Defined]"),
        revision(0, "Original revision"),
    )
    history = [entry for entry in mapped(STORY, revisions=revisions).history if entry.field == "status"]
    assert [(entry.field, entry.before, entry.after, entry.user) for entry in history] == [
        ("status", "", "Defined", "Sample User 03"),
        ("status", "Defined", "In-Progress", "Sample User 03"),
        ("status", "In-Progress", "Completed", "unknown"),
    ]


def test_entities_in_history_read_like_the_status() -> None:
    text = "SCHEDULE STATE changed from [A &amp; B] to [C]"
    assert mapped(STORY, revisions=(revision(1, text),)).history[0].before == "A & B"


def test_a_text_that_cannot_be_read_is_passed_on_whole_not_guessed() -> None:
    text = "SCHEDULE STATE changed from [a], NAME changed from [b] to [c"
    history = mapped(STORY, revisions=(revision(1, text),)).history
    assert [(entry.field, entry.after) for entry in history] == [("revision", text)]


def test_a_change_without_values_is_passed_on_as_it_is() -> None:
    history = mapped(STORY, revisions=(revision(1, "SCHEDULE STATE changed"),)).history
    assert [(entry.field, entry.after) for entry in history] == [("revision", "SCHEDULE STATE changed")]


def test_a_defects_status_follows_the_setting_and_the_other_state_is_kept() -> None:
    defect = {**STORY, "_type": "Defect", "FormattedID": "DE3", "State": "Open", "Priority": "None"}
    plain = mapped(defect, kind="defect")
    assert (plain.status, plain.type, plain.raw["State"], plain.priority) == (
        "In-Progress",
        "Defect",
        "Open",
        None,
    )
    by_state = mapped(defect, Rules(web_url="https://rally.example", defect_status="State"), kind="defect")
    assert (by_state.status, by_state.raw["ScheduleState"]) == ("Open", "In-Progress")
    texts = (revision(1, "STATE changed from [Submitted] to [Open], SCHEDULE STATE changed from [a] to [b]"),)
    rules = Rules(web_url="https://rally.example", defect_status="State")
    history = mapped(defect, rules, kind="defect", revisions=texts).history
    assert [(entry.field, entry.after) for entry in history] == [("scheduleState", "b"), ("status", "Open")]


def test_a_setting_renames_types() -> None:
    rules = Rules(web_url="https://rally.example", type_names={"Story": "User Story"})
    assert mapped(STORY, rules).type == "User Story"


@pytest.mark.parametrize(
    ("fields", "expected", "name"),
    [
        (
            {"PortfolioItemType": {"Ordinal": 0}, "_type": "PortfolioItem/Thema"},
            NormalizedType.FEATURE,
            "Thema",
        ),
        (
            {"PortfolioItemType": {"Ordinal": 1}, "_type": "PortfolioItem/Feature"},
            NormalizedType.EPIC,
            "Feature",
        ),
        ({"_type": "PortfolioItem/Feature"}, NormalizedType.FEATURE, "Feature"),
        ({"_type": "PortfolioItem/Initiative"}, NormalizedType.EPIC, "Initiative"),
        ({"UserStories": {"Count": 0}, "_type": "PortfolioItem/X"}, NormalizedType.FEATURE, "X"),
    ],
)
def test_portfolio_levels(fields: dict[str, Any], expected: NormalizedType, name: str) -> None:
    state = {"_refObjectName": "Developing", "_type": "State"}
    issue = mapped({**fields, "State": state}, kind="portfolioitem/feature")
    assert (issue.normalized_type, issue.type, issue.status) == (expected, name, "Developing")


def test_an_unknown_kind_gets_sensible_words() -> None:
    issue = mapped({"_type": "Riddle", "State": "Asked"}, kind="riddle")
    assert (issue.type, issue.status, issue.url) == (
        "Riddle",
        "Asked",
        "https://rally.example/#/detail/riddle/4711",
    )


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["Name", "_ref", "ObjectID", "x"]), inner)
    ),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([name for name in STORY if name != "ObjectID"]), anything))
def test_no_value_of_any_field_makes_an_item_fail(fields: dict[str, Any]) -> None:
    issue = mapped(fields)
    item_in(issue)
    assert issue.name
    assert issue.status


def test_the_version_of_rules_changes_with_the_rules() -> None:
    assert RULES.version == Rules(web_url="https://rally.example").version
    assert RULES.version != Rules(web_url="https://rally.example", defect_status="State").version


def test_what_is_kept_aside_is_small_and_has_the_milestones() -> None:
    milestones = {"Count": 1, "_tagsNameArray": [{"Name": "MI1: Sample date"}]}
    issue = mapped({**STORY, "BlockedReason": "x" * 5000, "Milestones": milestones})
    assert len(issue.raw["BlockedReason"]) == 2000
    assert issue.raw["Milestones"] == ["MI1: Sample date"]


def test_rich_texts_read_as_they_were_written() -> None:
    field = CustomField("c_Plan", "Plan", "TEXT")
    html = '<ul><li>see <a href="/slm/a.pdf">this</a></li></ul>'
    rich = {"Description": html, "c_Plan": html, "c_Plain": "<a> is no tag"}
    record = Record(kind="defect", object_id=1, revision=SourceRevision(NOW, 5), fields={**STORY, **rich})
    changes = (FieldChange(1, "A", "c_Plan", "", html), FieldChange(2, "A", "c_Plain", "<a>", "<b>"))
    post = Post(object_id=7, user="A", created=NOW, updated=NOW, text=html)
    whole = WorkItem(record=record, past=ItemHistory(changes=changes), around=RelatedObjects(posts=(post,)))
    custom = (field, CustomField("c_Plain", "Plain", "STRING"))
    issue = map_work_item(whole, replace(RULES, custom=custom))
    assert isinstance(issue, Issue)
    expected = "- see this (https://rally.example/slm/a.pdf)"
    assert issue.description == expected
    assert issue.comments[0].text == expected
    assert (issue.raw["c_Plan"], issue.raw["c_Plain"]) == (expected, "<a> is no tag")
    assert [(entry.field, entry.before, entry.after) for entry in issue.history] == [
        ("Plan", "", expected),
        ("Plain", "<a>", "<b>"),
    ]


def test_links_in_rich_texts_that_rules_read_lead_to_rally() -> None:
    html = '<p>see <a href="/slm/a.pdf">this</a></p>'
    notes, _ = parse_rules([{"type": "*", "fieldMapping": {"description": "Notes", "extended.plan": "Plan"}}])
    definitions = [AttributeDefinition("Notes", "Notes", "TEXT"), AttributeDefinition("c_Plan", "Plan", "TEXT")]
    rules = replace(RULES, compiled=resolve_rules(notes, {"hierarchicalrequirement": definitions}))
    fields = {**STORY, "Notes": html, "c_Plan": html}
    record = Record(kind="hierarchicalrequirement", object_id=1, revision=SourceRevision(NOW, 5), fields=fields)
    issue = map_work_item(WorkItem(record=record), rules)
    assert isinstance(issue, Issue)
    expected = "see this (https://rally.example/slm/a.pdf)"
    assert (issue.description, issue.raw["plan"]) == (expected, expected)
