"""Histories that people know from their work, with the entries that somebody computed by hand."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rally_accelerate.server.issue_history import list_former_sprints
from rally_sandbox.clock import Clock
from rally_sandbox.records import Record
from rally_sandbox.server import serve
from rally_sandbox.world import World
from support.first_sync import run_first_sync

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SOURCES = ("lookback", "revisions")


class Company:
    """A company in which one thing happens an hour; the first hour is 1."""

    def __init__(self) -> None:
        self.world = World.create(3, 40, clock=Clock.frozen(BEGIN))
        self.team, self.other = self.world.company.teams[0], self.world.company.teams[1]
        self.users = [user.name for user in self.world.company.users]

    def hour(self) -> None:
        """Let an hour pass."""
        self.world.clock.advance(timedelta(hours=1))

    def story(self, **fields: Any) -> int:
        """A new story of the first team."""
        self.hour()
        return self.world.create_item("story", self.team.project, Name="The sample story", **fields).object_id

    def edit(self, item: int, user: int = 0, **fields: Any) -> None:
        """One save, by the user of a number."""
        self.hour()
        self.world.edit(item, fields, self.world.company.users[user])

    def iterations(self, project: Record) -> list[Record]:
        """A project's iterations, by begin."""
        found = [each for each in self.world.company.records_of("iteration") if each.values["Project"] is project]
        return sorted(found, key=lambda each: each.values["StartDate"])

    def uploaded(self, item: int, source: str) -> dict[str, Any]:
        """The item as it is uploaded a while later."""
        self.world.clock.advance(timedelta(hours=1))
        with serve(self.world) as rally:
            _, issues = asyncio.run(run_first_sync(rally.url, historySource=source))
        return issues[str(item)]


def entries(issue: dict[str, Any], *fields: str) -> list[tuple[int, str, Any, Any]]:
    """Hours since the beginning, field, from and to of the entries of some fields."""
    found = []
    for entry in issue["history"]:
        content = entry["content"]
        if content["field"] in fields:
            at = datetime.fromtimestamp(int(entry["timestamp"]) / 1000, UTC) - BEGIN
            found.append((at // timedelta(hours=1), content["field"], content["from"], content["to"]))
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_sprint_changes_name_the_sprint(source: str) -> None:
    company = Company()
    first, second = company.iterations(company.team.project)[:2]
    story = company.story()
    company.edit(story, Iteration=first)
    company.edit(story, Iteration=second)
    company.edit(story, Iteration=None)
    company.edit(story, Iteration=second)
    issue = company.uploaded(story, source)
    one, two = [first.name], [second.name]
    assert entries(issue, "sprint") == [
        (2, "sprint", [], one),
        (3, "sprint", one, two),
        (4, "sprint", two, []),
        (5, "sprint", [], two),
    ]
    assert [(sprint["id"], sprint["name"]) for sprint in issue["sprints"]] == [
        (str(first.object_id), first.name),
        (str(second.object_id), second.name),
    ]
    assert list_former_sprints(issue) == issue["sprints"][:1]


@pytest.mark.parametrize("source", SOURCES)
def test_a_reopening_is_a_change_back(source: str) -> None:
    company = Company()
    story = company.story()
    for state in ("In-Progress", "Completed", "Accepted", "In-Progress", "Accepted"):
        company.edit(story, ScheduleState=state)
    issue = company.uploaded(story, source)
    assert issue["status"] == "Accepted"
    assert entries(issue, "status") == [
        (2, "status", "Defined", "In-Progress"),
        (3, "status", "In-Progress", "Completed"),
        (4, "status", "Completed", "Accepted"),
        (5, "status", "Accepted", "In-Progress"),
        (6, "status", "In-Progress", "Accepted"),
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_a_move_between_projects_takes_the_sprint_away(source: str) -> None:
    company = Company()
    sprint = company.iterations(company.team.project)[0]
    story = company.story()
    company.edit(story, Iteration=sprint)
    company.edit(story, Project=company.other.project)
    issue = company.uploaded(story, source)
    its = [sprint.name]
    assert entries(issue, "project", "sprint") == [
        (2, "sprint", [], its),
        (3, "sprint", its, []),
        (3, "project", company.team.project.name, company.other.project.name),
    ]
    assert issue["project"]["name"] == company.other.project.name


def test_a_renamed_iteration_keeps_its_old_name_in_what_was_before() -> None:
    company = Company()
    sprint = company.iterations(company.team.project)[0]
    before = sprint.name
    story = company.story()
    company.edit(story, Iteration=sprint)
    company.hour()
    company.world.rename("Iteration", sprint, "The renamed sprint")
    company.edit(story, Iteration=None)
    company.edit(story, Iteration=sprint)
    issue = company.uploaded(story, "lookback")
    old, new = [before], ["The renamed sprint"]
    assert entries(issue, "sprint") == [
        (2, "sprint", [], old),
        (4, "sprint", new, []),
        (5, "sprint", [], new),
    ]


def test_a_renamed_iteration_is_told_by_name_alone_where_only_texts_are_left() -> None:
    company = Company()
    sprint = company.iterations(company.team.project)[0]
    before = sprint.name
    for each in company.iterations(company.team.project)[1:]:
        assert each.name != before
    story = company.story()
    company.edit(story, Iteration=sprint)
    company.hour()
    company.world.rename("Iteration", sprint, "The renamed sprint")
    company.edit(story, Name="Another name")
    issue = company.uploaded(story, "revisions")
    # Other projects have sprints of the old name: which one was meant, the text does not say, and nobody guesses.
    assert entries(issue, "sprint") == [(2, "sprint", [], [before])]


@pytest.mark.parametrize("source", SOURCES)
def test_a_renamed_state_is_told_by_the_name_it_has_today(source: str) -> None:
    company = Company()
    flow = [
        each for each in company.world.company.records_of("flowstate") if each.values["Project"] is company.team.project
    ]
    flow.sort(key=lambda each: each.values["OrderIndex"])
    first, second = flow[1], flow[2]
    former = second.name
    story = company.story(FlowState=first)
    company.edit(story, FlowState=second)
    company.edit(story, FlowState=first)
    company.hour()
    company.world.rename("FlowState", second, "Doing [the work]")
    company.world.rename("FlowState", first, "Waiting")
    company.edit(story, FlowState=second)
    issue = company.uploaded(story, source)
    # Lookback knows states by id. Of texts only the state that the item stood in shows that it was renamed, because its
    # next save begins with another name; the name that the other one had then is all that is told.
    then = {"lookback": "Doing [the work]", "revisions": former}[source]
    assert [entry[1:] for entry in entries(issue, "flowState")][-3:] == [
        ("flowState", "Waiting", then),
        ("flowState", then, "Waiting"),
        ("flowState", "Waiting", "Doing [the work]"),
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_a_deleted_user_leaves_the_change_and_no_error(source: str) -> None:
    company = Company()
    leaver = company.world.company.users[7]
    story = company.story()
    company.edit(story, user=7, ScheduleState="In-Progress")
    company.hour()
    company.world.delete_user(leaver)
    issue = company.uploaded(story, source)
    assert entries(issue, "status") == [(2, "status", "Defined", "In-Progress")]
    (entry,) = [each["content"] for each in issue["history"] if each["content"]["field"] == "status"]
    # Revisions keep a stub with the name; Lookback's bare id is known by the stubs of other items.
    assert (entry["user"], entry["userDisplayName"]) == (str(leaver.object_id), leaver.name)


@pytest.mark.parametrize("source", SOURCES)
def test_a_restored_item_was_deleted_for_a_while(source: str) -> None:
    company = Company()
    story = company.story()
    company.edit(story, ScheduleState="In-Progress")
    company.hour()
    company.world.delete(story)
    company.hour()
    company.world.restore(story)
    company.edit(story, ScheduleState="Completed")
    issue = company.uploaded(story, source)
    assert entries(issue, "status") == [
        (2, "status", "Defined", "In-Progress"),
        (3, "status", "In-Progress", "Deleted"),
        (4, "status", "Deleted", "In-Progress"),
        (5, "status", "In-Progress", "Completed"),
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_a_state_whose_name_has_brackets_is_read_whole(source: str) -> None:
    company = Company()
    flow = [
        each for each in company.world.company.records_of("flowstate") if each.values["Project"] is company.team.project
    ]
    flow.sort(key=lambda each: each.values["OrderIndex"])
    company.world.rename("FlowState", flow[-1], "DONE [DEPLOYED TO PROD]")
    company.world.rename("FlowState", flow[-2], "DEPLOYED TO STAGE/PERF")
    story = company.story(FlowState=flow[-2])
    company.edit(story, FlowState=flow[-1], Name="[A] name, NAME changed to [B")
    company.edit(story, FlowState=flow[-2])
    issue = company.uploaded(story, source)
    assert [entry[1:] for entry in entries(issue, "flowState")][-1:] == [
        ("flowState", "DONE [DEPLOYED TO PROD]", "DEPLOYED TO STAGE/PERF")
    ]
    if source == "lookback":
        assert entries(issue, "name") == [(2, "name", "The sample story", "[A] name, NAME changed to [B")]
    else:
        # The text of that save has more than one reading: it stays one change, whole, and is not guessed.
        assert [entry["content"]["field"] for entry in issue["history"]].count("revision") == 1
