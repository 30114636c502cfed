"""A value stream's file: every fault is told with its place, and what is not known is kept."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.errors import ConfigError
from rally_accelerate.server.value_streams import document_text
from rally_accelerate.server.value_streams.document import examine, plain_names, validate
from rally_accelerate.server.value_streams.document_text import parse_document
from rally_accelerate.server.value_streams.stage_history import find_stage
from support.value_streams import board, layout_from_document, stage, stream

PUBLIC_SAMPLE = """"integrations": [
      "type": "ucv-ext-rally",
      "name": "my-rally",
      "properties": {
        "baseUrl": "",
        "projects": [
          "Sample Project"
        "logLevel": "info"
"""


def faults(content: str | bytes) -> list[str]:
    """What is told about a text that is no JSON."""
    with pytest.raises(ConfigError) as caught:
        parse_document(content)
    return [str(problem) for problem in caught.value.problems]


def problems(document: Any) -> dict[str, str]:
    """What is told about a document, by path."""
    return {problem.path: problem.text for problem in examine(document).problems}


def test_a_text_is_read_with_or_without_a_byte_order_mark() -> None:
    assert parse_document('\ufeff{"a": 1}') == {"a": 1}
    assert parse_document(b'\xef\xbb\xbf{"a": [1, 2.5, null, true, "\xc3\xa4"]}') == {"a": [1, 2.5, None, True, "ä"]}
    assert parse_document('{"a": "ä"}'.encode("utf-16")) == {"a": "ä"}


def test_a_text_copied_from_a_web_page_is_read() -> None:
    assert parse_document('{\n\u00a0\u00a0"a":\u00a0"b\u00a0c\td"\u2003}') == {"a": "b\u00a0c\td"}
    assert faults('{\u00a0"a": {"b": 1, "b": 2}}') == ["a.b: is a duplicate key; keep only one"]
    assert faults('{\n\u00a0"a" 1}') == ["line 2, column 6: expecting ':' delimiter, found '1'"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty"),
        ("   \n", "the file is empty"),
        ('{\n  "a": 1,\n  "b" 2\n}', "line 3, column 7: expecting ':' delimiter, found '2'"),
        ('{"a": 1,}', "remove the comma before this brace"),
        ('{"a": [1', "the file ends before a brace or bracket is closed"),
        ('{"a": NaN}', "NaN is not a valid JSON number"),
        ('{"a": {"b": 1, "b": 2}}', "a.b: is a duplicate key"),
        ('[{"x": 1}, {"x": 1, "x": 1}]', "[1].x: is a duplicate key"),
        ('{"a": 99999999999999999999}', "a: is a number with more than 64 bits"),
        ('{"a": 1e999}', "a: is a number that is too large"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "is nested deeper"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "is nested deeper"),
    ],
)
def test_what_is_wrong_with_a_text_is_told_at_its_place(content: str | bytes, said: str) -> None:
    assert said in " ".join(faults(content))


def test_the_braces_that_the_public_sample_lacks_are_told() -> None:
    (said,) = faults(PUBLIC_SAMPLE)
    assert said.startswith("line 1, column 15:")
    assert '"integrations" is outside of braces' in said
    (said,) = faults("{" + PUBLIC_SAMPLE)
    assert said.startswith("line 2, column 13:")
    assert '"type" is outside of braces' in said


@given(st.text() | st.binary())
def test_no_text_makes_the_reader_fail_otherwise(content: str | bytes) -> None:
    with contextlib.suppress(ConfigError):
        parse_document(content)


def test_a_document_that_is_right_has_no_problem() -> None:
    found = validate(board())
    assert found.problems == ()
    assert found.notices == ()


def test_every_fault_is_told_with_its_path() -> None:
    stages: list[Any] = [{"query": 3, "wipLimit": 2.5}, "x"]
    document = stream(
        ("Plan", [stage("To Do", "issue.status == Done"), stage("to do", None)]),
        ("plan", stages),
        query="isue.status = x",
        leadTime="To Do",
        mappings={"priority": {"Low": "x", "Extreme": []}},
        integrations={"name": "x"},
        linkRules=[{"fromIntegrationName": "", "pattern": "(["}],
        metrics=[{"properties": {"query": "issue."}}],
        metricsBar=[{"relativeTime": "DAY8"}],
        ageThresholdDays=0,
        description=["x"],
    )
    found = problems(document)
    assert set(found) == {
        "query",
        "phases[0].stages[0].query",
        "phases[1].stages[0].name",
        "phases[1].stages[0].query",
        "phases[1].stages[0].wipLimit",
        "phases[1].stages[1]",
        "leadTime",
        "mappings.priority",
        "integrations",
        "linkRules[0].fromIntegrationName",
        "linkRules[0].toIntegrationName",
        "linkRules[0].pattern",
        "metrics[0].properties.query",
        "metricsBar[0].relativeTime",
        "ageThresholdDays",
        "description",
    }
    assert "(line 1, column 15)" in found["phases[0].stages[0].query"]
    assert "did you mean issue" in found["query"]
    assert found["phases[1].stages[0].name"] == "is missing"
    assert "DAY7" in found["metricsBar[0].relativeTime"]


def test_names_are_there_once_and_what_refers_to_them_exists() -> None:
    document = stream(
        ("Plan", [stage("To Do", None)]),
        ("plan ", [stage("TO DO", None), stage("Done", None)]),
        leadTime={"start": "To Do", "end": "Don"},
        cycleTime=[{"start": "Done", "end": "Done"}, {"start": "nowhere", "end": None}],
        integrations=[{"name": "a"}, {"name": "A"}],
        linkRules=[{"fromIntegrationName": "a", "toIntegrationName": "b"}],
    )
    found = problems(document)
    assert set(found) == {
        "phases[1].name",
        "phases[1].stages[0].name",
        "leadTime.end",
        "cycleTime[1].start",
        "integrations[1].name",
        "linkRules[0].toIntegrationName",
    }
    assert "did you mean 'Done'" in found["leadTime.end"]
    assert "phases[0].stages[0]" in found["phases[1].stages[0].name"]


@pytest.mark.parametrize("document", [[], "x", None, 3])
def test_what_is_no_object_is_no_value_stream(document: Any) -> None:
    assert "must be an object" in problems(document)[""]


def test_a_key_that_looks_like_a_known_one_is_worth_a_word() -> None:
    document = board() | {"phasses": [], "ourOwn": 1}
    document["phases"][0]["stages"][0]["wiplimit"] = 3
    document["integrations"] = [{"name": "a", "logginglevel": "info"}]
    assert examine(document).notices == (
        "phases[0].stages[0].wiplimit is an unknown key; did you mean wipLimit?",
        "phasses is an unknown key; did you mean phases?",
    )


def test_the_layout_places_an_item_in_the_last_stage_that_it_matches() -> None:
    found = layout_from_document(
        stream(
            ("A", [stage("One", "issue.storyPoints > 0"), stage("Two", "issue.storyPoints > 5")]),
            ("B", [stage("None", ""), stage("Three", "issue.storyPoints > 8", wipLimit=2)]),
            ageThresholdDays=None,
            leadTime={"start": "One", "end": "Two"},
        )
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    names = [
        held.name if (held := find_stage(found, {"storyPoints": points}, now=now)) else "" for points in (0, 3, 8, 9)
    ]
    assert names == ["", "One", "Two", "Three"]
    assert [each.number for each in found.stages] == [1, 2, 3, 4]
    assert found.query_for(found.stages[2]) is None
    assert found.too_old is None
    assert [each.shows_alerts for each in found.stages] == [True, False, False, False]


def test_faults_of_names_are_told_beside_those_of_queries() -> None:
    document = stream(
        ("P", [stage("Idea", "issue.status =="), stage("Idea", None, wipLimit=0)]), leadTime={"start": "Zzz"}
    )
    said = problems(document)
    assert set(said) == {
        "phases[0].stages[0].query",
        "phases[0].stages[1].wipLimit",
        "phases[0].stages[1].name",
        "leadTime.start",
    }
    # A name that is there twice is told once.
    assert said["leadTime.start"] == "there is no stage 'Zzz'; available: 'Idea'"


def test_names_lose_what_a_page_put_into_them_and_nothing_of_their_own() -> None:
    emoji = "Team \U0001f469\u200d\U0001f4bb \u2013 \u201cA\u201d"
    given = {"phases": [{"name": "Work\u00a0now", "stages": [{"name": emoji, "query": "a\u00a0= b"}]}], "x": ["\u00a0"]}
    found = plain_names(given | {"leadTime": [{"start": "a\u2009b"}], "integrations": [{"name": 1}, "odd\u00a0one"]})
    assert found["phases"] == [{"name": "Work now", "stages": [{"name": emoji, "query": "a\u00a0= b"}]}]
    assert (found["x"], found["leadTime"]) == (["\u00a0"], [{"start": "a b"}])
    assert found["integrations"] == [{"name": 1}, "odd\u00a0one"]
    assert plain_names([1]) == [1]


def test_an_answer_of_an_api_is_no_file() -> None:
    (problem,) = examine({"data": {"valueStream": board()}}).problems
    assert (problem.path, problem.text[:18]) == ("data", "is an API response")
    assert not examine(board() | {"data": {"ours": 1}}).problems


@pytest.mark.parametrize(
    "content",
    ['{"zeros":[' + "0," * 100_001 + "0]}", '{"a":[' + "[]," * 100_001, "{" + '"a":{},' * 100_001],
    ids=["elements", "lists", "objects"],
)
def test_a_file_of_very_many_values_is_refused_before_it_is_read(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(document_text, "_parse_text")
    assert faults(content) == ["the file has more than 100,000 values"]


@pytest.mark.parametrize(
    "document",
    [
        board() | {"linkRules": [{"pattern": "x"}] * 1_001},
        {"phases": [{"stages": [{"gates": [{"query": "("}] * 1_001}]}, None]},
        {"phases": [], "metrics": [{"properties": {"query": "("}}] * 1_001},
        {"phases": [{"stages": [{"query": "issue.status = Done"}] * 1_001}]},
    ],
    ids=["patterns", "gates", "metrics", "stages"],
)
def test_a_file_of_very_many_expressions_is_refused_before_they_are_checked(
    document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("rally_accelerate.server.value_streams.document.parse")
    monkeypatch.delattr("rally_accelerate.server.value_streams.document.re")
    said = "has more than 1,000 queries and patterns; the limit is 200 stages"
    assert problems(document) == {"": said}
