"""What a run does besides new changes: earlier items, everything again, counts, and portions of a walk."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from rally_accelerate.errors import RallyAccelerateError, RejectedError, UnavailableError
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Lane, Progress, Walk, Window
from rally_accelerate.model.report import Acknowledgement, Skipped, SyncReport, Tally
from rally_accelerate.rally.records import Page, Scope, Workspace
from rally_accelerate.sync import engine, mapper
from rally_accelerate.sync.engine import Plans
from rally_accelerate.sync.mapper import Gathered
from support.small_world import EPOCH, KIND, Item, PickySink, SmallSink, SmallSource, SmallState, World

RULES = Rules(web_url="https://rally.example")


def at(seconds: int) -> Any:
    """Return an instant of the small world."""
    return EPOCH + timedelta(seconds=seconds)


class WindowedSource(SmallSource):
    """Keeps which walks it was asked for, and leaves out what lies behind a window."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.walks: list[Walk] = []
        self.broken = False

    async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        """Note the walk."""
        self.walks.append(walk)
        if self.broken:
            raise UnavailableError("maintenance")
        async for page in super().read_changes(scope, walk):
            yield page

    def matches(self, key: int, walk: Walk) -> bool:
        """Tell whether an item belongs to the walk's window."""
        until = walk.window.until
        return super().matches(key, walk) and (until is None or at(self.world.items[key].changed) < until)

    @property
    def windows(self) -> list[Window]:
        """The windows of all walks."""
        return [walk.window for walk in self.walks]


class Setup:
    """A world with items that changed at different times."""

    def __init__(self) -> None:
        self.world = World(items={1: Item(changed=10), 2: Item(changed=20), 3: Item(changed=30)}, moment=100)
        self.source, self.sink, self.state = WindowedSource(self.world), SmallSink(self.world), SmallState(self.world)

    async def run(self, plans: Plans) -> SyncReport:
        """Run once, and forget which walks earlier runs made."""
        self.source.walks.clear()
        return await engine.sync_once(
            self.source, self.sink, self.state, RULES, lambda: self.world.now, overlap=timedelta(0), plans=plans
        )


async def test_an_earlier_date_reads_the_difference_once() -> None:
    its = Setup()
    await its.run(Plans(since=at(25)))
    assert (set(its.sink.stored), its.state.progress.since) == ({"3"}, at(25))
    report = await its.run(Plans(since=at(15)))
    assert its.source.windows[1:] == [Window(at(15), at(25))]
    assert (set(its.sink.stored), report.tally.uploaded) == ({"2", "3"}, 1)
    assert its.state.progress.since == at(15)
    await its.run(Plans(since=at(15)))
    assert len(its.source.windows) == 1


async def test_no_date_reads_everything_that_is_earlier() -> None:
    its = Setup()
    await its.run(Plans(since=at(25)))
    await its.run(Plans())
    assert its.source.windows[1:] == [Window(None, at(25))]
    assert (set(its.sink.stored), its.state.progress.since) == ({"1", "2", "3"}, None)
    await its.run(Plans())
    assert len(its.source.windows) == 1


async def test_a_later_date_reads_nothing_more() -> None:
    its = Setup()
    await its.run(Plans(since=at(15)))
    await its.run(Plans(since=at(25)))
    assert len(its.source.windows) == 1
    assert its.state.progress.since == at(15)


async def test_a_failure_leaves_the_earlier_items_for_the_next_run() -> None:
    its = Setup()
    await its.run(Plans(since=at(25)))
    its.source.broken = True
    assert (await its.run(Plans(since=at(15)))).failure is not None
    assert (len(its.source.windows), its.state.progress.since) == (1, at(25))
    its.source.broken = False
    await its.run(Plans(since=at(15)))
    assert set(its.sink.stored) == {"2", "3"}


async def test_everything_in_a_window_is_sent_again() -> None:
    its = Setup()
    await its.run(Plans())
    before = its.state.progress
    report = await its.run(Plans(again=Window(at(15), at(25))))
    assert (report.tally.uploaded, its.sink.uploads) == (1, 4)
    assert its.source.windows[1:] == [Window(at(15), at(25))]
    assert its.state.progress.since == before.since


class RefusingSink(SmallSink):
    """Refuses everything."""

    async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
        """Refuse the issues."""
        yield Acknowledgement(refused=tuple((each.external_id, Skipped(each.display_id, "no")) for each in issues))


async def test_too_many_refusals_say_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MOST_REFUSED", 1)
    its = Setup()
    its.sink = RefusingSink(its.world)
    failure = (await its.run(Plans())).failure
    assert isinstance(failure, RejectedError)
    assert failure.hint == "This many rejections point to the server or the settings, not to the items."


def gathered(*numbers: int, fresh: Sequence[int]) -> tuple[Gathered, SmallSource]:
    """Return what was read, with the source that it came from."""
    source = SmallSource(World(items={number: Item() for number in numbers}))
    found = Gathered()
    found.add([source.record(number) for number in numbers], [source.record(number) for number in fresh])
    return found, source


def fitting(monkeypatch: pytest.MonkeyPatch, source: SmallSource, count: int) -> None:
    """Let so many items share a request."""
    monkeypatch.setattr(source, "count_fitting", lambda records: min(count, len(records)))


def test_a_portion_waits_for_more_until_a_request_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    found, source = gathered(1, 2, 3, fresh=[2, 3])
    fitting(monkeypatch, source, 0)
    assert found.portion(source, after=3, last=False) is None
    whole = found.portion(source, after=3, last=True)
    assert whole is not None
    assert (whole.items, len(whole.fresh), whole.after, whole.last) == ((1, 2, 3), 2, 3, True)
    assert found.portion(source, after=3, last=True) is None


def test_a_portion_ends_at_the_last_item_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    found, source = gathered(1, 2, 3, 4, fresh=[2, 4])
    fitting(monkeypatch, source, 1)
    first = found.portion(source, after=4, last=True)
    assert first is not None
    assert (first.items, [each.object_id for each in first.fresh], first.after, first.last) == ((1, 2), [2], 2, False)
    second = found.portion(source, after=4, last=True)
    assert second is not None
    assert (second.items, [each.object_id for each in second.fresh], second.after, second.last) == (
        (3, 4),
        [4],
        4,
        True,
    )


def test_too_many_items_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapper, "MOST_GATHERED", 2)
    found, source = gathered(1, 2, fresh=[1, 2])
    fitting(monkeypatch, source, 0)
    portion = found.portion(source, after=2, last=False)
    assert portion is not None
    assert (portion.items, portion.last) == ((1, 2), False)


def test_items_without_news_do_not_wait_and_no_source_is_asked_about_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found, source = gathered(1, 2, fresh=[])
    monkeypatch.setattr(source, "count_fitting", None)
    portion = found.portion(source, after=2, last=False)
    assert portion is not None
    assert (portion.items, list(portion.fresh), portion.after) == ((1, 2), [], 2)


def test_nothing_read_is_no_portion_unless_the_walk_has_ended() -> None:
    found, source = gathered(fresh=[])
    assert found.portion(source, after=5, last=False) is None
    end = found.portion(source, after=5, last=True)
    assert end is not None
    assert (end.items, end.after, end.last) == ((), 5, True)


async def test_the_error_of_a_nested_group_is_found() -> None:
    error = UnavailableError("inner")
    nested: Any = BaseExceptionGroup("outer", [BaseExceptionGroup("middle", [error])])
    assert engine._first(nested) is error


class CountingSource(SmallSource):
    """Knows how many items each project has, or fails to."""

    counted: tuple[str, ...] = ()
    failure: RallyAccelerateError | None = None
    #: Whether the first walks fail before any other one can begin.
    breaks: bool = False

    async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        """Let all walks come as far as they can before the first page."""
        for _ in range(20 if self.breaks else 0):
            await asyncio.sleep(0)
        if self.breaks:
            raise UnavailableError("maintenance")
        async for page in super().read_changes(scope, walk):
            yield page

    async def count(self, scope: Scope, kind: str, *, since: datetime | None = None) -> int:
        """Count the items of the given projects."""
        assert kind == KIND
        self.counted += tuple(project.name for project in scope.projects)
        if self.failure is not None:
            raise self.failure
        return 50


@pytest.mark.parametrize("failure", [None, UnavailableError("maintenance")])
async def test_walks_that_wait_are_counted_in_a_first_sync_alone(failure: RallyAccelerateError | None) -> None:
    world = World(items={number: Item(project=number) for number in range(1, 5)})
    source, state, told = CountingSource(world, projects=4), SmallState(world), list[Tally]()
    source.failure = failure

    async def run() -> SyncReport:
        its = SmallSink(world)
        return await engine.sync_once(source, its, state, RULES, lambda: world.now, watch=told.append)

    assert (await run()).tally.uploaded == 4
    # Three walks are read side by side; the fourth one waits for them.
    assert source.counted == ("P4",)
    assert (max(tally.expected for tally in told) >= 50) is (failure is None)
    assert (told[-1].uncounted, told[-1].expected) == (0, 4)
    await run()
    assert source.counted == ("P4",)


def waiting_walks(world: World, **more: Any) -> SmallState:
    """Return a state in which three walks of single projects are to be resumed, so that any other one waits."""
    state = SmallState(world)
    scope = Scope(workspace=Workspace(object_id=9, name="W"), projects=(), kinds=(KIND,), query="", now=world.now)
    state.progress = Progress(
        scope=scope.signature,
        rules_version=RULES.version,
        unfinished=tuple(Walk(kind=KIND, projects=(number,), started_at=at(0), after=1) for number in (1, 2, 3)),
        **more,
    )
    return state


@pytest.mark.parametrize(
    "more",
    [
        {"owed": frozenset({(KIND, 9)}), "cursors": {Lane(KIND, 4): at(0)}},
        {"cursors": {Lane(KIND, 4): at(0)}},
        {"since": at(0)},
    ],
    ids=["owed", "changes", "from a date on"],
)
async def test_only_walks_over_everything_are_counted(more: dict[str, Any]) -> None:
    world = World(items={number: Item(project=1 + number % 4) for number in range(1, 9)}, moment=9)
    source, state = CountingSource(world, projects=4), waiting_walks(world, **more)
    report = await engine.sync_once(
        source, SmallSink(world), state, RULES, lambda: world.now, plans=Plans(since=more.get("since"))
    )
    assert report.failure is None
    assert source.counted == ()
    assert report.tally.uncounted == 0
    # A walk that waits and never begins is not counted either.
    source.breaks, state = True, waiting_walks(world, **more)
    report = await engine.sync_once(
        source, SmallSink(world), state, RULES, lambda: world.now, plans=Plans(since=more.get("since"))
    )
    assert (report.tally.expected, source.counted) == (0, ())


async def test_a_walk_that_cannot_be_counted_is_not_counted() -> None:
    world = World(items={number: Item(project=number) for number in range(1, 5)})
    source = CountingSource(world, projects=4)
    source.breaks, source.failure = True, UnavailableError("maintenance")
    report = await engine.sync_once(source, SmallSink(world), SmallState(world), RULES, lambda: world.now)
    assert (report.tally.expected, report.tally.uncounted, source.counted) == (0, 4, ("P4",))


async def test_a_walk_that_is_resumed_is_not_counted() -> None:
    world = World(items={number: Item(project=1 + number % 4) for number in range(1, 9)}, moment=9)
    source, state = CountingSource(world, projects=4), waiting_walks(world)
    fourth = Walk(kind=KIND, projects=(4,), started_at=at(0), after=1)
    state.progress = replace(state.progress, unfinished=(*state.progress.unfinished, fourth))
    report = await engine.sync_once(source, SmallSink(world), state, RULES, lambda: world.now)
    assert (report.failure, source.counted) == (None, ())


@pytest.mark.parametrize(("refused", "fails"), [(2, False), (3, True)])
async def test_the_most_that_may_be_refused_may_be_refused(
    monkeypatch: pytest.MonkeyPatch, refused: int, fails: bool
) -> None:
    monkeypatch.setattr(engine, "MOST_REFUSED", 2)
    world = World(items={number: Item() for number in range(1, refused + 1)})
    report = await engine.sync_once(
        SmallSource(world), RefusingSink(world), SmallState(world), RULES, lambda: world.now
    )
    assert (report.failure is not None, report.tally.skipped) == (fails, refused)
    if report.failure is not None:
        assert str(report.failure) == "Accelerate rejected more than 2 items; the last one, US3: no"


async def test_an_item_that_is_refused_again_stays_owed_when_another_one_has_gone() -> None:
    world = World(items={number: Item() for number in range(1, 5)})
    source, state = SmallSource(world), SmallState(world)

    async def run(sink: SmallSink) -> set[int]:
        await engine.sync_once(source, sink, state, RULES, lambda: world.now, overlap=timedelta(0))
        world.moment += 1000
        return {item for _, item in state.progress.owed}

    assert await run(RefusingSink(world)) == {1, 2, 3, 4}
    world.delete(2)
    # Each comes on a page of its own, and the last page is empty.
    assert await run(PickySink(world, {"1", "4"})) == {1, 4}
    assert await run(SmallSink(world)) == set()


async def test_what_is_owed_is_settled_by_a_page_that_is_the_last_one_too() -> None:
    class Source(SmallSource):
        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            """Put everything on one page."""
            records = [record async for page in super().read_changes(scope, walk) for record in page.records]
            after = max((record.object_id for record in records), default=walk.after)
            yield Page(records=tuple(records), after=after, last=True, remaining=len(records))

    world = World(items={number: Item() for number in range(1, 4)})
    source, state = Source(world), SmallState(world)
    for sink, owed in ((RefusingSink(world), {1, 2, 3}), (PickySink(world, {"3"}), {3}), (SmallSink(world), set())):
        await engine.sync_once(source, sink, state, RULES, lambda: world.now, overlap=timedelta(0))
        assert {item for _, item in state.progress.owed} == owed
        world.moment += 1000
