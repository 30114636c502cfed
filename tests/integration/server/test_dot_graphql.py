"""Dots of value streams through GraphQL: their history in boxes, their places, and what the map lists of them."""

from typing import Any

import pytest

from rally_accelerate.server.graphql.value_stream_types import box_value
from support.issues import UPLOAD, change, item, upload
from support.server_client import TENANT, ServerClient
from support.value_streams import board

TRACKER, OTHER = "a" * 24, "b" * 24

CREATE = """mutation ($name: String!, $w: JSON) { createValueStream(name: $name, tenantId: "%s", workflow: $w,
  team: {id: "1", name: "T"}) { ... on Workflow { _id } } }"""


async def created(asked: ServerClient, name: str = "Shop", document: Any = None) -> str:
    made = await asked.fetch_data(CREATE % TENANT, name=name, w=document or board())
    found: str = made["createValueStream"]["_id"]
    return found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, None),
        ({"field": "status", "type": "string", "to": "Done"}, ("StringBox", "Done")),
        ({"field": "status", "type": "string", "to": ""}, ("StringBox", "")),
        ({"field": "lastUpdate", "type": "integer", "to": 1_700_000_000_000}, ("DateBox", 1_700_000_000_000)),
        ({"field": "storyPoints", "type": "integer", "to": 3}, ("StringBox", "3")),
        ({"field": "blocked", "to": True}, ("StringBox", "true")),
        ({"field": "labels", "type": "stringArray", "to": ["a", "b"]}, ("StringArrayBox", ["a", "b"])),
        ({"field": "labels", "type": "stringArray", "to": []}, ("StringArrayBox", [])),
        ({"field": "sprint", "type": "objectArray", "to": [{"id": 1, "name": "S"}]}, ("StringArrayBox", ["S"])),
        ({"field": "project", "to": {"name": "P", "id": "1"}}, ("StringBox", "P")),
        (
            {"field": "comments", "type": "objectArray", "to": [{"id": 1, "comment": "c"}]},
            ("ObjectArrayBox", [{"id": "1", "comment": "c"}]),
        ),
    ],
)
def test_a_value_is_in_the_box_of_its_kind(content: dict[str, Any], expected: tuple[str, Any] | None) -> None:
    box = box_value(content, "to")
    assert box == (None if expected is None else {"__typename": expected[0], "value": expected[1]})


async def test_the_history_of_a_dot_is_that_of_its_issue(asked: ServerClient) -> None:
    comments = {"field": "comments", "type": "objectArray", "to": [{"id": 1, "comment": "c"}, {"id": 2, "body": "b"}]}
    history = [
        change("Idea", "Defined", at=3),
        {"timestamp": 1, "content": {"field": "lastUpdate", "type": "integer", "from": 0, "to": 1}},
        {"timestamp": 2, "content": comments},
    ]
    await asked.fetch_data(UPLOAD, data=upload(item(1, history=history), tracker=TRACKER))
    its_id = await created(asked)
    boxes = """__typename ... on DateBox { date: value } ... on StringBox { text: value } ... on ObjectArrayBox { objects: value {
      __typename ... on Comment { id comment } ... on Review { id body } } }"""
    question = f"""query ($w: ID!, $p: ID!) {{ particleHistory(workflowId: $w, particleId: $p) {{
      timestamp source content {{ field fieldtype userDisplayName from {{ {boxes} }} to {{ {boxes} }} }} }} }}"""
    found = (await asked.fetch_data(question, w=its_id, p=f"{TRACKER}:1"))["particleHistory"]
    assert [(one["timestamp"], one["content"]["field"]) for one in found] == [
        (1, "lastUpdate"),
        (2, "comments"),
        (3, "status"),
    ]
    assert found[0]["content"]["to"] == {"__typename": "DateBox", "date": 1}
    assert found[1]["content"]["to"]["objects"] == [
        {"__typename": "Comment", "id": "1", "comment": "c"},
        {"__typename": "Review", "id": "2", "body": "b"},
    ]
    assert found[2]["content"]["from"] == {"__typename": "StringBox", "text": "Idea"}
    assert found[2]["content"]["userDisplayName"] == "U"
    assert (await asked.fetch_data(question, w=its_id, p=f"{OTHER}:1"))["particleHistory"] is None


async def test_the_places_of_an_issue_in_every_value_stream(asked: ServerClient) -> None:
    for tracker, status in ((TRACKER, "Defined"), (OTHER, "Accepted")):
        await asked.fetch_data(UPLOAD, data=upload(item(1, status=status), item(2, status="Idea"), tracker=tracker))
    first = await created(asked)
    second = await created(asked, "None of them", board() | {"query": "issue.type = Defect"})
    question = """query ($t: ID!, $i: String!) { particlesByIssueId(tenantId: $t, issueId: $i) {
      workflowId workflowName stageName particleId } }"""
    for its_id in ("US1", "1"):
        found = (await asked.fetch_data(question, t=TENANT, i=its_id))["particlesByIssueId"]
        assert {(one["particleId"], one["stageName"]) for one in found} == {
            (f"{TRACKER}:1", "To Do"),
            (f"{OTHER}:1", "Done"),
        }
        assert {(one["workflowId"], one["workflowName"]) for one in found} == {(first, "Shop")}
    assert second != first
    for its_id in ("US2", "unknown"):
        assert (await asked.fetch_data(question, t=TENANT, i=its_id))["particlesByIssueId"] == []


async def test_the_map_lists_its_dots_shortly(asked: ServerClient) -> None:
    given = {"sprints": [{"id": "1", "name": "S"}], "releases": [{"id": "2", "name": "R"}], "labels": ["l"]}
    history = [change("Idea", "Defined", at=1_700_000_000_100)]
    one = item(1, priority="High", normalizedType="FEATURE", history=history, **given)
    await asked.fetch_data(UPLOAD, data=upload(one, tracker=TRACKER))
    its_id = await created(asked)
    question = """query ($w: ID!) { workflow(workflowId: $w) { phases { stages { name particles { particleId type normalizedType
      alert owner name id labels features startTime colorAttribute { release releases sprint sprints type priority } } } } } }"""
    stages = (await asked.fetch_data(question, w=its_id))["workflow"]["phases"]
    (dot,) = stages[0]["stages"][0]["particles"]
    assert dot == {
        "particleId": f"{TRACKER}:1",
        "type": "issue",
        "normalizedType": "FEATURE",
        "alert": True,
        "owner": None,
        "name": "Sample story 1",
        "id": "US1",
        "labels": ["l"],
        "features": [],
        "startTime": 1_700_000_000_100,
        "colorAttribute": {
            "release": "R",
            "releases": ["R"],
            "sprint": "S",
            "sprints": ["S"],
            "type": "Story",
            "priority": "High",
        },
    }


async def test_timeboxes_of_a_value_stream_by_criterion_and_count(asked: ServerClient) -> None:
    sprints = [
        {"id": "1", "name": "S1", "endTime": 100},
        {"id": "2", "name": "S2", "endTime": 200},
        {"id": "3", "name": "S3", "endTime": 300, "active": True},
    ]
    releases = [{"id": "7", "name": "R1", "releaseDate": 5}, {"id": "8", "name": "R2", "releaseDate": 6}]
    items = [item(number, sprints=[sprint], releases=releases) for number, sprint in enumerate(sprints)]
    await asked.fetch_data(UPLOAD, data=upload(*items, tracker=TRACKER))
    its_id = await created(asked)

    async def told(field: str, arguments: str, selected: str) -> Any:
        question = f"query ($w: ID!) {{ workflow(workflowId: $w) {{ {field}{arguments} {{ {selected} }} }} }}"
        return (await asked.fetch_data(question, w=its_id))["workflow"][field]

    assert {one["_id"] for one in await told("sprints", "", "_id")} == {"1", "2", "3"}
    chosen = await told("sprints", "(criterion: activeAndMostRecent, count: 1)", "_id name endTime active")
    assert chosen == [
        {"_id": "3", "name": "S3", "endTime": 300, "active": True},
        {"_id": "2", "name": "S2", "endTime": 200, "active": None},
    ]
    assert len(await told("sprints", "(count: 2)", "_id")) == 2
    assert await told("releases", "(criterion: mostRecent)", "_id releaseDate") == [{"_id": "8", "releaseDate": 6}]


async def test_a_dots_issue_has_whole_numbers(asked: ServerClient) -> None:
    await asked.fetch_data(UPLOAD, data=upload(item(1, storyPoints=2.6, businessValue=1e12), tracker=TRACKER))
    question = """query ($w: ID!) { particlesByStage(workflowId: $w, stageName: "To Do") {
      issue { storyPoints businessValue } } }"""
    (dot,) = (await asked.fetch_data(question, w=await created(asked)))["particlesByStage"]
    assert dot["issue"] == {"storyPoints": 3, "businessValue": None}
