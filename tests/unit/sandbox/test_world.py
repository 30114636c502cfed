"""Worlds: the same from the same seed, and with a history that leads to the present."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rally_sandbox.clock import Clock
from rally_sandbox.ground_truth import replay
from rally_sandbox.item_columns import KINDS
from rally_sandbox.world import World

NOW = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)
SEEDS = [1, 7, 23, 1001]


def make(seed: int = 7, items: int = 150) -> World:
    return World.create(seed, items, clock=Clock.frozen(NOW))


def rows(world: World) -> Iterator[Mapping[str, Any]]:
    for kind in KINDS:
        yield from world.items(kind)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_makes_the_same_world_and_the_same_work(seed: int) -> None:
    one, other = make(seed), make(seed)
    one.work(60)
    other.work(60)
    assert list(rows(one)) == list(rows(other))


def test_another_seed_makes_another_world() -> None:
    assert list(rows(make(1))) != list(rows(make(2)))


@pytest.mark.parametrize("seed", SEEDS)
def test_replaying_the_journal_leads_to_the_present(seed: int) -> None:
    world = make(seed)
    world.work(100)
    for row in rows(world):
        assert replay(row) == row["values"]


@pytest.mark.parametrize("seed", SEEDS)
def test_versions_dates_and_numbers_of_changes_agree(seed: int) -> None:
    world = make(seed)
    world.work(100)
    for row in rows(world):
        changes = row["changes"]
        assert [change["number"] for change in changes] == list(range(len(changes)))
        assert row["version"] == len(changes)
        assert row["updated"] == changes[-1]["at"]
        assert row["created"] == changes[0]["at"]
        moments = [change["at"] for change in changes]
        assert moments == sorted(set(moments))
        ids = [change["object_id"] for change in changes]
        assert ids == sorted(set(ids))
        assert changes[0]["text"] == "Original revision"
        assert all(change["text"] for change in changes)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_past_reaches_two_years_back_and_ends_before_now(seed: int) -> None:
    world = make(seed)
    begin, end = (NOW - timedelta(days=732)).isoformat(), NOW.isoformat()
    for row in rows(world):
        assert begin < row["created"] <= row["updated"] < end


def test_ids_ascend_with_creation_and_are_large() -> None:
    world = make()
    ordered = sorted(rows(world), key=lambda row: str(row["created"]))
    assert [row["object_id"] for row in ordered] == sorted(row["object_id"] for row in ordered)
    assert [row["history_id"] for row in ordered] == sorted(row["history_id"] for row in ordered)
    assert min(row["object_id"] for row in ordered) > 1 << 31
    every = [row["object_id"] for row in ordered] + [row["history_id"] for row in ordered]
    assert len(set(every)) == len(every)


def test_an_item_forgotten_and_made_again_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rally_sandbox.world.ITEM_CACHE_SIZE", 3)
    world = make()
    first = list(rows(world))
    assert list(rows(world)) == first


def test_lives_are_lifelike() -> None:
    world = make(items=2000)
    texts = [change["text"] for row in world.items("story") for change in row["changes"]]
    texts += [change["text"] for row in world.items("Defect") for change in row["changes"]]
    for needle in (
        "SCHEDULE STATE changed from [In-Progress] to [Completed]",
        "ACCEPTED DATE removed [",
        "BLOCKED changed from [false] to [true], BLOCKED REASON changed to [",
        "PLAN ESTIMATE added [3.0 Points]",
        "ITERATION added [",
        "TAGS added [[US Quality] 28/100 - KO]",
        "MILESTONES added [MI1: Beta, wave 1]",
        "PROJECT changed from [",
        "to [DONE [DEPLOYED]]",
        "RANK moved up",
        "value too long to display",
        "Moved to Recycle Bin",
        "Recovered from Recycle Bin",
        "NAME changed from [",
        "&amp; more]",
    ):
        assert any(needle in text for text in texts), needle
    count = len(world.columns.of_kind[0]) + len(world.columns.of_kind[1])
    assert 7 < len(texts) / count < 13
    assert 3 < sum("SCHEDULE STATE" in text for text in texts) / count < 6


@pytest.mark.parametrize("items", [9, 1_000_001])
def test_a_world_has_a_size(items: int) -> None:
    with pytest.raises(ValueError, match="a world has"):
        World.create(7, items)


def test_workspaces_may_share_a_name() -> None:
    world = World.create(7, 20, same_workspace_names=True)
    names = [each.name for each in world.company.workspaces]
    assert len(names) > len(set(names))
