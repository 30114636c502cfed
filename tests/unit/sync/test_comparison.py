"""What Accelerate holds is compared field by field: every uploaded field that it returns, each issue once."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from rally_accelerate.accelerate.client import AccelerateClient, Account, Connection
from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.model.issue import Comment, HistoryEntry, Issue, Project, Relation, RelationType, Release, Sprint
from rally_accelerate.sync.dry_run import FROM_HISTORY, Compared, comparable, compare, expected_issue
from support.accelerate_stub import KEY, TENANT, TRACKER, DateForm, accelerate_stub
from support.models import NOW, issue

P = Project(id="7", name="Seven", key="7")


def whole(number: int = 1, **more: Any) -> Issue:
    """An issue that fills every field."""
    given: dict[str, Any] = {
        "project": P,
        "description": "a text",
        "owner": "Ann",
        "priority": "High",
        "story_points": 3.0,
        "labels": ("a", "b"),
        "components": ("c",),
        "version_ids": ("9",),
        "epic": "E1",
        "sprints": (
            Sprint(id="1", name="S1", start=NOW, end=NOW + timedelta(days=14), active=False, former=True),
            Sprint(id="2", name="S2", active=True),
        ),
        "releases": (Release(id="9", name="R", released=False, date=NOW),),
        "comments": (Comment(id="1", user="u", created=NOW, updated=NOW, text="hello"),),
        "relations": (Relation(id="2", type=RelationType.PARENT),),
        "history": (HistoryEntry(NOW, "status", "", "Defined", "u"),),
        "raw": {"Ready": "true"},
    }
    return issue(number, **{**given, **more})


async def compared(held: list[Issue], wanted: list[Issue], *, dates: DateForm = "number", **more: Any) -> Compared:
    account = Account(url="", key=SecretStr(KEY), tenant_id=TENANT, name="rally", tracker_id=TRACKER)
    with accelerate_stub("B") as stub:
        stub.dates = dates
        stub.issues = {(TRACKER, each.external_id): item_in(each) for each in held}
        async with AccelerateClient(replace(account, url=stub.url), connection=Connection(retry_seconds=0)) as sink:
            return await compare(
                sink, {each.external_id: expected_issue(each) for each in wanted}, **{"complete": True, **more}
            )


@pytest.mark.parametrize("dates", ["number", "digits", "iso"])
async def test_what_was_uploaded_is_what_is_expected(dates: DateForm) -> None:
    everything = [whole(1), whole(2, owner=None, labels=(), description="", epic=None, sprints=(), releases=())]
    found = await compared(everything, everything, dates=dates)
    assert (found.issues, found.differences) == (2, [])
    assert found.unreadable == ("comments", "history", "rawIssue", "relations")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "Another"),
        ("description", "another text"),
        ("status", "Accepted"),
        ("url", "https://elsewhere.example"),
        ("creator", "Bob"),
        ("owner", None),
        ("owner", "Bob"),
        ("created", NOW + timedelta(milliseconds=1)),
        ("last_update", NOW + timedelta(seconds=1)),
        ("type", "Bug"),
        ("priority", None),
        ("story_points", 5.0),
        ("labels", ("a",)),
        ("components", ()),
        ("version_ids", ("8",)),
        ("epic", "E2"),
        ("sprints", (Sprint(id="2", name="S2", active=False),)),
        ("releases", (Release(id="9", name="R", released=True, date=NOW),)),
        ("project", Project(id="7", name="Renamed", key="7")),
        ("display_id", "DE1"),
    ],
)
async def test_every_field_is_compared_and_an_issue_counts_once(name: str, value: Any) -> None:
    change: dict[str, Any] = {name: value}
    found = await compared([whole(1), whole(2)], [replace(whole(1), **change), whole(2)])
    assert len(found.differences) == 1, found.differences
    assert found.differences[0].startswith("US1: its ")


async def test_several_fields_of_an_issue_are_one_difference() -> None:
    found = await compared([whole(1)], [whole(1, owner="Bob", priority="Low", labels=("z",))])
    (told,) = found.differences
    assert "its owner is 'Ann' in Accelerate, and should be 'Bob'" in told
    assert "its priority" in told
    assert "its labels" in told


async def test_missing_and_additional_issues_are_told_and_removed_ones_are_right() -> None:
    held = [whole(1), issue(5, project=P), issue(6, project=P)]
    found = await compared(held, [whole(1), whole(12), whole(3)])
    assert found.differences == [
        "US3: is missing in Accelerate",
        "US5: is in Accelerate, but not among the items of this integration",
        "US6: is in Accelerate, but not among the items of this integration",
        "US12: is missing in Accelerate",
    ]
    removed = await compared(held, [whole(1)], removed={"Defined"})
    assert removed.differences == []
    part = await compared(held, [whole(1)], complete=False)
    assert part.differences == []


def test_a_change_of_the_order_or_of_the_form_is_no_difference() -> None:
    same: list[tuple[str, Any, Any]] = [
        ("labels", ["b", "a"], ["a", "b"]),
        ("labels", [], None),
        ("owner", None, ""),
        ("storyPoints", 3, 3.0),
        ("created", 1_700_000_000_000, "2023-11-14T22:13:20.000Z"),
        ("created", 1_700_000_000_000, "1700000000000"),
        (
            "relations",
            [{"id": "1", "type": "CHILD"}, {"id": "2", "type": "CHILD"}],
            [{"type": "CHILD", "id": "2"}, {"id": "1", "type": "CHILD"}],
        ),
        (
            "history",
            [{"timestamp": "5", "content": {"field": "a", "from": None}}],
            [{"timestamp": 5, "content": {"field": "a", "from": ""}}],
        ),
        ("rawIssue", {"a": 1, "b": None}, {"a": 1.0}),
    ]
    for name, one, other in same:
        assert comparable(name, one) == comparable(name, other), name
    different: list[tuple[str, Any, Any]] = [
        ("history", [{"timestamp": "5"}], [{"timestamp": "6"}]),
        ("rawIssue", {"a": 1}, {"a": 2}),
        ("comments", [{"id": "1", "comment": "a"}], [{"id": "1", "comment": "b"}]),
        ("storyPoints", 0, None),
    ]
    for name, one, other in different:
        assert comparable(name, one) != comparable(name, other), name


def test_what_comes_from_a_pending_history_can_be_left_out() -> None:
    values: Mapping[str, Any] = expected_issue(whole(), without=FROM_HISTORY).values
    assert not FROM_HISTORY & values.keys()
    assert {"status", "owner", "labels"} <= values.keys()
    assert comparable("resolved", datetime(2026, 1, 1, tzinfo=UTC).isoformat()) == 1_767_225_600_000
