"""The history that is uploaded is the simulator's own story, whichever source tells it."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from rally_sandbox import gateway, lookback
from rally_sandbox.clock import Clock
from rally_sandbox.server import LIMITED_API_KEY, serve
from rally_sandbox.world import World
from support.first_sync import run_first_sync
from support.ground_truth import build_expected_history, read_uploaded_history

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SEEDS = range(1, 9)


def busy_world(seed: int, items: int = 220) -> World:
    """A company that went on working until a while ago, so that Lookback has everything."""
    world = World.create(seed, items, clock=Clock.frozen(BEGIN))
    tags, milestones = world.company.tags, world.company.milestones
    mine = [world.create_item("story", c_Score=1).object_id for _ in range(3)]
    for number in range(25):
        world.work(4)
        world.clock.advance(timedelta(seconds=11))
        # What a day's work seldom brings: many members in one save, and sprints taken along from team to team.
        its, team = mine[number % 3], world.company.teams[number % 4]
        some = {"Tags": tags[number % 5 : number % 5 + 3], "Milestones": milestones[number % 3 :]}
        world.edit(its, {**some, "Name": f"Story [{number}], part & parcel"} if number % 2 else some)
        world.clock.advance(timedelta(seconds=11))
        world.edit(its, {"Project": team.project})
        world.clock.advance(timedelta(seconds=11))
        world.edit(its, {"Iteration": team.sprints[number % 9], "Release": team.releases[1]})
    world.clock.advance(timedelta(minutes=10))
    return world


def truth(world: World) -> dict[str, Any]:
    """Every story and defect that the service shows, by ObjectID."""
    home = world.company.workspaces[0].object_id
    rows = [row for kind in ("story", "defect") for row in world.items(kind)]
    return {str(row["object_id"]): row for row in rows if row["visible"] and row["workspace"] == home}


def sprints_of(row: dict[str, Any]) -> set[str]:
    """Every sprint that the item has ever been planned for, by id."""
    changes = [
        value
        for change in row["changes"]
        for name, *values in change["sets"]
        if name == "Iteration"
        for value in values
    ]
    return {str(each["object_id"]) for each in (row["initial"].get("Iteration"), *changes) if each}


@pytest.mark.parametrize("seed", SEEDS)
def test_both_sources_tell_the_simulators_own_story_and_replay_to_the_present(seed: int) -> None:
    world = busy_world(seed)
    with serve(world) as rally:
        first, by_lookback = asyncio.run(run_first_sync(rally.url, historySource="lookback"))
        second, by_revisions = asyncio.run(run_first_sync(rally.url, historySource="revisions"))
        assert rally.stats.requests["revision"] > 0
    rows = truth(world)
    assert by_lookback.keys() == by_revisions.keys() == rows.keys()
    identified = 0
    for key, row in rows.items():
        expected = build_expected_history(row)
        assert read_uploaded_history(by_lookback[key]) == expected, row["formatted_id"]
        assert read_uploaded_history(by_revisions[key]) == expected, row["formatted_id"]
        # Lookback knows sprints by id always, revisions where a name can mean only one, and never a wrong one.
        assert {each["id"] for each in by_lookback[key]["sprints"]} == sprints_of(row), row["formatted_id"]
        by_id = {each["id"] for each in by_revisions[key]["sprints"]}
        assert by_id <= sprints_of(row), row["formatted_id"]
        identified += len(by_id)
    assert identified > 50
    for report in (first, second):
        assert report.tally.complete == len(rows)
        assert (report.tally.incomplete, report.tally.unverifiable) == (0, 0)


def test_the_same_input_gives_the_same_bytes() -> None:
    with serve(busy_world(3, 120)) as rally:
        assert asyncio.run(run_first_sync(rally.url))[1] == asyncio.run(run_first_sync(rally.url))[1]


def test_what_lookback_shows_only_in_part_is_told_by_revisions() -> None:
    world = busy_world(5)
    team = world.company.teams[0].project
    other = world.company.teams[4].project
    moved = next(
        row["object_id"]
        for row in world.items("story")
        if row["visible"] and row["values"]["Project"]["object_id"] == other.object_id
    )
    world.edit(moved, {"Project": team})
    world.clock.advance(timedelta(minutes=10))
    with serve(world) as rally:
        report, issues = asyncio.run(run_first_sync(rally.url, LIMITED_API_KEY))
    assert sum("only a part" in notice for notice in report.notices) == 1
    row = truth(world)[str(moved)]
    # The limited user sees nothing of the years in the other project in Lookback; revisions belong to the item.
    assert read_uploaded_history(issues[str(moved)]) == build_expected_history(row)


def test_a_server_without_lookback_is_told_once_and_read_by_revisions() -> None:
    world = busy_world(6, 120)
    world.lookback.available = False
    with serve(world) as rally:
        report, issues = asyncio.run(run_first_sync(rally.url))
        assert rally.stats.requests["snapshot"] == 1
    assert sum("Lookback cannot be used" in notice for notice in report.notices) == 1
    for key, row in truth(world).items():
        assert read_uploaded_history(issues[key]) == build_expected_history(row)


def test_what_a_feed_that_stands_still_has_not_got_is_told_by_revisions() -> None:
    world = busy_world(9, 120)
    world.lookback.lag_ms = 6 * 3600 * 1000
    world.clock.advance(timedelta(hours=2))
    with serve(world) as rally:
        report, issues = asyncio.run(run_first_sync(rally.url))
    # Nothing is owed to a feed that may never come: otherwise the same items would be sent again in every run.
    assert report.tally.complete == len(issues)
    assert sum("more than 30 minutes behind" in notice for notice in report.notices) == 1
    for key, row in truth(world).items():
        assert read_uploaded_history(issues[key]) == build_expected_history(row)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "not a row",
        {"ObjectID": "x", "_ValidFrom": "soon"},
        {"_ValidFrom": "soon"},
        {"_ValidFrom": 7},
        {"Tags": {"a": 1}, "_SnapshotNumber": "first"},
    ],
)
def test_an_odd_snapshot_stops_nothing(odd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*asked: Any) -> dict[str, Any]:
        found = lookback.execute_query(*asked)
        rows = found["Results"]
        # In the middle of an item's life.
        rows[5:6] = [{**row, **odd} if isinstance(odd, dict) else odd for row in rows[5:6]]
        return found

    monkeypatch.setattr(gateway, "lookback", SimpleNamespace(**{**vars(lookback), "execute_query": answer}))
    world = busy_world(10, 60)
    with serve(world) as rally:
        report, issues = asyncio.run(run_first_sync(rally.url))
    assert report.tally.complete == len(issues)
    for key, row in truth(world).items():
        assert read_uploaded_history(issues[key]) == build_expected_history(row)


def test_without_history_nothing_is_asked_for() -> None:
    with serve(busy_world(7, 60)) as rally:
        report, issues = asyncio.run(run_first_sync(rally.url, historySource="none"))
        assert not {"snapshot", "revision"} & set(rally.stats.requests)
    assert report.tally.unverifiable == len(issues)
    assert all(issue["history"] == [] for issue in issues.values())


def test_a_page_of_snapshots_that_is_too_small_is_asked_for_again_behind() -> None:
    world = busy_world(8, 150)
    with serve(world) as rally:
        _, issues = asyncio.run(run_first_sync(rally.url, historySource="lookback", pageSize=15))
        assert rally.stats.requests["snapshot"] > 4
    for key, row in truth(world).items():
        assert read_uploaded_history(issues[key]) == build_expected_history(row)
