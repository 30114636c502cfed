"""What a sprint began with, gained, lost and handed on can be computed from the uploaded issues alone."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from rally_sandbox.clock import Clock
from rally_sandbox.records import Record
from rally_sandbox.server import serve
from rally_sandbox.world import World
from support.first_sync import run_first_sync

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DONE = frozenset({"Accepted", "Released"})

#: When an item came into a sprint and when it left; None for the beginning and for now.
Stay = tuple[str, int | None, int | None]


class Facts(NamedTuple):
    """A sprint's items by what became of them."""

    at_start: frozenset[str]
    added: frozenset[str]
    removed: frozenset[str]
    carried_over: frozenset[str]


class Life(NamedTuple):
    """One item: its sprints by id, and when it was done."""

    key: str
    created: int
    stays: list[Stay]
    #: When it took a status, and which; the first one since its creation.
    statuses: list[tuple[int, str]]


def facts(lives: Iterable[Life], sprint: str, start: int, end: int) -> Facts:
    """Compute the facts of a sprint, from its first instant to its last one."""
    found: dict[str, set[str]] = {name: set() for name in Facts._fields}
    for life in lives:
        for _, came, left in (stay for stay in life.stays if stay[0] == sprint):
            since, until = came if came is not None else life.created, left if left is not None else end + 1
            if since <= start < until:
                found["at_start"].add(life.key)
            if start < since <= end:
                found["added"].add(life.key)
            if start < until <= end:
                found["removed"].add(life.key)
            done = [status for at, status in life.statuses if at <= end][-1:]
            later = any(each != sprint and since is not None and since >= until for each, since, _ in life.stays)
            if since <= end < until and not DONE.intersection(done) and later:
                found["carried_over"].add(life.key)
    return Facts(**{name: frozenset(keys) for name, keys in found.items()})


def uploaded(issue: Mapping[str, Any]) -> Life:
    """One item as its upload tells it."""
    changes = [(int(each["at"]), each["from"], each["to"]) for each in issue["rawIssue"].get("IterationChanges", ())]
    present = [each["id"] for each in issue["sprints"]]
    statuses = [
        (int(each["timestamp"]), each["content"]["to"])
        for each in issue["history"]
        if each["content"]["field"] == "status"
    ]
    first = changes[0][1] if changes else (present[-1] if present else "")
    return Life(issue["id"], int(issue["created"]), list(stays(first, changes)), statuses)


def happened(row: Mapping[str, Any]) -> Life:
    """One item as the simulator knows it."""
    sets = [(ms(change["at"]), *each) for change in row["changes"] for each in change["sets"]]
    its = {
        name: [(at, old, new) for at, field, old, new in sets if field == name]
        for name in ("Iteration", "ScheduleState")
    }
    first = key(row["initial"].get("Iteration"))
    changes = [(at, key(old), key(new)) for at, old, new in its["Iteration"]]
    statuses = [(at, new) for at, _, new in its["ScheduleState"]]
    return Life(row["formatted_id"], ms(row["created"]), list(stays(first, changes)), statuses)


def stays(first: str, changes: Iterable[tuple[int, str, str]]) -> Iterator[Stay]:
    now, since = first, None
    for at, left, came in changes:
        assert left == now
        if now:
            yield now, since, at
        now, since = came, at
    if now:
        yield now, since, None


def key(value: Any) -> str:
    return str(value["object_id"]) if value else ""


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def planned(world: World) -> tuple[Record, set[int]]:
    """A sprint with everything that can become of its items; the sprint and the items."""
    team, other = world.company.teams[:2]
    sprint, following = [each for each in team.sprints if each.values["StartDate"] > world.company.history_end][:2]
    twin = next(each for each in other.sprints if each.name == sprint.name)

    def story(**values: object) -> int:
        return world.create_item("story", team.project, **values).object_id

    def later(days: float) -> None:
        world.clock.advance(timedelta(days=days))

    def until(moment: int) -> None:
        world.clock.advance(timedelta(milliseconds=moment - world.clock.milliseconds()))

    stays_in, leaves, carried, moves, idle, returns, done_late = (story(Iteration=sprint) for _ in range(7))
    early_leaver, comes, guest, born_done = (story() for _ in range(4))
    elsewhere = world.create_item("story", other.project, Iteration=twin).object_id
    later(0.1)
    world.edit(early_leaver, {"Iteration": sprint})
    later(0.1)
    world.edit(early_leaver, {"Iteration": following})
    until(sprint.values["StartDate"])
    later(1)
    world.edit(stays_in, {"ScheduleState": "Accepted"})
    world.edit(leaves, {"Iteration": None})
    world.edit(comes, {"Iteration": sprint})
    world.edit(guest, {"Iteration": sprint})
    born = story(Iteration=sprint)
    world.edit(born_done, {"Iteration": sprint, "ScheduleState": "Accepted"})
    world.edit(moves, {"Project": other.project})
    later(1)
    world.edit(moves, {"Iteration": twin})
    world.edit(guest, {"Iteration": following})
    world.edit(returns, {"Iteration": following})
    later(1)
    world.edit(returns, {"Iteration": sprint})
    until(sprint.values["EndDate"])
    later(0.5)
    for each in (carried, born, stays_in, done_late):
        world.edit(each, {"Iteration": following})
    world.edit(done_late, {"ScheduleState": "Accepted"})
    later(0.1)
    items = {
        stays_in,
        leaves,
        carried,
        moves,
        idle,
        returns,
        done_late,
        early_leaver,
        comes,
        guest,
        born_done,
        elsewhere,
        born,
    }
    return sprint, items


@pytest.mark.parametrize(
    ("source", "renamed"), [("lookback", False), ("lookback", True), ("revisions", False), ("revisions", True)]
)
def test_the_facts_of_a_sprint_follow_from_what_is_uploaded(source: str, renamed: bool) -> None:
    world = World.create(4, 30, clock=Clock.frozen(BEGIN))
    sprint, items = planned(world)
    if renamed:
        world.rename("Iteration", sprint, "Another name")
        world.clock.advance(timedelta(hours=1))
    rows = [row for row in world.items("story") if row["object_id"] in items]
    with serve(world) as rally:
        _, issues = asyncio.run(run_first_sync(rally.url, historySource=source))
    its_id = str(sprint.object_id)
    ((start, end),) = {
        (int(each["startTime"]), int(each["endTime"]))
        for issue in issues.values()
        for each in issue["sprints"]
        if each["id"] == its_id
    }
    found = facts(map(uploaded, (issues[str(each)] for each in items)), its_id, start, end)
    assert found == facts(map(happened, rows), its_id, sprint.values["StartDate"], sprint.values["EndDate"])
    assert [len(each) for each in found] == [7, 5, 4, 3]


def changes_of(world: World, its: int) -> list[dict[str, str | None]]:
    """The changes of one item's sprint as revisions alone tell them, without the instants."""
    world.clock.advance(timedelta(hours=1))
    with serve(world) as rally:
        _, issues = asyncio.run(run_first_sync(rally.url, historySource="revisions"))
    changes = issues[str(its)]["rawIssue"]["IterationChanges"]
    return [{name: each[name] for name in ("from", "to")} for each in changes]


def test_a_renamed_sprint_is_known_by_the_name_of_the_day() -> None:
    world = World.create(4, 30, clock=Clock.frozen(BEGIN))
    team = world.company.teams[0]
    first, second = team.sprints[:2]
    name = first.name
    its = world.create_item("story", team.project, Iteration=first).object_id
    world.clock.advance(timedelta(hours=1))
    world.edit(its, {"Iteration": None})
    world.clock.advance(timedelta(hours=1))
    world.rename("Iteration", first, "Another name")
    # Another sprint has its name now, and that is the one which the item comes into.
    world.rename("Iteration", second, name)
    world.clock.advance(timedelta(hours=1))
    world.edit(its, {"Iteration": second})
    ids = str(first.object_id), str(second.object_id)
    assert changes_of(world, its) == [{"from": ids[0], "to": ""}, {"from": "", "to": ids[1]}]


def test_a_sprint_whose_id_is_not_known_is_told_from_none() -> None:
    world = World.create(4, 30, clock=Clock.frozen(BEGIN))
    team = world.company.teams[0]
    first, second = team.sprints[:2]
    its = world.create_item("story", team.project, Iteration=first).object_id
    # Two sprints of one name: nothing tells which of them is meant.
    world.rename("Iteration", second, first.name)
    world.clock.advance(timedelta(hours=1))
    world.edit(its, {"Iteration": None})
    world.clock.advance(timedelta(hours=1))
    for each, name in ((first, "Another name"), (second, "Some other name")):
        world.rename("Iteration", each, name)
    assert changes_of(world, its) == [{"from": None, "to": ""}]
