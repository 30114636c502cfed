"""What queries mean."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.dql.evaluator import matches
from rally_accelerate.dql.parser import parse

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def ms(**ago: float) -> int:
    return round((NOW - timedelta(**ago)).timestamp() * 1000)


ISSUE: dict[str, Any] = {
    "_id": "41",
    "id": "US41",
    "name": "A sample of ÜBUNG",
    "status": "In Progress",
    "type": "Story",
    "owner": None,
    "storyPoints": 3.0,
    "created": ms(days=20),
    "lastUpdate": ms(hours=2),
    "labels": ["Red", "blue"],
    "components": [],
    "project": {"id": "7", "key": "7", "name": "Team Birch"},
    "sprints": [{"id": "1", "name": "Sprint 1"}, {"id": "2", "name": "Sprint 2"}],
    "rawIssue": {"Blocked": False, "Risk": "High", "Points": "12", "nested": {"deep": [1, 2, 3]}},
    "extended": {"Customer": "Customer A"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("issue.status = 'in progress'", True),
        ("issue.status = Done", False),
        ("issue.status != Done", True),
        ("issue.status in (Done, 'In Progress')", True),
        ("issue.status not in (Done, 'In Progress')", False),
        ("issue.name contains übung", True),
        ("issue.id = us41", True),
        ("issue.owner = x", False),
        ("issue.owner != x", True),
        ("issue.nosuch = x", False),
        ("issue.nosuch != x", True),
        ("not issue.nosuch = x", True),
        ("issue.storyPoints = 3", True),
        ("issue.storyPoints > 2.5 and issue.storyPoints <= 3", True),
        ("issue.storyPoints < 3", False),
        ("issue.rawIssue.Points > 9", True),
        ("issue.rawIssue.Points < 9", False),
        ("issue.labels = red", True),
        ("issue.labels != red", False),
        ("issue.labels != green", True),
        ("issue.labels contains lu", True),
        ("issue.labels.count = 2", True),
        ("issue.components.count = 0", True),
        ("issue.versionIds.count = 0", True),
        ("issue.assignees.count != 0", False),
        ("issue.project.name = 'Team Birch'", True),
        ("issue.project = 'Team Birch'", True),
        ("issue.sprints.name = 'sprint 2'", True),
        ("issue.sprints = 'Sprint 1'", True),
        ("issue.sprints != 'Sprint 1'", False),
        ("issue.rawIssue.Blocked = false", True),
        ("issue.rawIssue.blocked = FALSE", True),
        ("issue.rawIssue.nested.deep = 2", True),
        ("issue.rawIssue.nested.deep > 2", True),
        ("issue.rawIssue.nested.deep.count = 3", True),
        ("issue.extended.customer = 'Customer A'", True),
        ("issue.created < 21d", True),
        ("issue.created > 21d", False),
        ("issue.created > 2w", True),
        ("issue.lastUpdate < 3h", True),
        ("issue.lastUpdate < 90min", False),
        ("issue.lastUpdate > 2026-03-10", True),
        ("issue.lastUpdate > '2026-03-10T11:00:00Z'", False),
        ("issue.lastUpdate <= 2026-03-10T11:00:00+01:00", True),
        ("pr.status = open", False),
        ("pr.status != open", True),
        ("issue.status != Done and pr.status = open", False),
        ("issue.status = Done or deployment.env != 'PROD'", True),
    ],
)
def test_meanings(text: str, expected: bool) -> None:
    assert matches(parse(text), ISSUE, now=NOW) is expected


LEAVES = st.sampled_from(
    ["issue.status = 'in progress'", "issue.labels = green", "pr.number > 5", "issue.created < 30d"]
)
QUERIES = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner) | inner.map("not ({})".format)
    ),
    max_leaves=8,
)


@given(QUERIES, QUERIES)
def test_the_laws_of_logic_hold(one: str, two: str) -> None:
    def is_true(text: str) -> bool:
        return matches(parse(text), ISSUE, now=NOW)

    assert is_true(f"not ({one})") is not is_true(one)
    assert is_true(f"not ({one} and {two})") is is_true(f"(not {one}) or (not {two})")
    assert is_true(f"{one} and {two}") is (is_true(one) and is_true(two))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "name", "count"]), inner),
    max_leaves=6,
)


@given(JSON, st.sampled_from(["=", "!=", "<", ">=", "contains"]), st.sampled_from(["1", "x", "1d", "2026-01-01"]))
def test_nothing_that_an_issue_holds_makes_a_query_fail(held: Any, operator: str, value: str) -> None:
    for path in ("rawIssue", "rawIssue.a", "rawIssue.a.count"):
        assert matches(parse(f"issue.{path} {operator} {value}"), {"rawIssue": held}, now=NOW) in {True, False}
