"""Rules for types that do not exist are refused with a suggestion, and no rule that can mean something is."""

import pytest

from rally_accelerate.config.load import validate_integration
from rally_accelerate.errors import ConfigError
from rally_accelerate.mapping.rules import find_rule_problems, parse_custom_rules


def rule(rule_type: object, target: str = "status") -> dict[str, object]:
    return {"type": rule_type, "valueMapping": {target: {"Done": ["Accepted"]}}}


@pytest.mark.parametrize(
    ("written", "suggested"),
    [("Storry", "Story"), ("Defct", "Defect"), ("TestCas", "TestCase"), ("Featrue", "Feature"), ("Taks", "Task")],
)
def test_misspelled_types_are_refused_with_a_suggestion(written: str, suggested: str) -> None:
    (problem,) = find_rule_problems({"fieldMapping": [rule("*"), rule(written)]})
    assert problem.path == "properties.fieldMapping[1].type"
    assert f'"{written}" is no type' in problem.text
    assert f'did you mean "{suggested}"' in problem.text


def test_one_misspelled_type_of_several_is_named() -> None:
    (problem,) = find_rule_problems({"fieldMapping": [rule(["Defect", "Storry"])]})
    assert '"Storry" is no type' in problem.text


def test_types_that_are_like_no_other_are_refused_with_all_there_are() -> None:
    (problem,) = find_rule_problems({"fieldMapping": [rule("Bugzilla")]})
    assert "there are Story, Defect," in problem.text


@pytest.mark.parametrize(
    "written",
    [
        "*",
        "Story",
        "User Story",
        "stories",
        "HierarchicalRequirement",
        "defect",
        "Test Case",
        "TestSet",
        "Risk",
        "Feature",
        "Theme",
        "PortfolioItem",
        "PortfolioItem/Epic",
        "portfolioitem/capability",
        ["Task", "Defect"],
    ],
)
def test_types_that_rally_has_are_accepted(written: object) -> None:
    assert find_rule_problems({"fieldMapping": [rule(written)]}) == ()


def test_types_that_the_settings_import_or_rename_are_accepted() -> None:
    settings = {"types": "Story, PortfolioItem/Epic", "typeNames": {"Story": "Requirement"}}
    assert find_rule_problems({**settings, "fieldMapping": [rule("Epic"), rule("Requirement")]}) == ()
    # All levels are imported, and their names are the workspace's own.
    assert find_rule_problems({"types": "PortfolioItem", "fieldMapping": [rule("Capability")]}) == ()


def test_unknown_targets_are_refused_with_a_suggestion_also_in_json_text() -> None:
    text = '[{"type": "*", "valueMapping": {"statuss": {"Done": ["Accepted"]}}}]'
    (problem,) = find_rule_problems({"fieldMapping": text})
    assert problem.path == "properties.fieldMapping[0].valueMapping.statuss"
    assert 'did you mean "status"' in problem.text


def test_other_faults_of_the_settings_are_left_to_others() -> None:
    assert find_rule_problems({"fieldMapping": "[{", "types": {"a": 1}}) == ()
    assert find_rule_problems({"fieldMapping": [rule("Story")], "types": {"a": 1}, "typeNames": "Story"}) == ()


def test_a_run_refuses_the_same() -> None:
    settings = {"apiKey": "_k", "fieldMapping": [rule("Storry")]}
    properties = validate_integration({"name": "a", "properties": settings}).properties
    with pytest.raises(ConfigError) as refused:
        parse_custom_rules(properties)
    assert [each.path for each in refused.value.problems] == ["properties.fieldMapping[0].type"]


@pytest.mark.parametrize("written", ["Storry", "Defct", "Featrue", "*"])
def test_types_to_import_that_cannot_be_right_are_refused_without_rally(written: str) -> None:
    (problem,) = find_rule_problems({"types": f"Defect, {written}"})
    assert problem.path == "properties.types"
    assert f'"{written}" is no type' in problem.text


@pytest.mark.parametrize(
    "written",
    ["User\u00a0Story", "test cases", "Business Outcome", "Strategy", "Product Feature", "Task Set", "Project"],
)
def test_types_to_import_that_may_be_levels_are_left_to_rally(written: str) -> None:
    assert (
        find_rule_problems({"types": [written, "Outcome"], "fieldMapping": [rule("Outcomes"), rule("Capability")]})
        == ()
    )


def test_new_names_for_types_that_do_not_exist_are_refused() -> None:
    (problem,) = find_rule_problems({"typeNames": {"Storry": "Requirement", "defects": "Bug"}})
    assert problem.path == "properties.typeNames"
    assert 'did you mean "Story"' in problem.text
    (problem,) = find_rule_problems({"typeNames": "Capability=Epic"})
    assert "there are Story, Defect," in problem.text
