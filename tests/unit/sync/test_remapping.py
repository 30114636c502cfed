"""Changed rules map again what is kept, whatever happens meanwhile, and ask Rally only for what is not."""

import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from rally_accelerate.errors import StoreError, UnavailableError
from rally_accelerate.mapping.issue import map_work_item
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import REMOVED_MARK, Sent, Walk
from rally_accelerate.model.report import Skipped, SyncReport
from rally_accelerate.rally.records import Page, Record, Scope, WorkItem
from rally_accelerate.sync import engine
from support.small_world import KIND, Crash, Item, SmallSink, SmallSource, SmallState, World

OLD = Rules(web_url="https://rally.example", type_names={"Story": "Old"})
NEW = replace(OLD, type_names={"Story": "New"})
MORE = replace(OLD, history_source="revisions")

#: While the second run, which maps what is kept, goes on.
MOMENTS = range(22, 46)


class SmallOriginals:
    """What is kept outlives the process; it may die before and after."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.items: dict[int, WorkItem] = {}

    async def keep(self, items: Sequence[WorkItem]) -> None:
        """Remember the items."""
        self.world.tick()
        self.items.update({item.record.object_id: item for item in items})
        self.world.tick()

    async def read_all(self) -> AsyncIterator[Sequence[WorkItem]]:
        """One item at a time, with moments between them."""
        for key in sorted(self.items):
            self.world.tick()
            yield [self.items[key]]


class AskedSource(SmallSource):
    """Remembers what it was asked for."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.asked: list[int] = []
        self.walks: list[Walk] = []

    async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        """Note the walk."""
        self.walks.append(walk)
        async for page in super().read_changes(scope, walk):
            yield page

    async def history(self, scope: Scope, records: Sequence[Record]) -> list[WorkItem]:
        """The records that somebody wanted."""
        self.asked += [record.object_id for record in records]
        return await super().history(scope, records)


class Setup:
    """One integration with everything that outlives its processes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.source, self.sink, self.state = AskedSource(world), SmallSink(world), SmallState(world)
        self.originals = SmallOriginals(world)
        self.report: SyncReport | None = None

    async def run(self, rules: Rules) -> tuple[str, ...]:
        report = await engine.sync_once(
            self.source,
            self.sink,
            self.state,
            rules,
            lambda: self.world.now,
            overlap=timedelta(0),
            originals=self.originals,
        )
        self.report = report
        if report.failure:
            raise report.failure
        return report.notices

    def held(self) -> Mapping[str, tuple[str, str]]:
        return {key: (issue.type, issue.name) for key, issue in self.sink.stored.items()}


async def test_other_rules_are_applied_to_what_is_kept_without_asking_for_it() -> None:
    its = Setup(World())
    await its.run(OLD)
    its.source.asked.clear()
    notices = await its.run(NEW)
    assert its.held() == {"1": ("New", "A"), "2": ("New", "A")}
    assert its.source.asked == []
    assert notices == ("The rules have changed: 2 items were mapped again from what is kept here.",)
    # What changes is read on as if nothing had happened.
    assert [(walk.only, walk.after, walk.window.since is None) for walk in its.source.walks[1:]] == [((), 0, False)]
    assert (its.state.progress.rules_version, its.state.progress.unfinished) == (NEW.version, ())
    assert its.state.progress.read_with == NEW.needed_data
    uploads = its.sink.uploads
    await its.run(NEW)
    assert its.sink.uploads == uploads


async def test_rules_that_need_more_than_was_read_ask_for_everything() -> None:
    its = Setup(World())
    await its.run(OLD)
    its.source.asked.clear()
    await its.run(MORE)
    assert its.source.asked == [1, 2]


async def test_what_is_not_kept_is_asked_for() -> None:
    its = Setup(World())
    await its.run(OLD)
    its.source.asked.clear()
    del its.originals.items[2]
    await its.run(NEW)
    assert its.held() == {"1": ("New", "A"), "2": ("New", "A")}
    assert its.source.asked == [2]


async def test_what_is_gone_keeps_its_last_status() -> None:
    its = Setup(World())
    await its.run(OLD)
    sent = its.state.ledger["1"]
    its.state.ledger["1"] = Sent(sent.revision, f"{sent.rules_version}{REMOVED_MARK}")
    its.world.delete(1)
    its.sink.stored["1"] = replace(its.sink.stored["1"], status="Deleted")
    await its.run(NEW)
    assert its.held() == {"1": ("Old", "A"), "2": ("New", "A")}
    assert its.sink.stored["1"].status == "Deleted"


async def faults(changes: Sequence[Callable[[World], None]]) -> list[str]:
    """Every moment of a change, with every moment of a crash: what is wrong at the end."""
    found = []
    for when, crash_at in itertools.product(MOMENTS, [None, *MOMENTS]):
        its = Setup(World(script={when: changes}, crash_at=crash_at))
        for rules in (OLD, NEW, NEW, NEW, NEW):
            done = False
            while not done:
                done = True
                try:
                    await its.run(rules)
                except* Crash:
                    done = False
        expected = {str(key): ("New", item.name) for key, item in its.world.items.items()}
        held = {key: value for key, value in its.held().items() if key in expected}
        if held != expected:
            found.append(f"change at {when}, crash at {crash_at}: {held}")
    return found


@pytest.mark.parametrize("change", [partial(World.edit, key=1), partial(World.create, key=3)])
async def test_no_change_and_no_crash_while_rules_change_loses_anything(change: Callable[[World], None]) -> None:
    assert await faults([change]) == []


async def test_a_progress_that_moves_before_everything_is_mapped_would_be_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing_remains(*_: object) -> bool:
        return False

    async def first_only(*given: object) -> AsyncIterator[Sequence[WorkItem]]:
        async for items in outdated(*given):  # type: ignore[arg-type]
            yield items
            return

    outdated = engine.read_outdated
    monkeypatch.setattr(engine, "has_outdated_issues", nothing_remains)
    monkeypatch.setattr(engine, "read_outdated", first_only)
    assert await faults([partial(World.edit, key=1)])


async def test_an_item_that_is_owed_stays_owed() -> None:
    its = Setup(World())
    await its.run(OLD)
    its.state.progress = replace(its.state.progress, owed=frozenset({(KIND, 1)}))
    its.world.edit(1)
    await its.run(NEW)
    assert its.held()["1"] == ("New", "B")
    assert its.state.progress.owed == frozenset()


async def test_what_is_kept_does_not_settle_what_is_owed() -> None:
    its = Setup(World())
    await its.run(OLD)
    its.state.progress = replace(its.state.progress, owed=frozenset({(KIND, 1)}))
    await its.run(NEW)
    assert [walk.only for walk in its.source.walks[1:]] == [(), (1,)]


async def test_a_kept_item_that_cannot_be_mapped_is_owed_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprised(item: WorkItem, rules: Rules, **more: Any) -> Issue | Skipped:
        if rules == NEW and item.record.kind == "defect":
            raise KeyError("a surprise")
        return map_work_item(item, rules, **more)

    class TogetherOriginals(SmallOriginals):
        async def read_all(self) -> AsyncIterator[Sequence[WorkItem]]:
            """Everything at once, in the order in which it was kept."""
            yield list(self.items.values())

    its = Setup(World(items={key: Item() for key in range(1, 5)}))
    its.originals = TogetherOriginals(its.world)
    await its.run(OLD)
    for key in (2, 4):
        its.originals.items[key] = replace(
            its.originals.items[key], record=replace(its.originals.items[key].record, kind="defect")
        )
    its.source.asked.clear()
    monkeypatch.setattr("rally_accelerate.mapping.issue.map_work_item", surprised)
    before = its.source.walks[:]
    notices = await its.run(NEW)
    assert notices == ("The rules have changed: 4 items were mapped again from what is kept here.",)
    assert {key for key, (kind, _) in its.held().items() if kind == "New"} == {"1", "3"}
    assert its.report is not None
    assert {skip.key for skip in its.report.skipped} == {"US2", "US4"}
    # They are not of a kind that is read, so they are owed no longer; the others need nothing.
    assert its.source.asked == []
    assert {walk.kind for walk in its.source.walks[len(before) :]} == {KIND}


async def test_what_is_kept_and_cannot_be_read_stops_the_run_before_anything_is_asked() -> None:
    class BrokenOriginals(SmallOriginals):
        async def read_all(self) -> AsyncIterator[Sequence[WorkItem]]:
            """The first item, and then a fault of the disk."""
            yield [self.items[1]]
            raise StoreError("the database cannot be read")

    its = Setup(World())
    await its.run(OLD)
    items, its.originals = its.originals.items, BrokenOriginals(its.world)
    its.originals.items.update(items)
    walks = len(its.source.walks)
    with pytest.raises(StoreError):
        await its.run(NEW)
    assert its.held() == {"1": ("New", "A"), "2": ("Old", "A")}
    assert (len(its.source.walks), its.state.progress.rules_version) == (walks, OLD.version)


async def test_a_kept_item_that_cannot_be_mapped_is_read_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprised(item: WorkItem, rules: Rules, **more: Any) -> Issue | Skipped:
        if rules == NEW and item.record.object_id == 2:
            raise KeyError("a surprise")
        return map_work_item(item, rules, **more)

    its = Setup(World())
    await its.run(OLD)
    its.source.asked.clear()
    its.source.walks.clear()
    monkeypatch.setattr("rally_accelerate.mapping.issue.map_work_item", surprised)
    await its.run(NEW)
    assert [walk.only for walk in its.source.walks] == [(), (2,)]
    assert its.source.asked == [2]
    assert its.state.progress.owed == {(KIND, 2)}


async def test_rules_that_need_less_are_what_later_items_are_read_with() -> None:
    its = Setup(World())
    await its.run(OLD)
    its.state.progress = replace(its.state.progress, read_with=OLD.needed_data | {"more"})
    its.source.asked.clear()
    await its.run(NEW)
    assert its.source.asked == []
    # What is read from now on is not enough for what needs more.
    assert its.state.progress.read_with == NEW.needed_data


async def test_what_was_mapped_is_remembered_before_anything_is_asked() -> None:
    class Source(AskedSource):
        async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
            """Fail before the first page."""
            raise UnavailableError("maintenance")
            yield

    its = Setup(World())
    await its.run(OLD)
    cursors = its.state.progress.cursors
    its.source = Source(its.world)
    with pytest.raises(UnavailableError):
        await its.run(NEW)
    assert (its.state.progress.rules_version, its.state.progress.cursors) == (NEW.version, cursors)
