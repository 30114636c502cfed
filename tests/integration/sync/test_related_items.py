"""Discussions, relations and epics reach Accelerate, whichever source tells the history."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from rally_accelerate.config.load import validate_integration
from rally_accelerate.model.progress import Walk
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_sandbox.clock import Clock
from rally_sandbox.server import SANDBOX_API_KEY, serve
from rally_sandbox.world import World
from support.first_sync import upload_world

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOURCES = ("lookback", "revisions")


@pytest.fixture
def world() -> World:
    return World.create(4, 300, clock=Clock.frozen(BEGIN))


@pytest.mark.parametrize("source", SOURCES)
def test_a_whole_discussion_comes_in_order_as_readable_text(world: World, source: str) -> None:
    story = world.create_item("story", Name="Talked about")
    for number in range(260):
        world.clock.advance(timedelta(minutes=1))
        world.add_post(story.object_id, f"<p>Sample &amp; remark <b>{number}</b></p>", world.company.users[3])
    issues, requests = upload_world(world, source)
    comments = issues[str(story.object_id)]["comments"]
    assert [each["comment"] for each in comments] == [f"Sample & remark {number}" for number in range(260)]
    assert {each["user"] for each in comments} == {world.company.users[3].name}
    assert comments[1]["created"] - comments[0]["created"] == 60_000
    # All discussions of a page come together, not one after the other.
    assert requests["conversationpost"] <= 4


def test_discussions_of_all_items_are_there_and_may_be_left_out(world: World) -> None:
    issues, _ = upload_world(world, "lookback")
    counted = sum(len(issue["comments"]) for issue in issues.values())
    home = world.company.workspaces[0]
    posts = [
        post
        for post in world.company.records_of("conversationpost")
        if post.workspace is home and str(world.columns.object_id[post.values["Artifact"].index]) in issues
    ]
    assert counted == len(posts) > 20
    issues, requests = upload_world(world, "lookback", comments=False)
    assert "conversationpost" not in requests
    assert all(issue["comments"] == [] for issue in issues.values())


def test_discussions_of_a_first_sync_take_whole_pages() -> None:
    world = World.create(5, 2_000, clock=Clock.frozen(BEGIN))
    issues, requests = upload_world(world, "none", pageSize=250)
    posts = [
        post for post in world.company.records_of("conversationpost") if post.workspace is world.company.workspaces[0]
    ]
    assert requests["conversationpost"] == math.ceil(len(posts) / 250)
    assert sum(len(issue["comments"]) for issue in issues.values()) > 500


async def test_a_post_that_comes_while_a_run_goes_on_is_not_lost(world: World) -> None:
    with serve(world) as rally:
        properties = validate_integration(
            {"name": "x", "properties": {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY}}
        ).properties
        async with RallyClient(properties, limiters=LimiterPool()) as client:
            scope = await client.open()
            stories = Walk(kind="hierarchicalrequirement", started_at=scope.now)

            async def read() -> dict[int, list[str]]:
                records = [record async for page in client.read_changes(scope, stories) for record in page.records]
                items = await client.history(scope, records)
                return {item.record.object_id: [post.text for post in item.around.posts] for item in items}

            talked_about = next(item for item, texts in (await read()).items() if texts)
            world.add_post(talked_about, "One more")
            assert "One more" in (await read())[talked_about]


@pytest.mark.parametrize("source", SOURCES)
def test_relations_name_parents_predecessors_and_successors_by_id(world: World, source: str) -> None:
    first, second, third = (world.create_item("story", Name=f"Story {number}") for number in range(3))
    world.add_dependency(first.object_id, second.object_id)
    world.add_dependency(second.object_id, third.object_id)
    defect = next(row for row in world.items("defect") if row["visible"] and row["values"]["Requirement"])
    issues, _ = upload_world(world, source)
    related = [{"id": str(each.object_id), "type": "RELATED"} for each in (first, third)]
    assert issues[str(second.object_id)]["relations"] == related
    parent = {"id": str(defect["values"]["Requirement"]["object_id"]), "type": "PARENT"}
    assert parent in issues[str(defect["object_id"])]["relations"]


def test_many_dependencies_take_few_requests_where_only_texts_tell_of_them(world: World) -> None:
    stories = [world.create_item("story", Name=f"Story, the [{number}]th").object_id for number in range(60)]
    for one, other in pairwise(stories):
        world.add_dependency(one, other)
    issues, requests = upload_world(world, "revisions")
    for before, its, after in zip(stories, stories[1:], stories[2:], strict=False):
        ids = {each["id"] for each in issues[str(its)]["relations"]}
        assert ids == {str(before), str(after)}
    # 118 collections are not read one after the other.
    assert not {"hierarchicalrequirement/predecessors", "hierarchicalrequirement/successors"} & set(requests)
    assert requests["hierarchicalrequirement"] <= 6


def test_what_the_texts_do_not_tell_is_asked_for(world: World) -> None:
    first, second, third = (world.create_item("story", Name=f"Story {number}").object_id for number in range(3))
    world.add_dependency(first, third)
    # A link without a text: an old one, or one that an import made.
    world.relations.add_dependency(world.find(second).index, world.find(third).index)
    issues, requests = upload_world(world, "revisions")
    assert {each["id"] for each in issues[str(third)]["relations"]} == {str(first), str(second)}
    assert requests["hierarchicalrequirement/predecessors"] == 1


@pytest.mark.parametrize("source", SOURCES)
def test_the_epic_is_the_portfolio_item_above(world: World, source: str) -> None:
    issues, _ = upload_world(world, source)
    features = {row["object_id"]: row["formatted_id"] for row in world.items("feature")}
    found = 0
    for row in world.items("story"):
        issue, feature = issues.get(str(row["object_id"])), row["values"]["PortfolioItem"]
        if issue is not None:
            assert issue["epic"] == (features[feature["object_id"]] if feature else None)
            found += feature is not None
    assert found > 20


@pytest.mark.parametrize("source", SOURCES)
def test_other_types_come_with_their_own_status_and_whole_history(world: World, source: str) -> None:
    types = "Task, TestCase, PortfolioItem/Feature, PortfolioItem/Initiative"
    issues, _ = upload_world(world, source, types=types)
    assert {issue["type"]: issue["normalizedType"] for issue in issues.values()} == {
        "Task": "OTHER",
        "Test Case": "OTHER",
        "Feature": "FEATURE",
        "Initiative": "EPIC",
    }
    for kind in ("Task", "Feature"):
        for row in world.items(kind):
            issue = issues.get(str(row["object_id"]))
            if issue is None:
                continue
            states = [
                tuple(value["name"] if isinstance(value, dict) else value for value in (old, new))
                for change in row["changes"]
                for name, old, new in change["sets"]
                if name == "State"
            ]
            told = [entry["content"] for entry in issue["history"] if entry["content"]["field"] == "status"]
            expected = [each for each in told if "Deleted" not in {each["from"], each["to"]}]
            assert [(each["from"], each["to"]) for each in expected] == states, row["formatted_id"]
