"""Users' rules are read as people write them, and every fault is told with its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.mapping.rule_parser import Conditions, ExactText, FieldRules, Pattern, parse_rules

EXAMPLE = [
    {
        "type": "*",
        "fieldMapping": {"storyPoints": "Plan Estimate", "extended.risk": "Risk Level"},
        "valueMapping": {"status": {"Done": ["Accepted", "/^Rel/i", {"Ready": True, "Owner": ["a", "b"]}]}},
    },
    {"type": "Defect", "fieldMapping": {"severity": "Severity"}},
]

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
WORDS = st.sampled_from(
    [
        "type",
        "fieldMapping",
        "valueMapping",
        "status",
        "labels",
        "extended.",
        "*",
        "Defect",
        "/[/",
        "/a/i",
        "storyPoints",
        "id",
    ]
)
NEARLY: st.SearchStrategy[Any] = st.recursive(
    WORDS | st.none() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
    max_leaves=25,
)


def rules(raw: Any) -> FieldRules:
    read, faults = parse_rules(raw)
    assert faults == ()
    return read


def faults(raw: Any) -> list[str]:
    return [f"{path}: {text}" for path, text in parse_rules(raw)[1]]


def values(matchers: Any) -> Any:
    return rules({"valueMapping": {"status": {"Done": matchers}}}).entries[0].values["status"][0].matchers


def test_the_example_is_read_in_order() -> None:
    first, second = rules(EXAMPLE).entries
    assert first.types == ("*",)
    assert first.sources == {"storyPoints": "Plan Estimate", "extended.risk": "Risk Level"}
    assert second.types == ("defect",)
    [done] = first.values["status"]
    accepted, released, conditions = done.matchers
    assert accepted == ExactText("Accepted")
    assert isinstance(released, Pattern)
    assert isinstance(conditions, Conditions)
    assert conditions.written == "Ready = true and Owner = a or b"


def test_json_text_is_the_same_as_its_value() -> None:
    assert rules(json.dumps(EXAMPLE)) == rules(EXAMPLE)


@pytest.mark.parametrize("nothing", [None, "", "  ", [], {}, "[]"])
def test_nothing_is_no_rules(nothing: Any) -> None:
    assert not rules(nothing)


def test_single_things_stand_for_lists_of_one() -> None:
    assert rules(EXAMPLE[1]).entries == rules([EXAMPLE[1]]).entries
    assert values("Accepted") == values(["Accepted"])


def test_a_missing_type_is_every_type() -> None:
    assert rules({"fieldMapping": {"epic": "Feature"}}).entries[0].types == ("*",)


def test_an_entry_may_name_several_types() -> None:
    assert rules({"type": ["Defect", "User Story"]}).entries[0].types == ("defect", "hierarchicalrequirement")


def test_letters_case_of_targets_and_keys_does_not_count() -> None:
    assert rules({"FieldMapping": {"storypoints": "A"}}).entries[0].sources == {"storyPoints": "A"}


def test_values_are_compared_as_texts() -> None:
    assert values([3, 3.0, 2.5, True, None]) == tuple(map(ExactText, ["3", "3", "2.5", "true", ""]))


@pytest.mark.parametrize(
    ("written", "text", "fits"), [("/^acc/", "Accepted", 0), ("/^acc/i", "Accepted", 2), ("/p.e/g", "Acpted", 2)]
)
def test_regular_expressions_take_flags(written: str, text: str, fits: int) -> None:
    assert values(written)[0].grade(text) == fits


def test_every_fault_is_told_at_once_with_its_place() -> None:
    raw = [
        {"type": "Defect"},
        {
            "type": 7,
            "fieldMaping": {},
            "fieldMapping": {"id": "FormattedID", "_id": "ObjectID", "storyPoint": "A", "extended.": "B", "epic": ""},
            "valueMapping": {
                "status": {"Done": ["a", "b", "/[/"], "": ["x"]},
                "type": ["Bug"],
                "priority": {"High": [{}, {"Severity": []}, {"Severity": ["a", {}]}, [["x"]], "/a/x"]},
                "normalizedType": {"Bug": ["Defect"]},
                "storyPoints": {"many": ["L"]},
            },
        },
        "Story",
    ]
    at = "fieldMapping[1].valueMapping"
    told = faults(raw)
    begins = [
        "fieldMapping[1].fieldMaping: is not known (did you mean ",
        'fieldMapping[1].type: must be "*" or the name of a type',
        "fieldMapping[1].fieldMapping.id: cannot be mapped",
        "fieldMapping[1].fieldMapping._id: cannot be mapped",
        'fieldMapping[1].fieldMapping.storyPoint: is not a field that can be mapped (did you mean "storyPoints"?)',
        "fieldMapping[1].fieldMapping.extended.: needs one name",
        "fieldMapping[1].fieldMapping.epic: must be the name of a Rally field",
        f'{at}.status.Done[2]: "/[/" is not a valid regular expression: ',
        f"{at}.status.: is an empty standard value",
        f"{at}.type: must be an object of standard values",
        f"{at}.priority.High[0]: is an empty condition",
        f"{at}.priority.High[1].Severity: lists no value",
        f"{at}.priority.High[2].Severity[1]: must be a text",
        f"{at}.priority.High[3]: must be a text",
        f'{at}.priority.High[4]: "/a/x" has the unknown flag "x"',
        f'{at}.normalizedType.Bug: "Bug" is none of EPIC, FEATURE, OTHER',
        f'{at}.storyPoints.many: "many" is no number',
        "fieldMapping[2]: must be an object",
    ]
    assert len(told) == len(begins)
    for sentence, begin in zip(told, begins, strict=True):
        assert sentence.startswith(begin)


@pytest.mark.parametrize("name", ["extended.", "extended. ", "extended.*", "extended.a.b"])
def test_extended_needs_one_name(name: str) -> None:
    assert len(faults({"fieldMapping": {name: "A"}})) == 1


def test_a_target_given_twice_is_a_fault() -> None:
    [told] = faults({"fieldMapping": {"epic": "A", "Epic": "B"}})
    assert told == "fieldMapping[0].fieldMapping.Epic: is set twice, see fieldMapping[0].fieldMapping.epic"


@pytest.mark.parametrize("raw", ["[{", "{'a': 1}", "[" * 100_000, "1" * 5000, 7, "7", True])
def test_what_is_no_list_of_rules_is_one_fault(raw: Any) -> None:
    assert len(faults(raw)) == 1


@given(raw=JSON | NEARLY)
def test_reading_never_raises(raw: Any) -> None:
    parse_rules(raw)


@given(text=st.text() | JSON.map(json.dumps))
def test_reading_text_never_raises(text: str) -> None:
    parse_rules(text)


@given(pattern=st.text(alphabet="/[](){}*+?|^$\\abd9,-:<>P=!#i", max_size=12))
def test_no_expression_breaks_the_reading(pattern: str) -> None:
    parse_rules({"valueMapping": {"status": {"Done": f"/{pattern}/"}}})


@pytest.mark.parametrize(
    "raw", [{"statuss": {"field": "ScheduleState"}}, [{"type": "*", "Story": {"priority": "Name"}}]]
)
def test_an_unknown_key_of_an_entry_is_told_with_those_that_there_are(raw: Any) -> None:
    (text,) = faults(raw)
    assert text.endswith("is not known; an entry has type, fieldMapping and valueMapping")
