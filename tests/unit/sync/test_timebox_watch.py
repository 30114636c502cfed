"""Sprints that change while no item does: their items are sent again, once, whatever kills the run."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from rally_accelerate.errors import AccessDeniedError
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.progress import Progress, TimeboxWatch
from rally_accelerate.model.report import SyncReport
from rally_accelerate.rally.records import Scope, TimeboxFacts, Workspace
from rally_accelerate.sync import plan
from rally_accelerate.sync.engine import Plans, sync_once
from rally_accelerate.sync.progress_json import progress_from_json, progress_to_json
from support.small_world import EPOCH, KIND, Crash, Item, SmallSink, SmallSource, SmallState, Sprint, World

RULES = Rules(web_url="https://rally.example")
RENAMED = {"1": ("Sprint again", True), "2": ("Sprint again", True), "3": ("Other", True)}


class Team:
    """Two sprints, and a connector that sends their items."""

    def __init__(self) -> None:
        self.world = World(
            items={1: Item(sprint=7), 2: Item(sprint=7), 3: Item(sprint=8), 4: Item()},
            sprints={7: Sprint(), 8: Sprint(name="Other")},
        )
        self.source, self.sink, self.state = SmallSource(self.world), SmallSink(self.world), SmallState(self.world)
        self.since: datetime | None = None

    async def run(self) -> SyncReport:
        """One run."""
        return await sync_once(
            self.source,
            self.sink,
            self.state,
            RULES,
            lambda: self.world.now,
            overlap=timedelta(minutes=10),
            plans=Plans(since=self.since),
        )

    async def settled(self) -> None:
        """Run until the sprints are known, and their making is behind the overlap."""
        await self.run()
        await self.run()
        self.world.moment += 2_000
        await self.run()

    async def requests(self) -> int:
        """How many moments a run without news takes."""
        self.world.moment += 2_000
        before = self.world.moment
        await self.run()
        return self.world.moment - before

    @property
    def watch(self) -> TimeboxWatch:
        """What is remembered of the sprints."""
        found = self.state.progress.timeboxes
        assert found is not None
        return found

    @property
    def sprints(self) -> Mapping[str, tuple[str, bool | None]]:
        """What the issues tell of their sprints: the name, and whether it is active."""
        last = {key: its.sprints[-1] for key, its in self.sink.stored.items() if its.sprints}
        return {key: (sprint.name, sprint.active) for key, sprint in last.items()}


async def test_a_renamed_sprint_is_told_in_every_item_and_sent_once() -> None:
    team = Team()
    await team.settled()
    team.world.rename_sprint(7)
    report = await team.run()
    assert team.sprints == RENAMED
    assert report.tally.uploaded == 2
    assert "Timeboxes that changed, began or ended: Sprint again. Their items are uploaded again." in report.notices
    # The change is still within the overlap, and known.
    assert (await team.run()).tally.uploaded == 0


async def test_a_sprint_that_is_over_is_active_no_more() -> None:
    team = Team()
    await team.settled()
    team.world.sprints[7].end = team.world.moment + 500
    team.world.sprints[7].changed = team.world.moment
    await team.run()
    assert team.sprints["1"] == ("Sprint", True)
    team.world.moment += 5_000
    report = await team.run()
    assert (team.sprints["1"], team.sprints["3"]) == (("Sprint", False), ("Other", True))
    assert report.tally.uploaded == 2
    assert (await team.run()).tally.uploaded == 0


async def test_what_is_scheduled_into_a_sprint_does_not_send_all_of_it_again() -> None:
    team = Team()
    await team.settled()
    team.world.rename_sprint(7)
    await team.run()
    for _ in range(3):
        team.world.moment += 2_000
        team.world.sprints[7].changed = team.world.moment
        assert (await team.run()).tally.uploaded == 0


async def test_an_item_that_changed_as_well_is_sent_once() -> None:
    team = Team()
    await team.settled()
    team.world.rename_sprint(7)
    team.world.edit(1)
    assert (await team.run()).tally.uploaded == 2
    assert team.sink.stored["1"].name == "B"


async def test_what_no_item_carries_is_not_asked_for() -> None:
    team = Team()
    team.world.items = {1: Item(), 2: Item()}
    await team.settled()
    assert not team.watch.until
    quiet = await team.requests()
    team.world.items[1].sprint = 7
    team.world.edit(1)
    await team.run()
    assert team.watch.until.keys() == {"Iteration"}
    await team.requests()
    assert await team.requests() == quiet + 1


async def test_items_that_are_not_wanted_are_not_brought_by_their_sprint() -> None:
    team = Team()
    team.since = EPOCH + timedelta(seconds=5_000)
    team.world.items[3].changed = 6_000
    team.world.moment = 9_000
    await team.settled()
    assert set(team.sink.stored) == {"3"}
    team.world.rename_sprint(7)
    team.world.rename_sprint(8)
    await team.run()
    assert team.sprints == {"3": ("Other again", True)}


async def test_progress_of_an_earlier_version_looks_back_a_while() -> None:
    team = Team()
    await team.settled()
    written = progress_to_json(team.state.progress)
    del written["timeboxes"]
    team.state.progress = progress_from_json(written)
    assert (await team.run()).tally.uploaded == 3
    assert (await team.run()).tally.uploaded == 0


async def test_a_service_that_refuses_does_not_fail_the_run_and_nothing_is_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    team = Team()
    await team.settled()

    async def refused(*_: object, **__: object) -> list[TimeboxFacts]:
        raise AccessDeniedError("no")

    with monkeypatch.context() as patched:
        patched.setattr(team.source, "timeboxes", refused)
        team.world.rename_sprint(7)
        report = await team.run()
    assert report.failure is None
    assert any("iterations, releases and milestones could not be read" in notice for notice in report.notices)
    team.world.moment += 7_200
    assert (await team.run()).tally.uploaded == 2
    assert team.sprints["1"][0] == "Sprint again"


@pytest.mark.parametrize("after", range(1, 31))
async def test_a_kill_at_any_moment_loses_no_change_of_a_sprint(after: int) -> None:
    team = Team()
    await team.settled()
    team.world.rename_sprint(7)
    team.world.crash_at = team.world.moment + after
    with suppress(Crash, BaseExceptionGroup):
        await team.run()
    team.world.crash_at = None
    # Later than the overlap: only what is remembered can bring it.
    team.world.moment += 5_000
    await team.run()
    assert team.sprints == RENAMED
    assert not team.state.progress.unfinished


def scope(*kinds: str) -> Scope:
    """Return a whole workspace with some kinds of items."""
    return Scope(workspace=Workspace(object_id=1, name="W"), projects=(), kinds=kinds, query="", now=EPOCH)


def kinds_of(progress: Progress) -> set[str]:
    """Return the kinds that are walked on."""
    return {walk.kind for walk in progress.unfinished}


def test_walks_by_timebox_are_read_back_as_they_were_written() -> None:
    its = scope(KIND, "portfolioitem/feature", "testcase", "task")
    walks = plan.walks_carrying(its, "Iteration", list(range(1, 31)), since=EPOCH)
    found = [(walk.kind, len(walk.carrying)) for walk in walks]
    assert found == [(KIND, 25), (KIND, 5), ("task", 25), ("task", 5)]
    assert not any(walk.lanes for walk in walks)
    progress = plan.valid_progress(Progress(), its, rules_version="r")
    progress = replace(progress, unfinished=walks, timeboxes=TimeboxWatch(until={"Release": EPOCH}, seen={1: "a"}))
    assert progress_from_json(progress_to_json(progress)) == progress
    # A kind that is no longer read is no longer walked.
    assert kinds_of(plan.valid_progress(progress, scope("task"), rules_version="r")) == {"task"}


@pytest.mark.parametrize(
    ("field", "kinds"),
    [
        ("Iteration", {KIND, "task"}),
        ("Release", {KIND, "task", "portfolioitem/feature"}),
        ("Milestones", {KIND, "task", "portfolioitem/feature", "testcase"}),
    ],
)
def test_only_kinds_that_have_a_field_are_asked_by_it(field: str, kinds: set[str]) -> None:
    its: Any = plan.walks_carrying(scope(KIND, "portfolioitem/feature", "testcase", "task"), field, [1], since=None)
    assert {walk.kind for walk in its} == kinds
