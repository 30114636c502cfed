"""Projects and people that are renamed while no item changes: their items are sent again, once, whatever kills the run."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from rally_accelerate.errors import AccessDeniedError, UnavailableError
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.model.progress import PEOPLE, PROJECTS, TAGS, NameWatch, Progress
from rally_accelerate.model.report import SyncReport
from rally_accelerate.rally.records import NamesPage, Record, Scope, Workspace
from rally_accelerate.sync import name_watch, plan
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.name_watch import EVERY
from rally_accelerate.sync.progress_json import progress_from_json, progress_to_json
from support.small_world import EPOCH, KIND, Crash, Item, SmallSink, SmallSource, SmallState, World

RULES = Rules(web_url="https://rally.example")
ANN, BOB, CAT = 11, 12, 13
LATER = round(EVERY.total_seconds())


class Team:
    """Two projects and some people, and a connector that sends their items."""

    def __init__(self) -> None:
        self.world = World(
            items={1: Item(owner=ANN), 2: Item(owner=BOB, project=2), 3: Item(owner=ANN, project=2), 4: Item()},
            people={ANN: "Ann", BOB: "Bob", CAT: "Cat"},
        )
        self.source, self.sink, self.state = SmallSource(self.world), SmallSink(self.world), SmallState(self.world)
        self.source = SmallSource(self.world, projects=2)
        self.rules = RULES

    async def run(self) -> SyncReport:
        """One run."""
        return await sync_once(
            self.source, self.sink, self.state, self.rules, lambda: self.world.now, overlap=timedelta(minutes=10)
        )

    async def settled(self) -> None:
        """Run until everything is known, and nothing of its making lies within the overlap."""
        for _ in range(3):
            await self.run()
            self.world.moment += 2_000

    async def requests(self, *, after: int) -> int:
        """How many moments a run without changes takes."""
        self.world.moment += after
        before = self.world.moment
        assert (await self.run()).tally.uploaded == 0
        return self.world.moment - before

    @property
    def watch(self) -> NameWatch:
        """What is remembered of names."""
        found = self.state.progress.names
        assert found is not None
        return found

    @property
    def owners(self) -> dict[str, str | None]:
        """What the issues' owners are called."""
        return {key: issue.owner for key, issue in self.sink.stored.items()}

    @property
    def projects(self) -> dict[str, str]:
        """What the issues' projects are called."""
        return {key: issue.project.name for key, issue in self.sink.stored.items() if issue.project}


RENAMED = {"1": "Ann Lee", "2": "Bob", "3": "Ann Lee", "4": None}
MOVED = {"1": "P1", "2": "Payments", "3": "Payments", "4": "P1"}


async def test_renamed_people_and_projects_are_sent_once_with_every_item() -> None:
    team = Team()
    await team.settled()
    team.world.people[ANN] = "Ann Lee"
    report = await team.run()
    assert (report.tally.uploaded, team.owners) == (2, RENAMED)
    assert "Renamed in Rally: Ann Lee. Their items are uploaded again." in report.notices
    # Projects come along with every run.
    team.world.projects[2] = "Payments"
    assert (await team.run()).tally.uploaded == 2
    assert team.projects == MOVED
    team.world.moment += LATER
    assert (await team.run()).tally.uploaded == 0


async def test_an_item_that_carries_several_renamed_things_and_changed_is_sent_once() -> None:
    team = Team()
    await team.settled()
    team.world.people[ANN], team.world.projects[2] = "Ann Lee", "Payments"
    team.world.edit(3)
    assert (await team.run()).tally.uploaded == 3
    assert (team.owners, team.projects, team.sink.stored["3"].name) == (RENAMED, MOVED, "B")


async def test_names_of_people_are_compared_now_and_then_and_only_where_items_carry_any() -> None:
    team = Team()
    await team.settled()
    await team.run()
    often = await team.requests(after=60)
    assert await team.requests(after=LATER) == often + 1
    team = Team()
    for item in team.world.items.values():
        item.owner = 0
    await team.settled()
    assert await team.requests(after=LATER) == often
    assert team.watch.seen.keys() == {PROJECTS}
    assert not team.watch.compared


async def test_the_first_name_counts_until_all_items_have_the_new_one() -> None:
    team = Team()
    await team.settled()
    await team.run()
    team.world.people[ANN] = "Ann Lee"
    team.world.edit(1)
    # The run reads one item under the new name; the names of people are not due yet.
    assert (await team.run()).tally.uploaded == 1
    assert (team.owners["1"], team.owners["3"]) == ("Ann Lee", "Ann")
    team.world.moment += LATER
    await team.run()
    assert team.owners == RENAMED


async def test_a_long_list_of_people_is_compared_part_by_part() -> None:
    team = Team()
    team.world.items[4].owner = CAT
    await team.settled()
    after = []
    for name in ("Ann Lee", "Ann Lee-Ray"):
        team.world.people[ANN] = name
        for _ in team.world.people:
            await team.run()
            after.append(team.watch.after[PEOPLE])
            team.world.moment += LATER
        assert team.owners == {**RENAMED, "1": name, "3": name, "4": "Cat"}
    # Every part has its turn, and then the first one again.
    assert sorted(set(after)) == [0, ANN, BOB]
    assert after[:3] == after[3:]


@pytest.mark.parametrize("after", range(1, 31))
async def test_a_kill_at_any_moment_loses_no_name(after: int) -> None:
    team = Team()
    await team.settled()
    team.world.people[ANN], team.world.projects[2] = "Ann Lee", "Payments"
    team.world.crash_at = team.world.moment + after
    with suppress(Crash, BaseExceptionGroup):
        await team.run()
    team.world.crash_at = None
    # Later than the overlap: only what is remembered can bring it.
    team.world.moment += 5_000
    await team.run()
    assert (team.owners, team.projects) == (RENAMED, MOVED)
    assert not team.state.progress.unfinished


async def test_a_rename_between_a_killed_first_sync_and_the_next_run_is_not_lost() -> None:
    team = Team()
    team.world.crash_at = 14
    with suppress(Crash, BaseExceptionGroup):
        await team.run()
    team.world.crash_at = None
    assert team.sink.stored
    team.world.people[ANN], team.world.projects[1] = "Ann Lee", "Payments"
    await team.run()
    team.world.moment += LATER
    await team.run()
    assert (team.owners, team.projects) == (RENAMED, {"1": "Payments", "2": "P2", "3": "P2", "4": "Payments"})


@pytest.mark.parametrize("failure", [AccessDeniedError("no"), UnavailableError("no")], ids=["refused", "down"])
async def test_people_that_cannot_be_read_fail_no_run_and_are_compared_later(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    team = Team()
    await team.settled()

    async def fail(*_: object, **__: object) -> NamesPage:
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(team.source, "names", fail)
        team.world.people[ANN] = "Ann Lee"
        for _ in range(2):
            report = await team.run()
            assert report.failure is None
            assert any("Names of people could not be compared" in notice for notice in report.notices)
    team.world.moment += 7_200
    assert (await team.run()).tally.uploaded == 2
    assert team.owners == RENAMED


async def test_names_outlive_a_change_of_the_filter() -> None:
    team = Team()
    await team.settled()
    # Everything is read again and nothing is new: only the names tell that something is to be sent.
    team.state.progress = replace(team.state.progress, scope="another filter")
    team.world.people[ANN], team.world.projects[2] = "Ann Lee", "Payments"
    assert (await team.run()).tally.uploaded == 3
    assert (team.owners, team.projects) == (RENAMED, MOVED)


async def test_a_project_that_was_hidden_for_a_while_may_have_another_name() -> None:
    team = Team()
    await team.settled()
    hidden, shown = SmallSource(team.world, projects=1), team.source
    team.source, team.world.projects[1] = hidden, "Orders"
    await team.run()
    team.world.projects[2], team.source = "Payments", shown
    await team.run()
    assert team.projects == {"1": "Orders", "2": "Payments", "3": "Payments", "4": "Orders"}


async def test_progress_without_names_learns_them() -> None:
    team = Team()
    await team.settled()
    written = progress_to_json(team.state.progress)
    del written["names"]
    team.state.progress = progress_from_json(written)
    team.world.projects[1] = "Unnoticed"
    assert (await team.run()).tally.uploaded == 0
    team.world.projects[2] = "Payments"
    await team.run()
    assert team.projects == MOVED


def test_names_are_read_back_as_they_were_written() -> None:
    watch = NameWatch(
        seen={PEOPLE: {1: "a", 2: "b"}, TAGS: {}},
        places={PEOPLE: frozenset({(KIND, "Owner"), ("defect", "SubmittedBy")})},
        compared={PEOPLE: EPOCH},
        after={PEOPLE: 2},
    )
    progress = replace(Progress(), names=watch)
    assert progress_from_json(progress_to_json(progress)) == progress


def scope(*kinds: str) -> Scope:
    """Return a whole workspace with some kinds of items."""
    return Scope(workspace=Workspace(object_id=1, name="W"), projects=(), kinds=kinds, query="", now=EPOCH)


def test_people_and_tags_are_found_wherever_items_carry_them() -> None:
    tags = {"Count": 2, "_tagsNameArray": [{"Name": " urgent ", "_ref": "/tag/5"}, "odd", {"Name": "x"}]}
    fields = {
        "Owner": {"_ref": "https://rally.example/slm/webservice/v2.0/user/1", "_refObjectName": "Ann"},
        "c_Reviewer": {"_ref": "/user/2", "DisplayName": " ", "UserName": "bob@example.com"},
        "Project": {"_ref": "/project/3", "Name": "P"},
        "Tags": tags,
        "Name": "Ann",
    }
    record = Record(kind="defect", object_id=9, revision=SourceRevision(EPOCH, 1), fields=fields)
    found = name_watch.record_names(Progress(names=NameWatch()), [record, record], now=EPOCH).names
    assert found is not None
    assert {kind: set(its) for kind, its in found.seen.items()} == {PEOPLE: {1, 2}, TAGS: {5}}
    assert found.places == {
        PEOPLE: frozenset({("defect", "Owner"), ("defect", "c_Reviewer")}),
        TAGS: frozenset({("defect", "Tags")}),
    }
    assert found.compared == {PEOPLE: EPOCH, TAGS: EPOCH}
    # What is known already leaves everything as it is.
    progress = Progress(names=found)
    assert name_watch.record_names(progress, [record], now=EPOCH + EVERY) is progress
    walks = plan.walks_carrying_in(scope("defect"), [("defect", "Owner"), ("task", "Owner")], [1, 2], since=None)
    assert [(walk.kind, walk.field, walk.carrying) for walk in walks] == [("defect", "Owner", (1, 2))]


def test_the_latest_names_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_watch, "MOST_REMEMBERED", 2)
    progress = Progress(names=NameWatch())
    for number in (3, 1, 2):
        fields = {"Owner": {"_ref": f"/user/{number}", "_refObjectName": "Ann"}}
        record = Record(kind=KIND, object_id=number, revision=SourceRevision(EPOCH, 1), fields=fields)
        progress = name_watch.record_names(progress, [record], now=EPOCH)
    assert progress.names is not None
    assert set(progress.names.seen[PEOPLE]) == {1, 2}
