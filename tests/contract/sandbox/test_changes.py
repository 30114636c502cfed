"""The simulator while its world changes: edits, deletions, closed projects, and what a client then finds."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2
import pytest

from rally_sandbox.auth import LIMITED_API_KEY
from rally_sandbox.server import Sandbox, serve
from rally_sandbox.world import World

Json = dict[str, Any]
Ask = Callable[..., Json]


@pytest.fixture
def world(fresh_world: World) -> World:
    return fresh_world


@pytest.fixture
def sandbox(world: World) -> Iterator[Sandbox]:
    with serve(world) as running:
        yield running


def truth(world: World, kind: str) -> Iterator[Mapping[str, Any]]:
    """What the default workspace shows."""
    home = world.company.workspaces[0].object_id
    return (row for row in world.items(kind) if row["visible"] and row["workspace"] == home)


def ids(result: Json) -> list[int]:
    return [int(row["_ref"].rsplit("/", 1)[1]) for row in result["Results"]]


def _feed(world: World, keep: Callable[[Json, Json], bool]) -> list[int]:
    home = world.company.workspaces[0].object_id
    closed = {"Team Retired"}
    return sorted(
        change["object_id"]
        for kind in ("story", "Defect", "Task", "TestCase", "Feature", "Initiative")
        for row in world.items(kind)
        if row["workspace"] == home and row["values"]["Project"]["name"] not in closed
        for change in row["changes"]
        if keep(dict(row), change)
    )


@pytest.mark.parametrize("edited", [False, True])
def test_the_feed_finds_and_counts_what_a_scan_finds(ask: Ask, world: World, edited: bool) -> None:
    if edited:
        world.work(80)
    histories = sorted(row["history_id"] for row in truth(world, "Defect"))
    low, high = histories[5], histories[60]
    every = _feed(world, lambda _, change: "SCHEDULE STATE" in change["text"])
    middle = every[len(every) // 2]
    in_range = f"((RevisionHistory.ObjectID >= {low}) AND (RevisionHistory.ObjectID <= {high}))"
    cases: dict[str, Callable[[Json, Json], bool]] = {
        '(Description contains "SCHEDULE STATE")': lambda _, change: "SCHEDULE STATE" in change["text"],
        f'((Description contains "SCHEDULE STATE") AND (ObjectID > {middle}))': lambda _, change: (
            "SCHEDULE STATE" in change["text"] and change["object_id"] > middle
        ),
        f'({in_range} AND (Description contains "SCHEDULE STATE"))': lambda row, change: (
            low <= row["history_id"] <= high and "SCHEDULE STATE" in change["text"]
        ),
        f'(({in_range} AND (Description contains "SCHEDULE STATE")) AND (ObjectID > {middle}))': lambda row, change: (
            low <= row["history_id"] <= high and "SCHEDULE STATE" in change["text"] and change["object_id"] > middle
        ),
        f'(RevisionHistory.ObjectID in "{histories[1]},{histories[9]}")': lambda row, _: (
            row["history_id"] in {histories[1], histories[9]}
        ),
        f'((RevisionHistory.ObjectID = {histories[1]}) OR (RevisionHistory = "/revisionhistory/{histories[9]}"))': (
            lambda row, _: row["history_id"] in {histories[1], histories[9]}
        ),
        f'({in_range} AND (Description contains "Sample User 07"))': lambda row, change: (
            low <= row["history_id"] <= high and "Sample User 07" in change["text"]
        ),
        '((CreationDate > "2026-08-01T00:00:00.000Z") AND (RevisionNumber > 0))': lambda _, change: (
            change["at"] > "2026-08-01T00:00:00.000Z" and change["number"] > 0
        ),
        '((User.UserName = "user02@sandbox.example") AND (Description contains "NAME"))': lambda _, change: (
            change["user"]["name"] == "Sample User 02" and "NAME" in change["text"].upper()
        ),
    }
    for query, keep in cases.items():
        expected = _feed(world, keep)
        found: list[int] = []
        for start in range(1, len(expected) + 300, 300):
            result = ask("revision", query=query, order="ObjectID", pagesize=300, start=start)
            assert result["Errors"] == []
            assert result["TotalResultCount"] == len(expected), query
            found += ids(result)
        assert found == expected, query


def test_projects_closed_and_invisible(ask: Ask, client: httpx2.Client, world: World) -> None:
    assert [row["_refObjectName"] for row in ask("project", query='(State = "Closed")')["Results"]] == ["Team Retired"]
    before = ask("defect", project="null")["TotalResultCount"]
    birch = world.close_project("Team Birch")
    gone = before - ask("defect", project="null")["TotalResultCount"]
    assert gone > 0
    assert ask("defect", project=f"/project/{birch.object_id}", projectScopeUp="false")["TotalResultCount"] == 0
    world.open_project("Team Birch")
    assert ask("defect", project=f"/project/{birch.object_id}", projectScopeUp="false")["TotalResultCount"] == gone
    client.headers["ZSESSIONID"] = LIMITED_API_KEY
    assert {row["_refObjectName"] for row in ask("project")["Results"]} == {"Team Amber", "Team Birch"}
    visible = ask("defect", project="null", pagesize=2000, fetch="Project")["Results"]
    assert {row["Project"]["_refObjectName"] for row in visible} == {"Team Amber", "Team Birch"}


def test_what_a_user_may_not_see_is_missing_without_a_word(ask: Ask, client: httpx2.Client) -> None:
    every = ask("defect", project="null")["TotalResultCount"]
    control = f"{client.base_url.copy_with(path='/_sandbox/rights')}"
    assert client.post(control, json={"projects": ["Team Birch", "Platform"]}).status_code == 200
    assert {row["_refObjectName"] for row in ask("project")["Results"]} == {"Team Birch", "Platform"}
    seen = ask("defect", project="null", pagesize=2000, fetch="Project")["Results"]
    assert {row["Project"]["_refObjectName"] for row in seen} == {"Team Birch"}
    client.post(control, json={"projects": []})
    assert (ask("project")["TotalResultCount"], ask("defect", project="null")["TotalResultCount"]) == (0, 0)
    client.post(control, json={"user": "user01@sandbox.example", "projects": None})
    assert ask("defect", project="null")["TotalResultCount"] == every
    for mistake in ({"user": "nobody", "projects": None}, {"projects": ["No Such Project"]}, {}):
        assert client.post(control, json=mistake).status_code == 400


def test_deleted_items_are_in_the_recycle_bin_until_restored(ask: Ask, world: World) -> None:
    defect = next(truth(world, "Defect"))
    world.delete(defect["object_id"], "user04@sandbox.example")
    assert ask("defect", project="null", query=f"(ObjectID = {defect['object_id']})")["TotalResultCount"] == 0
    entries = ask(
        "recyclebinentry",
        query='(DeletionDate >= "2026-11-02T00:00:00.000Z")',
        order="DeletionDate,ObjectID",
        fetch="ObjectID,ItemOID,ID,Name,Type,DeletionDate,DeletedBy",
    )["Results"]
    assert [(each["ItemOID"], each["ID"], each["Name"]) for each in entries] == [
        (defect["object_id"], defect["formatted_id"], defect["values"]["Name"])
    ]
    assert entries[0]["DeletedBy"]["_refObjectName"] == "Sample User 04"
    assert entries[0]["Type"]["_refObjectName"] == "Defect"
    world.restore(defect["object_id"])
    assert ask("defect", project="null", query=f"(ObjectID = {defect['object_id']})")["TotalResultCount"] == 1


def test_saves_of_one_item_share_an_instant_while_the_clock_is_still(
    client: httpx2.Client, sandbox: Sandbox, world: World
) -> None:
    story = next(truth(world, "story"))["object_id"]

    def edited(name: str) -> str:
        body = {"objectId": story, "fields": {"Name": name}}
        revision: Json = client.post(f"{sandbox.url}/_sandbox/edit", json=body).json()["revision"]
        return str(revision["at"])

    world.clock.start()
    assert client.post(f"{sandbox.url}/_sandbox/clock", json={"still": True}).json()["instantsRepeat"] is False
    one = edited("one")
    assert edited("two") > one
    client.post(f"{sandbox.url}/_sandbox/clock", json={"advance_seconds": 5, "instants_repeat": True})
    same = edited("three")
    assert edited("four") == same > one
    client.post(f"{sandbox.url}/_sandbox/clock", json={"still": False, "instants_repeat": False})
    assert edited("five") > same
    assert client.post(f"{sandbox.url}/_sandbox/clock", json={"still": True}).json()["now"] >= same
    assert client.post(f"{sandbox.url}/_sandbox/clock", json={"steps": 5}).status_code == 400


def test_portfolio_items_name_their_level(ask: Ask, client: httpx2.Client, sandbox: Sandbox) -> None:
    client.post(
        f"{sandbox.url}/_sandbox/relabel", json={"attribute": "PortfolioItem/Feature", "label": "Business Outcome"}
    )
    levels = {"feature": ("Business Outcome", 0), "initiative": ("Initiative", 1)}
    for level, (name, ordinal) in levels.items():
        fetch = "PortfolioItemTypeName,PortfolioItemType,Ordinal"
        row = ask(f"portfolioitem/{level}", project="null", fetch=fetch)["Results"][0]
        assert (row["PortfolioItemTypeName"], row["PortfolioItemType"]["Ordinal"]) == (name, ordinal)
        assert row["PortfolioItemType"]["_refObjectName"] == name
