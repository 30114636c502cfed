"""Walks over the items of changed timeboxes: a kind that cannot be asked so, older answers, and what was just sent."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from rally_accelerate.errors import NotFoundError, QueryError, RallyAccelerateError, RejectedError, UnavailableError
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Walk, Window
from rally_accelerate.model.report import Acknowledgement, SyncReport
from rally_accelerate.rally.records import Page, Record, Scope, WorkItem
from rally_accelerate.sync import engine
from support.small_world import KIND, Item, SmallSink, SmallSource, SmallState, Sprint, World

RULES = Rules(web_url="https://rally.example")


class TimeboxSource(SmallSource):
    """Refuses walks over timeboxes, if it is told to, and keeps which walks it was asked for."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.refusal: RallyAccelerateError | None = None
        self.walks: list[Walk] = []

    async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        self.walks.append(walk)
        if self.refusal is not None and walk.carrying:
            raise self.refusal
        async for page in super().read_changes(scope, walk):
            yield page


class Team:
    """Items of a sprint, read until nothing of their making is within the overlap."""

    def __init__(self) -> None:
        self.world = World(items={key: Item(sprint=7) for key in (1, 2, 3)}, sprints={7: Sprint()})
        self.source, self.sink, self.state = TimeboxSource(self.world), SmallSink(self.world), SmallState(self.world)

    async def run(self, plans: engine.Plans | None = None) -> SyncReport:
        """Run once."""
        return await engine.sync_once(
            self.source,
            self.sink,
            self.state,
            RULES,
            lambda: self.world.now,
            overlap=timedelta(minutes=10),
            plans=plans,
        )

    async def settled(self) -> None:
        """Let everything be known, and the sprint change."""
        for _ in range(3):
            await self.run()
            self.world.moment += 2_000
        self.source.walks.clear()
        self.world.rename_sprint(7)


@pytest.mark.parametrize(
    "refusal", [RejectedError("no"), NotFoundError("no"), QueryError("no")], ids=["refused", "gone", "query"]
)
async def test_a_kind_that_cannot_be_asked_for_by_timeboxes_stops_nothing(
    refusal: RallyAccelerateError, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    team = Team()
    await team.settled()
    team.source.refusal = refusal
    team.world.edit(1)
    report = await team.run()
    assert (report.failure, report.tally.uploaded) == (None, 1)
    assert (report.tally.expected, report.tally.read) == (1, 1)
    assert f"{KIND} cannot be queried by Iteration: no" in [each.getMessage() for each in caplog.records]
    # It is not tried again until the sprint changes again.
    assert team.state.progress.unfinished == ()
    team.source.walks.clear()
    await team.run()
    assert [walk.carrying for walk in team.source.walks] == [()]


async def test_a_service_that_is_down_leaves_the_walk_for_the_next_run() -> None:
    team = Team()
    await team.settled()
    team.source.refusal = UnavailableError("maintenance")
    assert (await team.run()).failure is team.source.refusal
    assert [walk.carrying for walk in team.state.progress.unfinished] == [(7,)]
    team.source.refusal = None
    assert (await team.run()).tally.uploaded == 3


@pytest.mark.parametrize(
    "refusal", [RejectedError("no"), NotFoundError("no"), QueryError("no")], ids=["refused", "gone", "query"]
)
async def test_other_walks_that_are_refused_fail_the_run(refusal: RallyAccelerateError) -> None:
    class Source(SmallSource):
        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            raise refusal
            yield

    world = World()
    report = await engine.sync_once(Source(world), SmallSink(world), SmallState(world), RULES, lambda: world.now)
    assert report.failure is refusal


async def test_an_older_revision_is_not_sent_again_and_the_same_one_is() -> None:
    team = Team()
    await team.settled()
    sent = team.state.ledger["2"]
    # A node that lags behind shows the item as it was before it was sent.
    newer = replace(sent.revision, version=sent.revision.version + 1)
    team.state.ledger["2"] = replace(sent, revision=newer)
    report = await team.run()
    assert (report.tally.uploaded, report.tally.unchanged) == (2, 1)
    assert team.state.ledger["2"].revision == newer


async def test_items_are_sent_again_once_however_many_walks_meet_them() -> None:
    team = Team()
    await team.settled()
    team.world.edit(1)
    report = await team.run()
    assert [bool(walk.carrying) for walk in team.source.walks] == [True, False]
    assert (report.tally.uploaded, report.tally.read) == (3, 4)
    # Everything again is everything again.
    assert (await team.run(engine.Plans(again=Window()))).tally.uploaded == 3


async def test_what_is_owed_is_settled_by_nothing_but_its_own_walk() -> None:
    team = Team()
    await team.settled()
    team.state.progress = replace(team.state.progress, owed=frozenset({(KIND, 9), (KIND, 2)}))
    await team.run()
    # The one is gone, the other came.
    assert team.state.progress.owed == frozenset()
    assert {walk.only for walk in team.source.walks if not walk.carrying} == {(), (2, 9)}


async def test_mapped_issues_know_the_time_of_the_service() -> None:
    team = Team()
    team.world.moment = 100
    team.world.sprints[7].end = 150
    await team.run()
    assert team.sink.stored["1"].sprints[-1].active is True
    team.world.moment = 5_000
    await team.run()
    assert team.sink.stored["1"].sprints[-1].active is False


async def test_what_was_just_sent_is_not_even_asked_for_its_history() -> None:
    asked: list[int] = []

    class Source(TimeboxSource):
        async def find_departed(self, scope: Scope, field: str, timeboxes: Sequence[int]) -> set[int]:
            return {1}

        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            if walk.only:
                await sent.wait()
            async for page in super().read_changes(scope, walk):
                yield page

        async def history(self, scope: Scope, records: Sequence[Record]) -> list[WorkItem]:
            asked.extend(each.object_id for each in records)
            return await super().history(scope, records)

    class Sink(SmallSink):
        async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
            async for receipt in super().deliver(issues):
                yield receipt
                if receipt.delivered == ("3",):
                    sent.set()

    team, sent = Team(), asyncio.Event()
    team.source, team.sink = Source(team.world), Sink(team.world)
    await team.settled()
    asked.clear()
    sent.clear()
    report = await team.run()
    assert sorted(walk.only for walk in team.source.walks if walk.carrying) == [(), (1,)]
    assert (asked, report.tally.uploaded, report.tally.unchanged) == ([1, 2, 3], 3, 1)


async def test_what_two_walks_have_read_before_it_is_sent_is_sent_once() -> None:
    asked: list[int] = []
    armed, read_twice = False, asyncio.Event()

    class Source(TimeboxSource):
        async def find_departed(self, scope: Scope, field: str, timeboxes: Sequence[int]) -> set[int]:
            return {1}

        async def history(self, scope: Scope, records: Sequence[Record]) -> list[WorkItem]:
            asked.extend(each.object_id for each in records)
            if asked.count(1) == 2:
                read_twice.set()
            return await super().history(scope, records)

    class Sink(SmallSink):
        async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
            if armed and issues:
                await read_twice.wait()
            async for receipt in super().deliver(issues):
                yield receipt

    team = Team()
    team.source, team.sink = Source(team.world), Sink(team.world)
    await team.settled()
    asked.clear()
    read_twice.clear()
    armed = True
    report = await team.run()
    assert sorted(asked) == [1, 1, 2, 3]
    assert (report.tally.uploaded, report.tally.unchanged) == (3, 1)


async def test_what_is_to_be_sent_again_is_remembered_before_anything_is_read() -> None:
    class Source(TimeboxSource):
        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            if broken:
                raise UnavailableError("maintenance")
            async for page in super().read_changes(scope, walk):
                yield page

    broken = False
    team = Team()
    team.source = Source(team.world)
    await team.settled()
    broken = True
    assert (await team.run()).failure is not None
    assert [walk.carrying for walk in team.state.progress.unfinished] == [(7,)]
    broken = False
    # Later than the overlap: only what is remembered can bring it.
    team.world.moment += 5_000
    assert (await team.run()).tally.uploaded == 3


async def test_an_owed_item_is_looked_for_by_its_own_walk_alone() -> None:
    class Source(TimeboxSource):
        async def find_departed(self, scope: Scope, field: str, timeboxes: Sequence[int]) -> set[int]:
            # It is not known of which kind they are.
            return {9}

        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            if walk.only and not walk.carrying:
                await over.wait()
                raise UnavailableError("maintenance")
            async for page in super().read_changes(scope, walk):
                yield page
            if walk.only:
                over.set()

    over = asyncio.Event()
    team = Team()
    team.source = Source(team.world)
    await team.settled()
    team.state.progress = replace(team.state.progress, owed=frozenset({(KIND, 9)}))
    assert (await team.run()).failure is not None
    assert over.is_set()
    assert team.state.progress.owed == {(KIND, 9)}
