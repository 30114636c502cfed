"""What a preview tells: nothing that differs is left out, and what is the same is not told."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.server.value_streams import defaults
from rally_accelerate.server.value_streams.diff import differences
from rally_accelerate.server.value_streams.document import validate
from rally_accelerate.server.value_streams.layout import parse_layout
from rally_accelerate.server.value_streams.stage_history import find_stage
from support.value_streams import board, stage, stream


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.what, one.name) for one in differences(before, after)]


def changed(**more: Any) -> dict[str, Any]:
    return copy.deepcopy(board()) | more


def test_the_same_differs_in_nothing() -> None:
    assert told(board(), board()) == []
    assert told(board(), changed(query="", mappings=None, linkRules=[], _id="x", tenantId="y")) == []


def test_stages_are_added_removed_renamed_moved_and_changed() -> None:
    after = stream(
        ("Plan", [stage("Backlog", "issue.status = Defined", wipLimit=3)]),
        ("Work", [stage("Done", "issue.status = Accepted"), stage("New", "issue.status = x")]),
        ("More", []),
    )
    assert told(board(), after) == [
        ("added", "phase", "More"),
        # The same query under another name.
        ("renamed", "stage", "Backlog"),
        ("changed", "stage", "Backlog"),
        ("changed", "stage", "Done"),
        ("added", "stage", "New"),
        ("removed", "stage", "Doing"),
    ]


def test_another_name_at_the_same_place_is_a_renaming() -> None:
    after = board()
    after["phases"][1]["name"] = "Making"
    after["phases"][1]["stages"][0] = stage("Building", "issue.status = Building")
    assert told(board(), after) == [
        ("renamed", "phase", "Making"),
        ("renamed", "stage", "Building"),
        ("changed", "stage", "Building"),
    ]


def test_another_order_is_a_change() -> None:
    after = board()
    after["phases"][1]["stages"].reverse()
    assert told(board(), after) == [("moved", "stage", "")]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"query": "issue.owner = a"}, ("changed", "query", "")),
        ({"ourOwn": {"a": 1}}, ("changed", "ourOwn", "")),
        ({"leadTime": {"start": "Doing", "end": "Done"}}, ("changed", "leadTime", "")),
        ({"integrations": [{"name": "a"}]}, ("added", "integration", "a")),
        ({"linkRules": [{"fromIntegrationName": "a", "toIntegrationName": "b"}]}, ("added", "link rule", "a  → b")),
    ],
)
def test_every_other_key_is_told(more: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert told(board(), changed(**more)) == [expected]


def test_an_integration_s_other_keys_are_told() -> None:
    before, after = (
        changed(integrations=[{"name": "a", "image": "x:1"}]),
        changed(integrations=[{"name": "a", "image": "x:2"}]),
    )
    assert told(before, after) == [("changed", "integration", "a")]


def test_the_default_file_and_the_wizard_s_are_right() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    default = defaults.default(description="d", tenant_id="t")
    assert validate(default).notices == ()
    names = [one.name for one in parse_layout(default).stages]
    assert names == ["Backlog", "Queue", "In Progress", "In Review", "Merged", "DEV", "QA", "PROD"]
    assert default["leadTime"] == {"start": "Backlog", "end": "PROD"}
    rows = defaults.suggest_rows(["Accepted", "It's \\ odd", "In-Progress", "Idea", "Defined", "Deleted", "Completed"])
    assert [(row.status, row.phase) for row in rows] == [
        ("Idea", "Planning"),
        ("Defined", "Planning"),
        ("In-Progress", "Development"),
        ("Completed", "Development"),
        ("It's \\ odd", "Development"),
        ("Accepted", "Deployment"),
        ("Deleted", ""),
    ]
    made = defaults.build_document(rows, description="", tenant_id="t", integrations=["a"])
    assert validate(made).problems == ()
    layout = parse_layout(made)
    for row in rows:
        held = find_stage(layout, {"status": row.status}, now=now)
        assert (held.name if held else None) == (row.stage if row.phase else None)
    assert made["leadTime"] == {"start": "Idea", "end": "Accepted"}
