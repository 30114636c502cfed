"""Timeboxes that change in Rally while no item does: every issue that carries one is what the timebox is now."""

from datetime import UTC, datetime, timedelta

import pytest

from rally_sandbox.clock import Clock
from rally_sandbox.server import serve
from rally_sandbox.world import World
from support.connector import Connector

BEGIN = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

#: A run without news asks for places, changes of two kinds, iterations, releases, and the recycle bin.
QUIET_REQUESTS = 7


@pytest.fixture
def world() -> World:
    """A company whose clock stands until it is moved."""
    return World.create(5, 400, clock=Clock.frozen(BEGIN))


def test_what_changes_of_a_timebox_arrives_in_every_item_that_carries_it(world: World) -> None:
    with serve(world) as rally:
        its = Connector(rally.url)
        its.run()
        assert its.run().tally.uploaded == 0
        sprint = its.find_most_used_timebox("sprints")
        release = world.record("Release", its.find_most_used_timebox("releases"))
        world.clock.advance(timedelta(hours=2))
        its.run()
        world.clock.advance(timedelta(minutes=5))
        quiet = its.run()
        assert (quiet.tally.uploaded, quiet.rally.requests <= QUIET_REQUESTS) == (0, True), quiet.rally
        world.edit_record("Iteration", sprint, Name="Called otherwise", EndDate="2030-01-01T05:59:59+00:00")
        carried = len(its.timeboxes("sprints", sprint))
        assert its.run().tally.uploaded == carried > 1
        # Also where it is a former sprint.
        told = its.timeboxes("sprints", sprint)
        assert {each["name"] for each in told} == {"Called otherwise"}
        assert len({each["endTime"] for each in told}) == 1
        assert its.run().tally.uploaded == 0
        world.clock.advance(timedelta(hours=2))
        world.edit_record("Release", release, State="Accepted", Name="Out")
        its.run()
        out = its.timeboxes("releases", release.object_id)
        assert out
        assert {(each["name"], each["released"]) for each in out} == {("Out", True)}
        milestone = world.company.milestones[0]
        world.clock.advance(timedelta(minutes=2))
        world.edit_record("Milestone", milestone, Name="Fair in spring")
        assert its.run().tally.uploaded
        former = [item for item in its.sent.values() if milestone.first_name in item["rawIssue"].get("Milestones", ())]
        assert not former


def test_no_sprint_is_sent_as_active_that_is_over(world: World) -> None:
    now = world.clock.milliseconds()
    team = world.company.teams[0]
    going = next(place for place, each in enumerate(team.sprints) if each.values["EndDate"] > now)
    for sprint in team.sprints[going : going + 2]:
        for _ in range(2):
            world.edit(world.create_item("story", project=team.project).object_id, {"Iteration": sprint})
    turns = set()
    with serve(world) as rally:
        its = Connector(rally.url)
        for _ in range(6):
            its.run()
            now = world.clock.milliseconds()
            for item in its.sent.values():
                for each in item["sprints"]:
                    assert each["active"] is (int(each["startTime"]) <= now <= int(each["endTime"]))
                    turns.add((each["id"], each["active"]))
            world.clock.advance(timedelta(days=6))
    # Both were active once, and are over, or are still to come.
    assert {(str(sprint.object_id), True) for sprint in team.sprints[going : going + 2]} <= turns


def test_only_timeboxes_of_the_own_projects_matter(world: World) -> None:
    first, other = world.company.teams[0], world.company.teams[1]
    with serve(world) as rally:
        its = Connector(rally.url, {"projects": [str(first.project.object_id)]})
        its.run()
        world.clock.advance(timedelta(hours=2))
        its.run()
        for sprint in other.sprints:
            world.edit_record("Iteration", sprint, Name="Of others")
        rally.stats.reset()
        assert its.run().tally.uploaded == 0
        assert rally.stats.requests["hierarchicalrequirement"] == 1
        world.edit_record("Milestone", world.company.milestones[0], Name="Of everybody")
        its.run()
        places = {item["project"]["id"] for item in its.sent.values()}
        assert places == {str(first.project.object_id)}
