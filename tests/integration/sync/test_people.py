"""People reach Accelerate with a name and a stable id, whatever Rally still tells of them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rally_sandbox.clock import Clock
from rally_sandbox.records import Record
from rally_sandbox.server import serve
from rally_sandbox.world import World
from support.first_sync import run_first_sync

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOURCES = ("lookback", "revisions")


@pytest.fixture
def world() -> World:
    return World.create(4, 60, clock=Clock.frozen(BEGIN))


def uploaded(world: World, source: str) -> dict[str, dict[str, Any]]:
    """What a first sync uploads a while later."""
    world.clock.advance(timedelta(hours=1))
    with serve(world) as rally:
        _, issues = asyncio.run(run_first_sync(rally.url, historySource=source))
        return dict(issues)


def story_of(world: World, user: Record) -> str:
    """Let a user create, own, change and discuss a story; return its id."""
    story = world.create_item("story", user=user, Name="Owned", Owner=user)
    world.clock.advance(timedelta(minutes=5))
    world.edit(story.object_id, {"ScheduleState": "In-Progress"}, user=user)
    world.add_post(story.object_id, "Done so far", user)
    return str(story.object_id)


def names_in(issue: dict[str, Any]) -> dict[str, Any]:
    """Every place in which a person is named."""
    (change,) = [each["content"] for each in issue["history"] if each["content"]["field"] == "status"]
    return {
        "owner": issue["owner"],
        "creator": issue["creator"],
        "comment": issue["comments"][0]["user"],
        "history": change["userDisplayName"],
        "id in history": change["user"],
        "owner id": issue["rawIssue"]["ownerId"],
        "creator id": issue["rawIssue"]["creatorId"],
    }


def everywhere(name: str, user: Record) -> dict[str, str]:
    its_id = str(user.object_id)
    named = dict.fromkeys(("owner", "creator", "comment", "history"), name)
    return {**named, **dict.fromkeys(("id in history", "owner id", "creator id"), its_id)}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("kept", "name"),
    [
        ({"FirstName": "Kim", "LastName": "Lee"}, "Kim Lee"),
        ({"FirstName": "", "LastName": " ", "UserName": "klee"}, "klee"),
        ({"FirstName": "", "LastName": "", "UserName": "", "EmailAddress": "k@sandbox.example"}, "k@sandbox.example"),
    ],
)
def test_a_person_without_a_display_name_is_named_everywhere(
    world: World, source: str, kept: dict[str, str], name: str
) -> None:
    user = world.company.users[4]
    user.values.update(kept)
    world.rename("User", user, "")
    its = story_of(world, user)
    assert names_in(uploaded(world, source)[its]) == everywhere(name, user)


@pytest.mark.parametrize("source", SOURCES)
def test_a_person_without_any_name_is_told_by_id(world: World, source: str) -> None:
    user = world.company.users[4]
    user.values.update(dict.fromkeys(("FirstName", "LastName", "UserName", "EmailAddress"), ""))
    world.rename("User", user, " ")
    its = story_of(world, user)
    issue = uploaded(world, source)[its]
    assert names_in(issue) == everywhere(f"User {user.object_id}", user)


def test_owners_without_any_name_are_told_apart_in_the_history(world: World) -> None:
    nameless = world.company.users[4:6]
    for user in nameless:
        user.values.update(dict.fromkeys(("FirstName", "LastName", "UserName", "EmailAddress"), ""))
        world.rename("User", user, " ")
    first, second = nameless
    its = story_of(world, first)
    world.edit(int(its), {"Owner": second})
    issue = uploaded(world, "lookback")[its]
    owners = [each["content"] for each in issue["history"] if each["content"]["field"] == "owner"]
    assert [(each["from"], each["to"]) for each in owners] == [(f"User {first.object_id}", f"User {second.object_id}")]
    assert issue["owner"] == f"User {second.object_id}"


@pytest.mark.parametrize("source", SOURCES)
def test_a_renamed_person_is_one_person_in_every_history(world: World, source: str) -> None:
    user = world.company.users[4]
    its = story_of(world, user)
    world.rename("User", user, "Kim Married")
    assert names_in(uploaded(world, source)[its]) == everywhere("Kim Married", user)


@pytest.mark.parametrize("source", SOURCES)
def test_people_of_one_name_are_told_apart_by_id(world: World, source: str) -> None:
    first, second = world.company.users[4:6]
    world.rename("User", second, first.name)
    ids = (story_of(world, first), story_of(world, second))
    issues = uploaded(world, source)
    assert [names_in(issues[its]) for its in ids] == [everywhere(first.name, user) for user in (first, second)]


def test_a_disabled_and_a_deleted_user_keep_their_names(world: World) -> None:
    disabled, deleted = world.company.users[4:6]
    ids = (story_of(world, disabled), story_of(world, deleted))
    disabled.values["Disabled"] = True
    world.delete_user(deleted)
    issues = uploaded(world, "revisions")
    assert names_in(issues[ids[0]]) == everywhere(disabled.name, disabled)
    assert names_in(issues[ids[1]]) == everywhere(deleted.name, deleted)
