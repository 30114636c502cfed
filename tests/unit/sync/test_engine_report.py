"""What a run reports besides the counts of issues: what it spent, what is unusual, and why there is nothing."""

import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from rally_accelerate.errors import AccessDeniedError, UnavailableError
from rally_accelerate.mapping.rule_parser import parse_rules
from rally_accelerate.mapping.rules import CompiledRules, Rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Walk, Window
from rally_accelerate.model.report import Acknowledgement, Outcome, Skipped, SyncReport, Tally, Usage
from rally_accelerate.rally.records import Page, Record, RecycleBinEntry, Scope, WorkItem
from rally_accelerate.rally.removed_item_values import RemovedItem
from rally_accelerate.sync import engine, mapper
from rally_accelerate.sync.mapper import Portion
from rally_accelerate.sync.removals import Cap, Removal
from support.small_world import EPOCH, KIND, Item, SmallSink, SmallSource, SmallState, World

RULES = Rules(web_url="https://rally.example")


class TalkativeSource(SmallSource):
    """Spends something with each question, and has something to say each time."""

    def __init__(self, world: World, *, projects: int = 0) -> None:
        super().__init__(world, projects=projects)
        self.usage = Usage(requests=100, bytes_received=1000)
        self.walks: list[Walk] = []
        self.fails_after: int | None = None

    async def open(self) -> Scope:
        return replace(await super().open(), notices=("of the scope",))

    async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        self.walks.append(walk)
        async for page in super().read_changes(scope, walk):
            self.usage += Usage(requests=1, bytes_received=10)
            yield replace(page, notices=("of a page",))
            if self.fails_after == page.after:
                raise UnavailableError("maintenance")

    def notices(self) -> tuple[str, ...]:
        return ("of a history",)

    def value_notices(self) -> tuple[str, ...]:
        return ("odd", "of a page")


class SpendingSink(SmallSink):
    """Spends something with each issue."""

    async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
        async for receipt in super().deliver(issues):
            self.usage += Usage(requests=1, bytes_sent=7)
            yield receipt


async def run(source: SmallSource, sink: SmallSink, state: Any, **how: Any) -> SyncReport:
    return await engine.sync_once(source, sink, state, RULES, lambda: EPOCH, **how)


async def test_a_report_tells_what_this_run_spent_on_either_side() -> None:
    world = World(items={key: Item() for key in range(1, 4)})
    source, sink, state = TalkativeSource(world), SpendingSink(world), SmallState(world)
    first = await run(source, sink, state)
    # Three items and the end of the walk.
    assert first.rally == Usage(requests=4, bytes_received=40)
    assert first.accelerate == Usage(requests=3, bytes_sent=21)
    world.moment += 86_400
    second = await run(source, sink, state)
    assert (second.rally, second.accelerate) == (Usage(requests=4, bytes_received=40), Usage())
    assert first.started_at == EPOCH
    assert 0 <= first.seconds < 60


async def test_what_is_unusual_is_told_once_in_the_order_in_which_it_came() -> None:
    world = World()
    report = await run(TalkativeSource(world), SmallSink(world), SmallState(world))
    assert report.notices == ("of the scope", "of a page", "of a history", "odd")
    assert report.outcome is Outcome.COMPLETE


async def test_a_run_that_fails_tells_what_was_done_and_noticed_before() -> None:
    world = World(items={key: Item() for key in range(1, 4)})
    source = TalkativeSource(world)
    source.fails_after = 2
    report = await run(source, SpendingSink(world), SmallState(world))
    assert isinstance(report.failure, UnavailableError)
    assert "odd" in report.notices
    assert (report.tally.uploaded, report.rally.requests, report.accelerate.requests) == (2, 2, 2)


async def test_of_two_services_that_fail_the_one_that_is_read_is_told() -> None:
    class Source(SmallSource):
        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            raise UnavailableError("maintenance")
            yield

    class Sink(SmallSink):
        async def retire(self, retirements: Any) -> AsyncIterator[Acknowledgement]:
            raise AssertionError("reached")
            yield

    world = World()
    plans = engine.Plans(removal=Removal(every=timedelta(0)), again=Window())
    report = await run(Source(world), Sink(world), SmallState(world), plans=plans)
    assert isinstance(report.failure, UnavailableError)


async def test_why_there_is_nothing_is_told_in_each_run_until_there_is_something() -> None:
    world = World(items={})
    source, sink, state = SmallSource(world), SmallSink(world), SmallState(world)
    for _ in range(2):
        assert (await run(source, sink, state)).empty.startswith("No items: this user sees no project")
    world.create(1)
    for _ in range(2):
        assert (await run(source, sink, state)).empty == ""


async def test_a_date_that_is_too_late_is_a_cause_of_nothing() -> None:
    world = World(items={1: Item(changed=5)}, moment=100)
    plans = engine.Plans(since=EPOCH + timedelta(seconds=50))
    report = await run(SmallSource(world), SmallSink(world), SmallState(world), plans=plans)
    assert "none changed since initialSyncDate" in report.empty


async def test_a_run_that_fails_does_not_explain_why_there_was_nothing() -> None:
    class Source(SmallSource):
        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            raise UnavailableError("maintenance")
            yield

    world = World(items={})
    state = SmallState(world)
    await run(SmallSource(world), SmallSink(world), state)
    assert state.progress.empty
    report = await run(Source(world), SmallSink(world), state)
    assert (report.empty, report.outcome) == ("", Outcome.FAILED)


@pytest.mark.parametrize(("days", "told"), [(1, True), (0, False), (-1, False)])
async def test_a_date_that_lies_ahead_is_told_with_the_date(days: int, told: bool) -> None:
    world = World(moment=-1)
    plans = engine.Plans(since=EPOCH + timedelta(days=days))
    report = await run(SmallSource(world), SmallSink(world), SmallState(world), plans=plans)
    ahead = "initialSyncDate 2026-01-02 is in the future. Nothing is synced until then."
    assert [notice for notice in report.notices if "in the future" in notice] == ([ahead] if told else [])


async def test_an_error_that_a_person_must_mend_stops_reading_too() -> None:
    class Sink(SmallSink):
        async def open(self) -> None:
            raise AccessDeniedError("wrong key")

    world = World()
    source = TalkativeSource(world)
    report = await run(source, Sink(world), SmallState(world))
    assert isinstance(report.failure, AccessDeniedError)
    assert source.walks == []


# What the watch is told


async def test_what_is_expected_and_ready_is_counted_while_a_run_goes_on() -> None:
    told: list[Tally] = []
    world = World(items={key: Item() for key in range(1, 6)})
    source, sink, state = LeftSource(world), SmallSink(world), SmallState(world)
    await run(source, sink, state, watch=told.append)
    assert told[0].uncounted == 1
    assert {tally.expected for tally in told if tally.uncounted == 0} == {5}
    assert {tally.expected for tally in told if tally.uncounted} == {0}
    assert all(tally.read <= tally.expected and tally.uploaded <= tally.ready <= tally.read for tally in told)
    assert (told[-1].read, told[-1].ready, told[-1].uploaded) == (5, 5, 5)
    told.clear()
    await run(source, sink, state, watch=told.append)
    # What has not changed is ready when it is read.
    assert (told[-1].read, told[-1].ready, told[-1].unchanged) == (5, 5, 5)


class LeftSource(SmallSource):
    """Says with each page how much is left, as Rally does."""

    async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        async for page in super().read_changes(scope, walk):
            left = sum(key >= page.after for key in self.world.items) if page.records else 0
            yield replace(page, remaining=left)


# What is resumed


async def test_after_a_resumed_walk_only_its_lanes_are_read_up_to_now() -> None:
    world = World(items={key: Item(project=1 + key % 2) for key in range(1, 5)})
    source, sink, state = TalkativeSource(world, projects=2), SmallSink(world), SmallState(world)
    source.fails_after = 3
    await run(source, sink, state)
    assert [walk.after for walk in state.progress.unfinished]
    source.fails_after = None
    source.walks.clear()
    world.moment += 86_400
    resumed = {walk.projects for walk in state.progress.unfinished}
    report = await run(source, sink, state, overlap=timedelta(0))
    assert set(sink.stored) == {"1", "2", "3", "4"}
    assert report.outcome is Outcome.COMPLETE
    # Each project once to the present; the interrupted ones first to the end of what was begun.
    begun = [walk.projects for walk in source.walks if walk.after]
    later = [project for walk in source.walks if not walk.after for project in walk.projects]
    assert set(begun) == resumed
    assert sorted(later) == [1, 2]
    source.walks.clear()
    await run(source, sink, state)
    assert [(walk.projects, walk.after) for walk in source.walks] == [((1, 2), 0)]


async def test_a_walk_that_fails_again_is_not_followed_by_another() -> None:
    world = World(items={key: Item() for key in range(1, 5)})
    source, sink, state = TalkativeSource(world), SmallSink(world), SmallState(world)
    for fails in (2, 3):
        source.fails_after = fails
        source.walks.clear()
        assert (await run(source, sink, state)).failure is not None
        assert len(source.walks) == 1
    assert [walk.after for walk in state.progress.unfinished] == [3]
    assert set(sink.stored) == {"1", "2", "3"}


# How much is done at once


async def test_only_so_many_walks_are_read_side_by_side() -> None:
    reading, most = 0, 0

    class Source(SmallSource):
        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            async for page in super().read_changes(scope, walk):
                yield page
            reading -= 1

        async def count(self, scope: Scope, kind: str, *, since: datetime | None = None) -> int:
            return 1

    world = World(items={key: Item(project=key) for key in range(1, 5)})
    sink = SmallSink(world)
    await run(Source(world, projects=4), sink, SmallState(world))
    assert set(sink.stored) == {"1", "2", "3", "4"}
    assert most == engine.WALKS_AT_ONCE


async def test_items_that_an_item_shares_a_request_with_come_in_its_portion() -> None:
    asked: list[list[int]] = []

    class Source(SmallSource):
        def count_fitting(self, records: Sequence[Record]) -> int:
            return min(2, len(records)) if len(records) >= 2 else 0

        async def history(self, scope: Scope, records: Sequence[Record]) -> list[WorkItem]:
            asked.append([each.object_id for each in records])
            return await super().history(scope, records)

    world = World(items={key: Item() for key in range(1, 6)})
    sink, state = SmallSink(world), SmallState(world)
    await run(Source(world), sink, state)
    assert asked == [[1, 2], [3, 4], [5]]
    assert set(sink.stored) == {"1", "2", "3", "4", "5"}
    assert state.progress.unfinished == ()


# What is removed


async def test_the_recycle_bin_is_asked_about_the_time_since_the_last_look_with_the_overlap() -> None:
    asked: list[datetime] = []

    class Source(SmallSource):
        async def read_recycle_bin(self, scope: Scope, since: datetime) -> list[RecycleBinEntry]:
            asked.append(since)
            return await super().read_recycle_bin(scope, since)

    world = World(items={1: Item()})
    source, sink, state = Source(world), SmallSink(world), SmallState(world)
    overlap, plans = timedelta(minutes=3), engine.Plans(removal=Removal(every=timedelta(days=1)))
    looks = []
    for _ in range(3):
        world.moment += 1000
        await run(source, sink, state, overlap=overlap, plans=plans)
        (cursor,) = set(state.progress.cursors.values())
        looks.append(cursor)
    # Nothing was held before the first run.
    assert asked == [look - overlap for look in looks[:2]]


async def test_removals_are_counted_in_their_projects_and_told() -> None:
    world = World(items={key: Item(project=1 + key % 2) for key in range(1, 5)})
    source, sink, state = SmallSource(world, projects=2), SmallSink(world), SmallState(world)
    plans = engine.Plans(removal=Removal(every=timedelta(0), cap=Cap(1, 0.05)))
    await run(source, sink, state, plans=plans)
    world.delete(2)
    await run(source, sink, state, plans=plans)
    report = await run(source, sink, state, plans=plans)
    assert (report.tally.removed, report.tally.withheld) == (1, 0)
    assert [(each.name, each.removed) for each in report.projects if each.removed] == [("P1", 1)]
    world.delete(3)
    world.delete(4)
    await run(source, sink, state, plans=plans)
    withheld = await run(source, sink, state, plans=plans)
    assert (withheld.tally.removed, withheld.tally.withheld) == (0, 2)
    assert withheld.outcome is Outcome.PARTIAL
    assert any("--approve-removal" in notice for notice in withheld.notices)


async def test_issues_of_a_project_that_was_taken_out_are_looked_for_in_it() -> None:
    asked: list[list[str]] = []

    class Sink(SmallSink):
        async def read_back(
            self, external_ids: Sequence[str], *, projects: Sequence[str]
        ) -> Mapping[str, Mapping[str, Any]]:
            asked.append(sorted(projects))
            return await super().read_back(external_ids, projects=projects)

    class State(SmallState):
        async def documents(self, external_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
            """Keep none, as where there is no room."""
            return {}

    class Source(SmallSource):
        async def recover_removed(
            self, scope: Scope, removed: Mapping[int, datetime], **more: Any
        ) -> Mapping[int, RemovedItem]:
            """Tell what is left without its comments, so that the rules decide whether it is enough."""
            found = await super().recover_removed(scope, removed, **more)
            return {key: replace(each, lists_comments=False) for key, each in found.items()}

    world = World(items={1: Item(project=1), 2: Item(project=2)})
    sink, state = Sink(world), State(world)
    plans = engine.Plans(removal=Removal(every=timedelta(0)))
    await run(SmallSource(world, projects=2), sink, state, plans=plans)
    for _ in range(2):
        report = await run(Source(world, projects=1), sink, state, plans=plans)
    assert (report.tally.removed, report.tally.withheld) == (1, 0)
    assert asked == [["1", "2"]]


@pytest.mark.parametrize(
    ("value", "apart"),
    [("Accepted", False), ("/^Acc/", True), ({"Name": ["x", "/y/"]}, True), ({"Name": "x"}, False)],
    ids=["text", "expression", "condition with an expression", "condition"],
)
async def test_items_are_mapped_outside_the_event_loop_where_texts_are_searched(
    monkeypatch: pytest.MonkeyPatch, value: Any, apart: bool
) -> None:
    threads = set()
    whole = mapper.Mapper.map_item

    def mapped(self: mapper.Mapper, item: WorkItem) -> Issue | Skipped:
        threads.add(threading.current_thread() is threading.main_thread())
        return whole(self, item)

    monkeypatch.setattr(mapper.Mapper, "map_item", mapped)
    field_rules, faults = parse_rules([{"type": "*", "valueMapping": {"status": {"Done": [value]}}}])
    assert not faults
    rules = replace(RULES, compiled=CompiledRules(rules=field_rules))
    source = SmallSource(World(items={1: Item()}))
    walk, portion = Walk(kind=KIND, started_at=EPOCH), Portion(items=(1,), fresh=(), after=1, last=True)
    parcel = await mapper.Mapper(rules).map_batch(walk, [WorkItem(record=source.record(1))], portion)
    assert [issue.external_id for issue in parcel.issues] == ["1"]
    assert threads == {not apart}


async def test_mapping_that_pauses_after_each_item_maps_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapper, "SECONDS_BETWEEN_PAUSES", -1)
    source = SmallSource(World(items={key: Item() for key in range(1, 4)}))
    items = [WorkItem(record=source.record(key)) for key in range(1, 4)]
    walk, portion = Walk(kind=KIND, started_at=EPOCH), Portion(items=(1, 2, 3), fresh=(), after=3, last=True)
    parcel = await mapper.Mapper(RULES).map_batch(walk, items, portion)
    assert [issue.external_id for issue in parcel.issues] == ["1", "2", "3"]
    assert (parcel.items, parcel.after, parcel.last) == ((1, 2, 3), 3, True)
