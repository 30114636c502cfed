"""Milestones come with their dates, iterations and releases with their states and themes."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from rally_sandbox.clock import Clock
from rally_sandbox.server import serve
from rally_sandbox.world import World
from support.first_sync import run_first_sync, upload_world

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOURCES = ("lookback", "revisions")


@pytest.fixture
def world() -> World:
    return World.create(4, 60, clock=Clock.frozen(BEGIN))


@pytest.mark.parametrize("source", SOURCES)
def test_milestones_come_with_their_dates_and_projects(world: World, source: str) -> None:
    first, second, *_, last = world.company.milestones
    story = world.create_item("story").object_id
    none = world.create_item("story").object_id
    for milestone in (second, last, first):
        world.edit(story, {"Milestones+": milestone})
    world.edit_record("Milestone", first.object_id, TargetDate=None)
    world.edit_record("Milestone", second.object_id, TargetDate="2026-09-22T06:00:00Z", Name="Beta, wave 2")
    world.edit_record("Milestone", last.object_id, TargetDate="2026-04-01T06:00:00Z")
    issues, requests = upload_world(world, source)
    raw = issues[str(story)]["rawIssue"]
    # The next date first; the names alone as well, for queries.
    assert raw["MilestoneDetails"] == [
        {"id": last.values["FormattedID"], "name": last.name, "targetDate": "2026-04-01T06:00:00Z"},
        {
            "id": second.values["FormattedID"],
            "name": "Beta, wave 2",
            "targetDate": "2026-09-22T06:00:00Z",
            "targetProject": world.company.teams[1].project.name,
        },
        {
            "id": first.values["FormattedID"],
            "name": first.name,
            "targetProject": world.company.teams[0].project.name,
        },
    ]
    assert sorted(raw["Milestones"]) == sorted([first.name, "Beta, wave 2", last.name])
    assert "MilestoneDetails" not in issues[str(none)]["rawIssue"]
    assert requests["milestone"] <= 2


def test_milestones_that_cannot_be_read_leave_their_names(world: World) -> None:
    story = world.create_item("story").object_id
    world.edit(story, {"Milestones+": world.company.milestones[0]})
    world.clock.advance(timedelta(hours=1))
    with serve(world) as rally:
        rally.faults.add("errors-200", match="milestone", times=99, text="Not authorized to view milestones")
        report, issues = asyncio.run(run_first_sync(rally.url, historySource="none"))
    raw = issues[str(story)]["rawIssue"]
    assert raw["Milestones"] == [world.company.milestones[0].name]
    assert "MilestoneDetails" not in raw
    assert report.failure is None


@pytest.mark.parametrize("source", SOURCES)
def test_timeboxes_come_with_state_and_theme(world: World, source: str) -> None:
    team = world.company.teams[0]
    former, sprint = team.sprints[3], team.sprints[4]
    release = team.releases[0]
    story = world.create_item("story", team.project, Iteration=former, Release=release).object_id
    world.clock.advance(timedelta(hours=1))
    world.edit(story, {"Iteration": sprint})
    world.edit_record("Iteration", former.object_id, Theme="<p>Pay by <b>card</b></p>")
    world.edit_record("Iteration", sprint.object_id, Theme="Speed &amp; size", State="Committed")
    world.edit_record("Release", release.object_id, Theme="Spring", State="Planning")
    issues, _ = upload_world(world, source)
    issue = issues[str(story)]
    assert [(each["id"], each.get("description")) for each in issue["sprints"]] == [
        (str(former.object_id), "Pay by card"),
        (str(sprint.object_id), "Speed & size"),
    ]
    assert [(each["id"], each["description"]) for each in issue["releases"]] == [(str(release.object_id), "Spring")]
    raw = issue["rawIssue"]
    assert (raw["IterationState"], raw["ReleaseState"]) == ("Committed", "Planning")
