"""What is gone: decided exhaustively on small sets, and in whole runs with a crash at every moment."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from rally_accelerate.errors import UnavailableError
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.report import Outcome
from rally_accelerate.sync import removals
from rally_accelerate.sync.engine import Plans, sync_once
from rally_accelerate.sync.removals import Cap, Removal, Sighting, decide_removals
from support.small_world import EPOCH, Crash, Item, SmallSink, SmallSource, SmallState, World

RULES = Rules(web_url="https://rally.example")
#: Every run lists everything.
ALWAYS = Removal(every=timedelta(0))
T0, T1 = EPOCH, EPOCH + timedelta(minutes=5)

#: Where an item can stand: held or not, gone or not, looked for or not, seen or not, in the bin or not, suspected or not.
CASES = list(product((False, True), repeat=6))


@pytest.mark.parametrize(("held", "marked", "looked_for", "seen", "binned", "suspected"), CASES)
def test_every_case_of_one_item(
    *, held: bool, marked: bool, looked_for: bool, seen: bool, binned: bool, suspected: bool
) -> None:
    def only(here: bool) -> frozenset[int]:
        return frozenset({1} if here else ())

    held = held and not marked
    sighting = Sighting(
        uploaded=only(held),
        marked=only(marked),
        looked_for=only(looked_for),
        seen=only(seen and looked_for),
        binned=only(binned),
    )
    decision = decide_removals(sighting, {1: T0} if suspected else {}, now=T1)
    missed = held and looked_for and not seen
    assert decision.confirmed == only(missed and suspected)
    assert decision.returned == only(marked and looked_for and seen)
    named = held and not looked_for and (binned or suspected)
    assert decision.suspected.keys() == only((missed and not suspected) or named)


def test_two_runs_within_one_second_of_the_services_clock_are_two_observations() -> None:
    sighting = Sighting(uploaded={1}, marked=set(), looked_for={1}, seen=set(), binned={1})
    assert decide_removals(sighting, {1: T1}, now=T1).confirmed == {1}


@pytest.mark.parametrize(
    ("going", "held", "stops"), [(50, 60, False), (51, 60, True), (51, 1020, False), (52, 1020, True), (3, 3, False)]
)
def test_the_cap_stops_what_is_more_than_both(going: int, held: int, stops: bool) -> None:
    assert Cap().is_exceeded(going, total=held) is stops


class Company:
    """A small world with a connector that marks what is gone."""

    def __init__(self, *, items: int = 4, projects: int = 0) -> None:
        self.world = World(items={key: Item() for key in range(1, items + 1)})
        self.source = SmallSource(self.world, projects=projects)
        self.sink = SmallSink(self.world)
        self.state = SmallState(self.world)
        self.plans = Plans(removal=ALWAYS)
        self.overlap = timedelta(hours=1)

    async def run(self) -> Any:
        """One run."""
        return await sync_once(
            self.source,
            self.sink,
            self.state,
            RULES,
            lambda: self.world.now,
            overlap=self.overlap,
            plans=self.plans,
        )

    @property
    def statuses(self) -> dict[int, str]:
        """What Accelerate shows."""
        return {int(key): issue.status for key, issue in self.sink.stored.items()}


async def test_a_deleted_item_is_told_in_the_second_run_after() -> None:
    company = Company()
    await company.run()
    company.world.delete(2)
    first = await company.run()
    assert (first.tally.removed, company.statuses[2]) == (0, "None")
    second = await company.run()
    assert (second.tally.removed, company.statuses[2]) == (1, "Deleted")
    third = await company.run()
    assert (third.tally.removed, third.outcome) == (0, Outcome.COMPLETE)


async def test_a_restored_item_has_its_own_status_again() -> None:
    company = Company()
    await company.run()
    company.world.delete(2)
    await company.run()
    await company.run()
    assert company.statuses[2] == "Deleted"
    company.world.restore(2)
    await company.run()
    assert company.statuses[2] == "None"
    assert (await company.run()).tally.uploaded == 0


async def test_an_item_that_moves_out_and_back() -> None:
    company = Company(projects=1)
    await company.run()
    company.world.move(3)
    await company.run()
    report = await company.run()
    assert company.statuses[3] == "Moved out"
    assert any("are now in: P2" in notice for notice in report.notices)
    company.world.move(3)
    await company.run()
    assert company.statuses[3] == "None"


async def came_back_unchanged() -> str:
    """The last status of an item that was hidden for a while; no query by date tells of its return."""
    company = Company()
    company.overlap = timedelta(0)
    await company.run()
    hidden = company.world.items.pop(2)
    await company.run()
    await company.run()
    assert company.statuses[2] == "Moved out"
    company.world.items[2] = hidden
    await company.run()
    await company.run()
    return company.statuses[2]


async def test_an_item_that_comes_into_sight_unchanged_has_its_status_again() -> None:
    assert await came_back_unchanged() == "None"


async def test_too_many_at_once_are_withheld_until_somebody_approves() -> None:
    company = Company(items=60)
    await company.run()
    for key in range(1, 53):
        company.world.delete(key)
    await company.run()
    for _ in range(2):
        report = await company.run()
        assert (report.outcome, report.tally.removed, report.tally.withheld) == (Outcome.PARTIAL, 0, 52)
        assert any("--approve-removal" in notice for notice in report.notices)
    assert set(company.statuses.values()) == {"None"}
    company.plans = Plans(removal=replace(ALWAYS, approved=True))
    report = await company.run()
    assert (report.outcome, report.tally.removed) == (Outcome.COMPLETE, 52)


async def test_keep_leaves_everything_as_it_is() -> None:
    company = Company()
    company.plans = Plans(removal=replace(ALWAYS, statuses=None))
    await company.run()
    company.world.delete(2)
    for _ in range(3):
        assert (await company.run()).tally.removed == 0
    assert company.statuses[2] == "None"


async def test_a_listing_that_fails_removes_nothing_and_does_not_fail_the_run() -> None:
    class Failing(SmallSource):
        async def find_visible(self, scope: Any, ids: Any = None) -> set[int]:
            raise UnavailableError("the listing broke off")

    company = Company()
    await company.run()
    company.world.delete(2)
    await company.run()
    company.source = Failing(company.world)
    report = await company.run()
    assert report.outcome is Outcome.COMPLETE
    assert [notice for notice in report.notices if "the listing broke off" in notice] == list(report.notices)
    assert company.statuses[2] == "None"
    company.source = SmallSource(company.world)
    # It is not tried in every run, and told all the same.
    assert any("the listing broke off" in notice for notice in (await company.run()).notices)
    assert company.statuses[2] == "None"
    company.world.moment += 3600
    assert (await company.run()).notices == ()
    assert company.statuses[2] == "Deleted"


def nothing(_: World) -> None:
    """A quiet time."""


def happenings() -> Iterator[tuple[tuple[Callable[[World], None], ...], int]]:
    """Every sequence of three things that happen between runs, with a crash at every moment of the runs."""
    things: list[Callable[[World], None]] = [
        lambda world: world.delete(1),
        lambda world: world.restore(1),
        lambda world: world.move(2),
        lambda world: world.edit(2),
    ]
    for three in product(things, repeat=3):
        for crash in range(0, 64, 3):
            yield three, crash


async def outlived() -> bool:
    """Whether a gone item ends as gone, and every other with its own status, after everything that can happen."""
    for three, crash in happenings():
        company = Company(items=2, projects=1)
        company.world.crash_at = crash or None
        for happens in (*three, nothing, nothing, nothing, nothing):
            for _ in range(2):
                try:
                    await company.run()
                except* Crash:
                    # The next run is a new process.
                    pass
            happens(company.world)
        for _ in range(4):
            await company.run()
        for key in (1, 2):
            there = company.source.in_scope(key)
            status = company.statuses.get(key)
            if there and status != "None":
                return False
            if not there and status not in {None, "Deleted", "Moved out"}:
                return False
    return True


async def test_after_every_history_what_is_gone_is_marked_and_nothing_else() -> None:
    assert await outlived()


async def test_mutant_one_observation_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = removals.decide_removals

    def hasty(sighting: Sighting, suspected: Any, *, now: Any) -> Any:
        missed = (sighting.looked_for & sighting.uploaded) - sighting.seen
        return replace(honest(sighting, suspected, now=now), confirmed=frozenset(missed))

    class Blinking(SmallSource):
        """Its third listing is short: one item is missing from it, and there again in the next."""

        listings = 0

        async def find_visible(self, scope: Any, ids: Any = None) -> set[int]:
            self.listings += 1
            return await super().find_visible(scope, ids) - ({2} if self.listings == 3 else set())

    async def blinked() -> bool:
        company = Company()
        company.source = Blinking(company.world)
        marked = False
        for _ in range(6):
            await company.run()
            marked = marked or "Moved out" in company.statuses.values()
        return marked

    assert not await blinked()
    monkeypatch.setattr(removals, "decide_removals", hasty)
    assert await blinked()


async def test_mutant_that_does_not_look_for_what_came_back_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = removals.decide_removals

    def forgetful(sighting: Sighting, suspected: Any, *, now: Any) -> Any:
        return replace(honest(sighting, suspected, now=now), returned=frozenset())

    monkeypatch.setattr(removals, "decide_removals", forgetful)
    assert await came_back_unchanged() != "None"
