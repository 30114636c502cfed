"""Timeboxes that change in Rally while no item does: every issue that carries one is what the timebox is now."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.config.load import validated
from rally_accelerate.mapping.rules import rules_of
from rally_accelerate.model.report import SyncReport
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.preview import PreviewSink
from rally_accelerate.sync.state import MemoryState
from rally_accelerate.sync.wiring import plans_of
from rally_sandbox.clock import Clock
from rally_sandbox.serving import SANDBOX_API_KEY, serve
from rally_sandbox.world import World

BEGIN = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

#: A run without news asks for places, changes of two kinds, iterations, releases, and the recycle bin.
QUIET_REQUESTS = 6


@dataclass
class Connector:
    """One integration: what it remembers, and what it has sent."""

    url: str
    given: Mapping[str, Any] = field(default_factory=dict)
    state: MemoryState = field(default_factory=MemoryState)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self) -> SyncReport:
        """Run once."""
        return asyncio.run(self._run())

    async def _run(self) -> SyncReport:
        integration = validated(
            {"name": "x", "properties": {"baseUrl": self.url, "apiKey": SANDBOX_API_KEY, **self.given}}
        )
        sink = PreviewSink(keep=10**6)
        async with RallyClient(integration.properties, limiters=LimiterPool()) as client:
            report = await sync_once(
                client,
                sink,
                self.state,
                rules_of(integration.properties),
                lambda: datetime.now(UTC),
                plans=plans_of(integration.properties),
            )
        assert report.failure is None, report.failure
        self.sent |= {issue.external_id: item_in(issue) for issue in sink.issues}
        return report

    def most_carried(self, field_name: str) -> int:
        """Return the ObjectID of the timebox that the most issues tell of."""
        told = Counter(each["id"] for item in self.sent.values() for each in item[field_name])
        return int(told.most_common(1)[0][0])

    def timeboxes(self, field_name: str, its_id: int) -> list[dict[str, Any]]:
        """Return what the issues tell of one timebox, each once."""
        return [each for item in self.sent.values() for each in item[field_name] if each["id"] == str(its_id)]


@pytest.fixture
def world() -> World:
    """A company whose clock stands until it is moved."""
    return World.create(5, 400, clock=Clock.standing(BEGIN))


def test_what_changes_of_a_timebox_arrives_in_every_item_that_carries_it(world: World) -> None:
    with serve(world) as rally:
        its = Connector(rally.url)
        its.run()
        assert its.run().tally.uploaded == 0
        sprint = its.most_carried("sprints")
        release = world.record("Release", its.most_carried("releases"))
        world.clock.advance(timedelta(hours=2))
        its.run()
        world.clock.advance(timedelta(minutes=5))
        quiet = its.run()
        assert (quiet.tally.uploaded, quiet.rally.requests <= QUIET_REQUESTS) == (0, True), quiet.rally
        world.revise("Iteration", sprint, Name="Called otherwise", EndDate="2030-01-01T05:59:59+00:00")
        carried = len(its.timeboxes("sprints", sprint))
        assert its.run().tally.uploaded == carried > 1
        # Also where it is a former sprint.
        told = its.timeboxes("sprints", sprint)
        assert {each["name"] for each in told} == {"Called otherwise"}
        assert len({each["endTime"] for each in told}) == 1
        assert its.run().tally.uploaded == 0
        world.clock.advance(timedelta(hours=2))
        world.revise("Release", release, State="Accepted", Name="Out")
        its.run()
        out = its.timeboxes("releases", release.object_id)
        assert out
        assert {(each["name"], each["released"]) for each in out} == {("Out", True)}
        milestone = world.company.milestones[0]
        world.clock.advance(timedelta(hours=2))
        world.revise("Milestone", milestone, Name="Fair in spring")
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
            world.revise("Iteration", sprint, Name="Of others")
        rally.stats.reset()
        assert its.run().tally.uploaded == 0
        assert rally.stats.requests["hierarchicalrequirement"] == 1
        world.revise("Milestone", world.company.milestones[0], Name="Of everybody")
        its.run()
        places = {item["project"]["id"] for item in its.sent.values()}
        assert places == {str(first.project.object_id)}
