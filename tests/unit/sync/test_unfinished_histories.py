"""Issues whose history the source had not finished: sent at once, and again when it is, however they are read."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Walk, Window
from rally_accelerate.model.report import Acknowledgement, SyncReport
from rally_accelerate.rally.records import FieldChange, HistorySource, ItemHistory, Page, Record, Scope, WorkItem
from rally_accelerate.sync import engine
from support.small_world import KIND, Item, SmallSink, SmallSource, SmallState, World

RULES = Rules(web_url="https://rally.example")

COMPLETE = ItemHistory(source=HistorySource.LOOKBACK)
AWAITED = ItemHistory(source=HistorySource.LOOKBACK, up_to_date=False)
HIDDEN = ItemHistory(source=HistorySource.LOOKBACK, whole=False)
MISFIT = ItemHistory(source=HistorySource.LOOKBACK, changes=(FieldChange(1, "A", "Name", "", "Z"),))
NONE = ItemHistory()


class PastSourceOf(SmallSource):
    """Gives each item the past that a test says; what is not said is complete."""

    def __init__(self, world: World, pasts: dict[int, ItemHistory], *, projects: int = 0) -> None:
        super().__init__(world, projects=projects)
        self.pasts = pasts
        self.walks: list[Walk] = []

    async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        self.walks.append(walk)
        async for page in super().read_changes(scope, walk):
            yield page

    async def history(self, scope: Scope, records: Sequence[Record]) -> list[WorkItem]:
        return [WorkItem(record=each, past=self.pasts.get(each.object_id, COMPLETE)) for each in records]


class Setup:
    """Some items, one of them with a history that is behind, if nothing else is said."""

    def __init__(self, *, items: int = 3, projects: int = 0, pasts: dict[int, ItemHistory] | None = None) -> None:
        self.world = World(items={key: Item() for key in range(1, items + 1)})
        self.pasts = {2: AWAITED} if pasts is None else pasts
        self.source = PastSourceOf(self.world, self.pasts, projects=projects)
        self.sink, self.state = SmallSink(self.world), SmallState(self.world)

    @property
    def owed(self) -> set[int]:
        """The items that the next run asks for by their ids."""
        assert {kind for kind, _ in self.state.progress.owed} <= {KIND}
        return {item for _, item in self.state.progress.owed}

    async def run(self, *, overlap: timedelta = timedelta(0), plans: engine.Plans | None = None) -> SyncReport:
        """Run once and let some time pass, so that windows do not reach back to what was read."""
        self.sink.uploads = 0
        report = await engine.sync_once(
            self.source, self.sink, self.state, RULES, lambda: self.world.now, overlap=overlap, plans=plans
        )
        assert report.failure is None
        self.world.moment += 86_400
        return report


async def test_an_issue_is_sent_at_once_and_owed_until_its_history_is_told() -> None:
    its = Setup()
    first = await its.run()
    assert set(its.sink.stored) == {"1", "2", "3"}
    assert (first.tally.uploaded, first.tally.awaited, its.owed) == (3, 1, {2})
    # As long as it is not told, each run asks, and sends what there is.
    second = await its.run()
    assert (second.tally.uploaded, second.tally.awaited, its.owed) == (1, 1, {2})
    its.pasts.clear()
    third = await its.run()
    assert (third.tally.uploaded, third.tally.awaited, third.tally.complete) == (1, 0, 1)
    assert its.owed == set()
    assert (await its.run()).tally.uploaded == 0


async def test_a_finished_issue_is_no_news_and_an_unfinished_one_is() -> None:
    its = Setup()
    await its.run()
    versions = {key: sent.rules_version for key, sent in its.state.ledger.items()}
    assert versions == {"1": RULES.version, "2": f"{RULES.version}{engine.HISTORY_DUE}", "3": RULES.version}
    its.pasts.clear()
    await its.run()
    assert {sent.rules_version for sent in its.state.ledger.values()} == {RULES.version}


async def test_an_issue_that_is_read_by_its_id_and_as_a_change_is_sent_once() -> None:
    its = Setup()
    await its.run()
    week = timedelta(days=7)
    again = await its.run(overlap=week)
    assert (its.sink.uploads, again.tally.uploaded, again.tally.awaited) == (1, 1, 1)
    assert its.owed == {2}
    # A newer revision is another matter.
    its.world.edit(2)
    assert (await its.run(overlap=week)).tally.uploaded == 1
    assert its.owed == {2}


async def test_an_issue_that_is_sent_again_with_everything_stays_owed() -> None:
    its = Setup()
    await its.run()
    report = await its.run(plans=engine.Plans(again=Window()))
    assert report.tally.uploaded == 3
    assert its.owed == {2}


async def test_the_last_one_of_several_does_not_settle_the_others() -> None:
    its = Setup(items=5, pasts=dict.fromkeys((1, 3, 4), AWAITED))
    await its.run()
    assert its.owed == {1, 3, 4}
    del its.pasts[3]
    report = await its.run()
    assert (report.tally.uploaded, report.tally.awaited) == (3, 2)
    assert its.owed == {1, 4}


async def test_what_is_owed_and_not_sent_is_not_taken_for_sent() -> None:
    class Sink(SmallSink):
        async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
            """Take all but one of the issues, and say nothing about it."""
            async for receipt in super().deliver([issue for issue in issues if issue.external_id != "2"]):
                yield receipt

    its = Setup()
    its.sink = Sink(its.world)
    report = await its.run()
    assert (report.tally.awaited, set(its.state.ledger)) == (0, {"1", "3"})


# What is told about histories

ONE_OF_EACH = {1: COMPLETE, 2: AWAITED, 3: HIDDEN, 4: MISFIT, 5: NONE, 6: COMPLETE}


async def test_histories_are_counted_by_what_is_known_of_them() -> None:
    its = Setup(items=6, pasts=ONE_OF_EACH)
    tally = (await its.run()).tally
    assert (tally.complete, tally.incomplete, tally.awaited, tally.unverifiable) == (2, 3, 1, 1)
    again = (await its.run()).tally
    assert (again.complete, again.incomplete, again.awaited, again.unverifiable) == (0, 1, 1, 0)


@pytest.mark.parametrize("projects", [0, 2])
async def test_incomplete_histories_are_counted_in_their_projects(projects: int) -> None:
    its = Setup(items=6, projects=projects, pasts=dict(ONE_OF_EACH))
    for key in (3, 6):
        its.world.items[key].project = 2
    report = await its.run()
    found = {each.name: (each.read, each.uploaded, each.unchanged, each.incomplete) for each in report.projects}
    assert found == {"P1": (4, 4, 0, 2), "P2": (2, 2, 0, 1)}
    quiet = await its.run(overlap=timedelta(days=7))
    found = {each.name: (each.read, each.uploaded, each.unchanged, each.incomplete) for each in quiet.projects}
    # The one that is awaited is read by its id as well, and sent once.
    assert found == {"P1": (5, 1, 4, 1), "P2": (2, 0, 2, 0)}
    assert (quiet.tally.read, quiet.tally.uploaded, quiet.tally.unchanged) == (7, 1, 6)
