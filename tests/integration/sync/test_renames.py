"""Projects, tags, milestones and people that are renamed in Rally while no item changes: their issues follow."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rally_accelerate.sync.name_watch import EVERY
from rally_sandbox.clock import Clock
from rally_sandbox.server import serve
from rally_sandbox.world import World
from support.connector import Connector

BEGIN = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
NEW = "Renamed in spring"


@pytest.fixture
def world() -> World:
    """A company whose clock stands until it is moved."""
    return World.create(5, 400, clock=Clock.frozen(BEGIN))


Carries = Callable[[Mapping[str, Any], Any], bool]

#: For each kind of record: where its records are in the company, and whether an issue carries the one of this name.
KINDS: Mapping[str, tuple[Callable[[World], Any], Carries]] = {
    "Project": (lambda world: world.company.teams[1].project, lambda item, name: item["project"]["name"] == name),
    "Tag": (lambda world: world.company.tags[0], lambda item, name: name in item["labels"]),
    "Milestone": (
        lambda world: world.company.milestones[0],
        lambda item, name: name in item["rawIssue"].get("Milestones", ()),
    ),
    "User": (lambda world: world.company.users[3], lambda item, name: name in {item.get("owner"), item["creator"]}),
}


def settled(world: World, its: Connector) -> None:
    """Read everything, until nothing of it lies within the overlap."""
    its.run()
    for _ in range(2):
        world.clock.advance(timedelta(hours=2))
        assert its.run().tally.uploaded == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_renamed_arrives_in_exactly_the_items_that_carry_it(world: World, kind: str) -> None:
    choose, carries = KINDS[kind]
    record = choose(world)
    with serve(world) as rally:
        its = Connector(rally.url)
        settled(world, its)
        before = record.name
        own = {key for key, item in its.sent.items() if carries(item, before)}
        assert 0 < len(own) < len(its.sent)
        world.clock.advance(EVERY)
        world.rename(kind, record, NEW)
        report = its.run()
        assert (sorted(its.uploaded), report.tally.uploaded) == (sorted(own), len(own))
        assert {key for key, item in its.sent.items() if carries(item, NEW)} == own
        assert not [key for key, item in its.sent.items() if carries(item, before)]
        assert any(NEW in notice for notice in report.notices)
        world.clock.advance(EVERY)
        assert its.run().tally.uploaded == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_between_the_walks_is_continued(world: World, kind: str) -> None:
    choose, carries = KINDS[kind]
    record = choose(world)
    with serve(world) as rally:
        its = Connector(rally.url)
        settled(world, its)
        own = {key for key, item in its.sent.items() if carries(item, record.name)}
        world.clock.advance(EVERY)
        world.rename(kind, record, NEW)
        its.run_until_killed(uploads=1)
        first = set(its.uploaded)
        assert set() < first < own
        # Later than the overlap and without a further change: only what is remembered can bring the rest.
        world.clock.advance(timedelta(hours=2))
        its.run()
        assert set(its.uploaded) == own - first
        assert {key for key, item in its.sent.items() if carries(item, NEW)} == own
        world.clock.advance(EVERY)
        assert its.run().tally.uploaded == 0
        assert not its.state.progress.unfinished


def test_a_run_without_changes_reads_names_of_people_and_tags_now_and_then(world: World) -> None:
    with serve(world) as rally:
        its = Connector(rally.url)
        settled(world, its)
        asked = []
        for _ in range(4):
            world.clock.advance(EVERY / 3)
            rally.stats.reset()
            assert its.run().tally.uploaded == 0
            asked.append((rally.stats.requests["users"], rally.stats.requests["tag"], rally.stats.requests["project"]))
        assert asked == [(0, 0, 1), (0, 0, 1), (1, 1, 1), (0, 0, 1)]
