"""Labels of rules are resolved through the workspace's own definitions, or one error tells of all that cannot be."""

import re
from typing import Any

import pytest

from rally_accelerate.errors import ConfigError
from rally_accelerate.mapping.attributes import AttributeDefinition, find_path
from rally_accelerate.mapping.item_types import build_item_type
from rally_accelerate.mapping.rule_parser import parse_rules
from rally_accelerate.mapping.rules import CompiledRules, list_needed_fields, resolve_rules

STORY_FIELDS = [
    AttributeDefinition("PlanEstimate", "Plan Estimate", "QUANTITY"),
    AttributeDefinition("ScheduleState", "Schedule State", "STATE"),
    AttributeDefinition("Owner", "Owner", "OBJECT"),
    AttributeDefinition("Iteration", "Iteration", "OBJECT"),
    AttributeDefinition("c_RiskLevel", "Risk Level", "STRING", custom=True),
    AttributeDefinition("c_Team", "Area", "STRING", custom=True),
    AttributeDefinition("c_Area", "Region", "STRING", custom=True),
    AttributeDefinition("c_A1", "Twin", "STRING", custom=True),
    AttributeDefinition("c_A2", "Twin", "STRING", custom=True),
    AttributeDefinition("c_NoUsers", "No. of Users", "INTEGER", custom=True),
]
DEFECT_FIELDS = [AttributeDefinition("Severity", "Severity", "RATING"), *STORY_FIELDS[:3]]
DEFINITIONS = {"hierarchicalrequirement": STORY_FIELDS, "defect": DEFECT_FIELDS}


def compiled(raw: Any, definitions: Any = None) -> CompiledRules:
    rules, faults = parse_rules(raw)
    assert faults == ()
    return resolve_rules(rules, DEFINITIONS if definitions is None else definitions)


@pytest.mark.parametrize(
    ("label", "path"),
    [
        ("Plan Estimate", "PlanEstimate"),
        ("PlanEstimate", "PlanEstimate"),
        ("plan estimate", "PlanEstimate"),
        ("plan_estimate", "PlanEstimate"),
        ("c_RiskLevel", "c_RiskLevel"),
        ("RiskLevel", "c_RiskLevel"),
        ("risklevel", "c_RiskLevel"),
        ("Owner.UserName", "Owner.UserName"),
        ("Owner.User Name", "Owner.UserName"),
        ("iteration.Name", "Iteration.Name"),
        ("Iteration.Project.Name", "Iteration.Project.Name"),
        ("No. of Users", "c_NoUsers"),
        # A display name goes before a name that lacks its c_.
        ("Area", "c_Team"),
        ("c_A2", "c_A2"),
    ],
)
def test_a_label_is_a_display_name_or_a_name(label: str, path: str) -> None:
    assert str(find_path(label, STORY_FIELDS)) == path


def test_a_name_goes_before_a_display_name_as_a_standard_field_may_have_no_other() -> None:
    twins = [AttributeDefinition("c_Res", "Resolution"), AttributeDefinition("Resolution", "Resolution")]
    assert str(find_path("Resolution", twins)) == "Resolution"
    assert str(find_path("resolution", twins)) == "Resolution"


def test_a_label_of_nothing_is_none() -> None:
    assert find_path("Colour", STORY_FIELDS) is None


@pytest.mark.parametrize(
    ("label", "fault"),
    [
        ("Twin", '2 fields are called "Twin"; name one of them: c_A1, c_A2'),
        ("Plan Estimate.Name", '"Plan Estimate" is a QUANTITY and refers to nothing that has fields'),
        ("Owner.", '"Owner." has no name after a dot'),
    ],
)
def test_a_label_that_cannot_be_followed_is_told(label: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        find_path(label, STORY_FIELDS)


def test_a_field_defined_twice_alike_is_one_field() -> None:
    assert str(find_path("Owner", [STORY_FIELDS[2], STORY_FIELDS[2]])) == "Owner"


def test_one_error_tells_of_every_unknown_and_ambiguous_label_once() -> None:
    raw = [
        {"type": "*", "fieldMapping": {"storyPoints": "Plan Estmate", "epic": "Twin"}},
        {"type": "Defect", "valueMapping": {"status": {"Done": ["x", {"Severty": "a"}], "New": {"Severty": "b"}}}},
        {"type": "*", "fieldMapping": {"businessValue": "Plan Estmate"}},
    ]
    with pytest.raises(ConfigError) as caught:
        compiled(raw)
    assert [str(problem) for problem in caught.value.problems] == [
        (
            "properties.fieldMapping[0].fieldMapping.storyPoints: no field of Story or Defect is called "
            '"Plan Estmate" (did you mean "Plan Estimate" or "PlanEstimate"?)'
        ),
        (
            "properties.fieldMapping[0].fieldMapping.epic: Story: "
            '2 fields are called "Twin"; name one of them: c_A1, c_A2'
        ),
        (
            "properties.fieldMapping[1].valueMapping.status.Done[1].Severty: no field of Defect is called "
            '"Severty" (did you mean "Severity"?)'
        ),
    ]
    assert caught.value.hint


def test_a_rule_for_every_type_needs_its_field_in_one_of_them() -> None:
    found = compiled({"type": "*", "fieldMapping": {"severity": "Severity"}})
    assert found.find_source(build_item_type("hierarchicalrequirement"), "severity") is None
    source = found.find_source(build_item_type("defect"), "severity")
    assert source is not None
    assert str(source[0]) == "Severity"


def test_a_rule_for_one_type_needs_its_field_there() -> None:
    with pytest.raises(ConfigError):
        compiled({"type": "Story", "fieldMapping": {"severity": "Severity"}})


def test_rules_for_types_that_are_not_read_are_a_notice() -> None:
    found = compiled({"type": "Defct", "fieldMapping": {"severity": "Nonsense"}})
    assert found.notices == (
        'fieldMapping[0] applies to the type "Defct", which is not imported (did you mean "defect"?).',
    )


def test_the_fields_that_rules_read_are_fetched() -> None:
    found = compiled(
        [
            {"type": "*", "fieldMapping": {"epic": "Owner.UserName", "severity": "Severity"}},
            {"type": "Story", "valueMapping": {"status": {"Done": {"Risk Level": "x"}}}},
        ]
    )
    assert list_needed_fields(found, "hierarchicalrequirement") == ("Owner", "UserName", "c_RiskLevel")
    assert list_needed_fields(found, "defect") == ("Owner", "Severity", "UserName")
    assert list_needed_fields(found, "task") == ()


def test_the_portfolio_is_fetched_as_a_whole_or_by_level() -> None:
    raw = {"type": "Feature", "fieldMapping": {"epic": "Owner"}}
    whole = compiled(raw, {"portfolioitem": DEFECT_FIELDS})
    assert list_needed_fields(whole, "portfolioitem/feature") == ("Owner",)
    assert whole.find_source(build_item_type("portfolioitem", {"_type": "PortfolioItem/Feature"}), "epic") is not None
    assert whole.find_source(build_item_type("portfolioitem", {"_type": "PortfolioItem/Theme"}), "epic") is None
    level = compiled(raw, {"portfolioitem/feature": DEFECT_FIELDS})
    assert list_needed_fields(level, "portfolioitem") == ("Owner",)


@pytest.mark.parametrize(
    "written",
    ["Story", "story", "User Story", "Hierarchical Requirement", "HierarchicalRequirement", "Requirement of ours", "*"],
)
def test_a_type_goes_by_any_of_its_names(written: str) -> None:
    entry = parse_rules({"type": written})[0].entries[0]
    assert build_item_type("hierarchicalrequirement", {}, "Requirement of ours").match_types(entry.types) is not None
    assert written == "*" or build_item_type("defect").match_types(entry.types) is None


@pytest.mark.parametrize(
    "written", ["PortfolioItem/Business Outcome", "Business Outcome", "PortfolioItem", "portfolio item"]
)
def test_a_level_of_the_portfolio_goes_by_its_path_its_name_or_its_family(written: str) -> None:
    entry = parse_rules({"type": written})[0].entries[0]
    assert build_item_type("portfolioitem/businessoutcome").match_types(entry.types) is not None
    assert build_item_type("hierarchicalrequirement").match_types(entry.types) is None


def test_a_level_goes_before_the_portfolio_and_the_portfolio_before_every_type() -> None:
    rules = parse_rules([{"type": "*"}, {"type": "PortfolioItem"}, {"type": "Feature"}, {"type": "Defect"}])[0]
    found = CompiledRules(rules).find_entries(build_item_type("portfolioitem", {"_type": "PortfolioItem/Feature"}))
    assert [entry.written for entry in found] == ["Feature", "PortfolioItem", "*"]


def test_the_version_changes_exactly_with_the_rules_and_their_fields() -> None:
    def version(standards: dict[str, Any], label: str = "Risk Level") -> str:
        return compiled({"fieldMapping": {"priority": label}, "valueMapping": {"priority": standards}}).version

    usual = version({"High": ["a"], "Low": ["b"]})
    assert version({"High": "a", "Low": "b"}) == usual
    assert version({"Low": ["b"], "High": ["a"]}) != usual
    assert version({"High": ["a"], "Low": ["/b/"]}) != usual
    assert version({"High": ["a"], "Low": ["b"]}, "Region") != usual
    assert CompiledRules().version == CompiledRules().version != usual
