"""Nothing is lost and nothing is doubled: every small history, with every crash, and mutants that die of it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import Issue, SourceRevision
from rally_accelerate.model.progress import Progress, Walk
from rally_accelerate.model.report import Acknowledgement
from rally_accelerate.rally.records import Page, Record, Scope
from rally_accelerate.sync import engine, plan
from rally_accelerate.sync.mapper import Portion
from support.small_world import EPOCH, Crash, SmallSink, SmallSource, SmallState, World

RULES = Rules(web_url="https://rally.example")
NO_OVERLAP = timedelta(0)

#: How far histories of two changes reach: a first sync of two items passes 18 moments.
MOMENTS = 10

#: How far histories of one change reach: through the first sync and the two runs after it.
LONG = 30

Change = Callable[[World], None]
EDIT_1: Change = partial(World.edit, key=1)
EDIT_2: Change = partial(World.edit, key=2)
CREATE_3: Change = partial(World.create, key=3)
DELETE_1: Change = partial(World.delete, key=1)
MOVE_1: Change = partial(World.move, key=1)


class History:
    """One small history: what happens when, and when the process dies."""

    def __init__(self, changes: Sequence[tuple[int, Change]], crash_at: int | None) -> None:
        self.changes = changes
        self.crash_at = crash_at

    def __repr__(self) -> str:
        happenings = [f"{change.func.__name__}{change.keywords}@{moment}" for moment, change in self.changes]  # type: ignore[attr-defined]
        return f"{', '.join(happenings)}; crash at {self.crash_at}"

    def world(self, **more: Any) -> World:
        script: dict[int, list[Change]] = {}
        for moment, change in self.changes:
            script.setdefault(moment, []).append(change)
        return World(script=script, crash_at=self.crash_at, **more)


def histories(changes: Sequence[Change], *, most: int, moments: int = MOMENTS) -> Iterator[History]:
    """Every history of up to ``most`` changes at any moments, with no crash or one at any moment.

    Histories of one change reach through three runs; of two, which are many more, through the first ``moments``.
    """
    for count in range(most + 1):
        last = moments if count > 1 else LONG
        crashes = [None, *range(1, last + 1)]
        for chosen in itertools.product(changes, repeat=count):
            for when in itertools.combinations_with_replacement(range(1, last + 1), count):
                for crash_at in crashes:
                    yield History(list(zip(when, chosen, strict=True)), crash_at)


async def live_through(
    history: History,
    *,
    source_type: type[SmallSource] = SmallSource,
    sink_type: type[SmallSink] = SmallSink,
    projects: int = 0,
    overlap: timedelta = NO_OVERLAP,
    lag: int = 0,
) -> str:
    """Run until the world is quiet; return what is wrong then, or nothing.

    A run that dies is followed by another process with the same state. Two more runs follow the last change.
    """
    world = history.world(lag=lag)
    source, sink, state = source_type(world, projects=projects), sink_type(world), SmallState(world)

    async def run() -> None:
        report = await engine.sync_once(source, sink, state, RULES, lambda: world.now, overlap=overlap)
        if report.failure:
            raise report.failure

    quiet = 0
    while quiet < 2:
        done = world.moment > max([history.crash_at or 0, *(moment + lag for moment, _ in history.changes)])
        try:
            await run()
        except* Crash:
            done = False
        quiet = quiet + 1 if done else 0
    expected = {str(key): (item.name, item.version) for key, item in world.items.items()}
    held = {key: (issue.name, issue.revision.version) for key, issue in sink.stored.items() if key in expected}
    if held != expected:
        return f"{history}: expected {expected}, the sink holds {held}"
    uploads = sink.uploads
    await run()
    return f"{history}: an idle run uploaded" if sink.uploads > uploads and overlap == NO_OVERLAP else ""


async def first_fault(all_histories: Iterable[History], **how: Any) -> str:
    for history in all_histories:
        if fault := await live_through(history, **how):
            return fault
    return ""


async def test_no_history_of_two_changes_and_a_crash_loses_or_doubles_anything() -> None:
    assert await first_fault(histories([EDIT_1, EDIT_2, CREATE_3], most=2)) == ""


async def test_an_item_that_moves_between_projects_is_not_lost() -> None:
    assert await first_fault(histories([MOVE_1, EDIT_1], most=2, moments=12), projects=2) == ""


async def test_deletions_between_pages_lose_nothing_else() -> None:
    assert await first_fault(histories([DELETE_1, EDIT_2, CREATE_3], most=2, moments=8)) == ""


async def test_changes_that_become_visible_late_are_found_within_the_overlap() -> None:
    all_histories = histories([EDIT_1, EDIT_2], most=2, moments=10)
    assert await first_fault(all_histories, lag=4, overlap=timedelta(seconds=5)) == ""


# The mutants: each breaks one promise in the way somebody once wrote it, and the same histories must find it.


async def test_mutant_without_overlap_dies_of_late_visibility() -> None:
    assert await first_fault(histories([EDIT_1, EDIT_2], most=2, moments=10), lag=4, overlap=NO_OVERLAP)


async def test_mutant_cursor_at_the_end_of_the_run_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = plan.finish
    latest = EPOCH

    def finished(progress: Progress, walk: Walk) -> Progress:
        return honest(progress, replace(walk, started_at=max(latest, walk.started_at)))

    class Source(SmallSource):
        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            nonlocal latest
            async for page in super().read_changes(scope, walk):
                latest = self.world.now
                yield page
                # A cursor of "now" when the walk is over: what changed meanwhile lies before it.
                latest = self.world.now + timedelta(seconds=1)

    monkeypatch.setattr(plan, "finish", finished)
    assert await first_fault(histories([EDIT_1, EDIT_2], most=1), source_type=Source)


async def test_mutant_offset_paging_dies() -> None:
    class Source(SmallSource):
        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            start = 0
            while True:
                self.world.tick()
                keys = sorted(key for key in self.world.items if self.matches(key, walk))[start : start + 1]
                if not keys:
                    yield Page(records=(), after=walk.after, last=True, remaining=0)
                    return
                start += 1
                yield Page(records=(self.record(keys[0]),), after=walk.after, last=False, remaining=1)

    assert await first_fault(histories([DELETE_1, EDIT_2], most=1), source_type=Source)


async def test_mutant_receipt_before_delivery_dies() -> None:
    class Sink(SmallSink):
        async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
            for issue in issues:
                self.world.tick()
                yield Acknowledgement(delivered=(issue.external_id,))
                self.world.tick()
                self.stored[issue.external_id] = issue

    assert await first_fault(histories([EDIT_1], most=1), sink_type=Sink)


async def test_mutant_progress_before_delivery_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = engine._Run._prepare

    async def prepared(self: engine._Run, scope: Scope, walk: Walk, portion: Portion) -> Any:
        self.progress = plan.finish(self.progress, walk) if portion.last else self.progress
        await self.state.commit(self.progress, {})
        return await honest(self, scope, walk, portion)

    monkeypatch.setattr(engine._Run, "_prepare", prepared)
    assert await first_fault(histories([EDIT_1], most=1, moments=10))


async def test_mutant_ledger_by_content_dies() -> None:
    class Source(SmallSource):
        def record(self, key: int) -> Record:
            honest = super().record(key)
            content = SourceRevision(EPOCH, ord(self.world.items[key].name))
            return replace(honest, revision=content)

    async def fault(history: History) -> bool:
        world = history.world()
        source, sink, state = Source(world), SmallSink(world), SmallState(world)
        for _ in range(6):
            try:
                await engine.sync_once(source, sink, state, RULES, lambda: world.now, overlap=timedelta(hours=1))
            except* Crash:
                pass
        return {key: issue.name for key, issue in sink.stored.items()} != {
            str(key): item.name for key, item in world.items.items()
        }

    for history in histories([EDIT_1], most=2, moments=24):
        if await fault(history):
            return
    pytest.fail("no history tells the mutant from the engine")


async def test_mutant_without_new_rules_version_dies() -> None:
    """Rules are part of the ledger's key: an item under new rules is sent again."""
    world = World()
    source, sink, state = SmallSource(world), SmallSink(world), SmallState(world)
    await engine.sync_once(source, sink, state, RULES, lambda: world.now)
    renamed = replace(RULES, type_names={"Story": "User Story"})
    await engine.sync_once(source, sink, state, renamed, lambda: world.now)
    assert {issue.type for issue in sink.stored.values()} == {"User Story"}


async def test_one_deliverer_keeps_an_older_page_from_overwriting_a_newer_state() -> None:
    """Two walks of one run read one item at two revisions; whichever arrives last, the newer one stays."""
    world = World()
    old = SmallSource(world).record(1)
    world.edit(1)
    new = SmallSource(world).record(1)
    delivered = asyncio.Event()

    class Sink(SmallSink):
        async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
            async for receipt in super().deliver(issues):
                yield receipt
                delivered.set()

    class Source(SmallSource):
        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            # Project 1 answers last with what it saw first.
            if walk.projects == (1,):
                await delivered.wait()
                yield Page(records=(old,), after=1, last=True, remaining=1)
            else:
                yield Page(records=(new,), after=1, last=True, remaining=1)

    sink = Sink(world)
    await engine.sync_once(Source(world, projects=2), sink, SmallState(world), RULES, lambda: world.now)
    assert sink.stored["1"].revision == new.revision
