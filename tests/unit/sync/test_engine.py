"""What a run tells, and what it does about items and services that fail."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from rally_accelerate.errors import AccessDeniedError, RejectedError, UnavailableError
from rally_accelerate.mapping.issue import map_work_item
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Walk
from rally_accelerate.model.report import Acknowledgement, Outcome, Skipped, SyncReport, Tally
from rally_accelerate.rally.records import Page, Scope, WorkItem
from rally_accelerate.sync import engine
from rally_accelerate.sync.dry_run import PreviewSink, UnwrittenState
from rally_accelerate.sync.ports import Sink, Source
from support.small_world import KIND, Item, PickySink, SmallSink, SmallSource, SmallState, World

RULES = Rules(web_url="https://rally.example")


async def run(source: Source, sink: Sink, state: Any, **how: Any) -> SyncReport:
    return await engine.sync_once(source, sink, state, RULES, lambda: World().now, **how)


async def test_a_report_counts_everything() -> None:
    world = World(items={key: Item() for key in range(1, 8)})
    source, sink, state = SmallSource(world), SmallSink(world), SmallState(world)
    first = await run(source, sink, state)
    assert first.outcome is Outcome.COMPLETE
    assert (first.tally.read, first.tally.uploaded, first.tally.unchanged) == (7, 7, 0)
    second = await run(source, sink, state)
    assert (second.tally.uploaded, second.tally.skipped) == (0, 0)
    assert first.as_dict()["outcome"] == "complete"


async def test_a_date_that_lies_ahead_is_told() -> None:
    world = World()
    ahead = engine.Plans(since=world.now + timedelta(days=30))
    report = await run(SmallSource(world), SmallSink(world), SmallState(world), plans=ahead)
    assert [notice for notice in report.notices if "is in the future" in notice]
    behind = engine.Plans(since=world.now - timedelta(days=30))
    report = await run(SmallSource(world), SmallSink(world), SmallState(world), plans=behind)
    assert not report.notices


async def test_a_refused_item_is_named_owed_and_asked_for_until_it_is_taken() -> None:
    world = World(items={key: Item() for key in range(1, 4)})
    source, sink, state = SmallSource(world), PickySink(world, {"2"}), SmallState(world)
    first = await run(source, sink, state)
    assert first.outcome is Outcome.PARTIAL
    assert first.skipped == (Skipped("US2", "no"),)
    assert set(sink.stored) == {"1", "3"}
    assert state.progress.owed == {(KIND, 2)}
    assert (await run(source, sink, state)).outcome is Outcome.PARTIAL
    sink.refused.clear()
    third = await run(source, sink, state)
    assert (third.outcome, third.tally.uploaded) == (Outcome.COMPLETE, 1)
    assert state.progress.owed == frozenset()


async def test_an_owed_item_that_is_gone_is_forgotten() -> None:
    world = World(items={key: Item() for key in range(1, 4)})
    source, sink, state = SmallSource(world), PickySink(world, {"2", "3"}), SmallState(world)
    await run(source, sink, state)
    world.delete(2)
    report = await run(source, sink, state)
    assert report.outcome is Outcome.PARTIAL
    assert state.progress.owed == {(KIND, 3)}


async def test_when_everything_is_refused_the_run_stops_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MOST_REFUSED", 5)
    world = World(items={key: Item() for key in range(1, 100)})
    sink = PickySink(world, {str(key) for key in range(1, 100)})
    report = await run(SmallSource(world), sink, SmallState(world))
    assert isinstance(report.failure, RejectedError)
    assert "more than 5" in str(report.failure)
    assert report.tally.skipped == 6


async def test_a_source_that_breaks_off_leaves_what_was_read_delivered_and_remembered() -> None:
    class Source(SmallSource):
        broken = True

        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            async for page in super().read_changes(scope, walk):
                yield page
                if self.broken and page.after == 3:
                    raise UnavailableError("maintenance")

    world = World(items={key: Item() for key in range(1, 7)})
    source, sink, state = Source(world), SmallSink(world), SmallState(world)
    report = await run(source, sink, state)
    assert report.outcome is Outcome.FAILED
    assert isinstance(report.failure, UnavailableError)
    assert set(sink.stored) == {"1", "2", "3"}
    source.broken = False
    resumed = await run(source, sink, state)
    assert resumed.outcome is Outcome.COMPLETE
    assert set(sink.stored) == {str(key) for key in range(1, 7)}
    assert resumed.tally.uploaded == 3


async def test_a_resumed_first_sync_also_finds_what_changed_since_it_began() -> None:
    class Source(SmallSource):
        broken = True

        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            async for page in super().read_changes(scope, walk):
                yield page
                if self.broken and page.after == 2:
                    raise UnavailableError("maintenance")

    world = World(items={key: Item() for key in range(1, 4)})
    source, sink, state = Source(world), SmallSink(world), SmallState(world)
    await run(source, sink, state)
    world.tick()
    world.edit(1)
    source.broken = False
    await run(source, sink, state)
    assert sink.stored["1"].name == "B"


async def test_a_sink_that_refuses_the_key_stops_the_run_with_its_own_error() -> None:
    class Sink(SmallSink):
        async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
            raise AccessDeniedError("wrong key")
            yield Acknowledgement()

    world = World(items={key: Item() for key in range(1, 30)})
    state = SmallState(world)
    report = await run(SmallSource(world), Sink(world), state)
    assert isinstance(report.failure, AccessDeniedError)
    assert state.ledger == {}


async def test_a_bug_travels() -> None:
    class Source(SmallSource):
        async def open(self) -> Scope:
            raise KeyError("a bug")

    world = World()
    with pytest.raises(KeyError):
        await run(Source(world), SmallSink(world), SmallState(world))


async def test_the_watch_is_told_fresh_counts() -> None:
    told: list[Tally] = []
    world = World(items={key: Item() for key in range(1, 4)})
    await run(SmallSource(world), SmallSink(world), SmallState(world), watch=told.append)
    assert told[-1].uploaded == 3
    assert [tally.read for tally in told] == sorted(tally.read for tally in told)


async def test_a_preview_sends_and_remembers_nothing() -> None:
    world = World(items={key: Item() for key in range(1, 6)})
    state, sink = SmallState(world), PreviewSink(keep=2)
    report = await run(SmallSource(world), sink, UnwrittenState(state))
    assert report.tally.uploaded == 5
    assert [issue.display_id for issue in sink.issues] == ["US1", "US2"]
    assert (state.ledger, state.progress.cursors) == ({}, {})


async def test_an_empty_workspace_is_complete_and_remembered() -> None:
    world = World(items={})
    state = SmallState(world)
    report = await run(SmallSource(world), SmallSink(world), state)
    assert report.outcome is Outcome.COMPLETE
    assert len(state.progress.cursors) == 1


async def test_an_item_that_the_mapping_cannot_take_is_left_out_and_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprised(item: WorkItem, rules: Rules, *, now: datetime | None) -> Issue | Skipped:
        if item.record.object_id == 2:
            raise KeyError("a surprise")
        return map_work_item(item, rules, now=now)

    world = World(items={key: Item() for key in range(1, 4)})
    source, sink, state = SmallSource(world), SmallSink(world), SmallState(world)
    with monkeypatch.context() as patched:
        patched.setattr("rally_accelerate.mapping.issue.map_work_item", surprised)
        report = await run(source, sink, state)
        # Two days later the windows do not reach back to it any more.
        world.moment += 2 * 86_400
        await run(source, sink, state)
        world.moment += 2 * 86_400
    assert report.outcome is Outcome.PARTIAL
    assert [(skip.key, "KeyError" in skip.reason) for skip in report.skipped] == [("US2", True)]
    assert set(sink.stored) == {"1", "3"}
    assert state.progress.owed == {(KIND, 2)}
    # It is read by its id.
    assert (await run(source, sink, state)).outcome is Outcome.COMPLETE
    assert set(sink.stored) == {"1", "2", "3"}
    assert state.progress.owed == frozenset()
