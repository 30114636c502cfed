"""Issues through GraphQL as clients of older and newer servers send and read them."""

from typing import Any

import pytest

from support.issues import UPLOAD, change, item, upload
from support.server_client import TENANT, ServerClient

TRACKER, OTHER = "a" * 24, "b" * 24
PROJECT = {"id": "1", "key": "P", "name": "Project"}

PAGE = """query ($t: ID!, $k: String!, $n: Int!, $c: String) {
  issuesForProjectKey(tenantId: $t, projectKey: $k, limit: $n, cursor: $c) {
    nodes { _id trackerId issue { id } } pageInfo { cursor hasMore } } }"""

READ = "query ($t: ID!, $i: ID!) { issue(tenantId: $t, issueId: $i) { _id trackerId issue { %s } } }"


async def page(asked: ServerClient, cursor: str | None = None, *, limit: int = 2) -> tuple[list[str], Any]:
    found = (await asked.fetch_data(PAGE, t=TENANT, k="P", n=limit, c=cursor))["issuesForProjectKey"]
    info = found["pageInfo"]
    assert info["hasMore"] is (info["cursor"] is not None)
    return [node["issue"]["id"] for node in found["nodes"]], info["cursor"]


async def test_an_upload_answers_the_ids_by_which_its_issues_are_found(asked: ServerClient) -> None:
    with_ids = UPLOAD.replace("{ result }", "{ result issueIds }")
    for tracker in (TRACKER, OTHER):
        told = (await asked.fetch_data(with_ids, data=upload(item(1), item(2), tracker=tracker)))["uploadIssueData"]
        assert told["result"] is True
        for its_id, number in zip(told["issueIds"], (1, 2), strict=True):
            found = (await asked.fetch_data(READ % "id", t=TENANT, i=its_id))["issue"]
            assert found == {"_id": its_id, "trackerId": tracker, "issue": {"id": f"US{number}"}}
    listed = "query ($f: IssuesFilter) { issues(filter: $f) { _id } }"
    given = {"tenantId": TENANT, "internalIds": [f"{OTHER}:2", None, f"{TRACKER}:1", "unknown"]}
    assert (await asked.fetch_data(listed, f=given))["issues"] == [{"_id": f"{OTHER}:2"}, {"_id": f"{TRACKER}:1"}]
    assert (await asked.fetch_data(listed, f={**given, "internalIds": []}))["issues"] == []
    assert len((await asked.fetch_data(listed))["issues"]) == 4, "without a filter, everything"
    assert (await asked.fetch_data(READ % "id", t="another tenant", i=f"{TRACKER}:1"))["issue"] is None


async def test_pages_of_a_project_have_every_issue_once_also_while_issues_change(asked: ServerClient) -> None:
    items = [item(number, project=PROJECT) for number in range(1, 6)]
    await asked.fetch_data(UPLOAD, data=upload(*items, item(9, project={**PROJECT, "key": "Q"}), tracker=TRACKER))
    first, cursor = await page(asked)
    # One that was read and one that was not are changed, and one is added: the latest update would reorder them.
    changed = [
        item(5, project=PROJECT, lastUpdate=1_800_000_000_000),
        item(1, project=PROJECT, lastUpdate=1_900_000_000_000),
    ]
    await asked.fetch_data(UPLOAD, data=upload(*changed, item(6, project=PROJECT), tracker=TRACKER))
    second, cursor = await page(asked, cursor)
    third, cursor = await page(asked, cursor)
    assert first + second + third == ["US5", "US4", "US3", "US2", "US1"]
    assert cursor is None
    assert await page(asked, limit=6) == (["US6", "US5", "US4", "US3", "US2", "US1"], None)


@pytest.mark.parametrize("cursor", ["5", "x", "aXNzdWVzLWJlZm9yZTo=", "aXNzdWVzLWJlZm9yZTotNQ==", "ß", "Y3Vyc29yOjU="])
async def test_a_cursor_of_another_server_is_refused(asked: ServerClient, cursor: str) -> None:
    answer = (await asked.graphql(PAGE, t=TENANT, k="P", n=2, c=cursor)).json()
    assert "cursor must be" in answer["errors"][0]["message"]


async def test_statuses_of_one_integration_of_several_and_of_all(asked: ServerClient) -> None:
    await asked.fetch_data(UPLOAD, data=upload(item(1, status="A"), tracker=TRACKER))
    await asked.fetch_data(UPLOAD, data=upload(item(1, status="B"), tracker=OTHER))
    older = "query ($t: ID!, $i: ID) { issueStatuses(tenantId: $t, integrationId: $i) }"
    newer = "query ($t: ID!, $i: [ID]) { issueStatuses(tenantId: $t, integrationIds: $i) }"
    for question, given, expected in (
        (older, TRACKER, ["A"]),
        (older, None, ["A", "B"]),
        (newer, [OTHER], ["B"]),
        (newer, [OTHER, None, TRACKER], ["A", "B"]),
        (newer, [], ["A", "B"]),
        (newer, ["unknown"], []),
    ):
        assert (await asked.fetch_data(question, t=TENANT, i=given))["issueStatuses"] == expected, (question, given)


async def test_null_elements_that_older_servers_accept_are_left_out(asked: ServerClient) -> None:
    whole = item(
        1,
        labels=["a", None],
        components=[None],
        versionIds=[None, "v"],
        comments=[None, {"id": "1", "comment": "c"}],
        history=[None, change("A", "B")],
        releases=[None, {"name": "R"}],
    )
    await asked.fetch_data(UPLOAD, data=upload(whole))
    selected = "labels components versionIds comments { comment } history { content { to } } releases { name }"
    assert (await asked.fetch_data(READ % selected, t=TENANT, i="1"))["issue"]["issue"] == {
        "labels": ["a"],
        "components": [],
        "versionIds": ["v"],
        "comments": [{"comment": "c"}],
        "history": [{"content": {"to": "B"}}],
        "releases": [{"name": "R"}],
    }
    # Sprints may have none on any server.
    answer = (await asked.graphql(UPLOAD, data=upload(item(2, sprints=[None])))).json()
    assert "sprints[0]" in answer["errors"][0]["message"]


async def test_a_wrong_value_is_told_by_the_types_that_the_document_is_written_for(asked: ServerClient) -> None:
    older = """query ($p: PaginationInput) { particlesByStage(workflowId: "x", stageName: "y", pagination: $p) { particleId } }"""
    answer = (await asked.graphql(older, p={"skip": "many"})).json()
    assert "Int cannot represent" in answer["errors"][0]["message"]
    newer = older.replace("PaginationInput", "InsightsPaginationInput")
    answer = (await asked.graphql(newer, p={"skip": "many"})).json()
    assert "Int cannot represent" in answer["errors"][0]["message"]
    neither = older.replace("PaginationInput", "NoSuchInput")
    assert "NoSuchInput" in (await asked.graphql(neither, p={})).json()["errors"][0]["message"]


async def test_a_change_that_fails_is_not_tried_by_the_other_schema(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    async def broken(**given: Any) -> None:
        tried.append(given["tracker_id"])
        raise ZeroDivisionError

    monkeypatch.setattr(asked.host.stores.issues, "store_upload", broken)
    assert (await asked.graphql(UPLOAD, data=upload(item(1)))).json()["data"] == {"uploadIssueData": None}
    assert tried == [TRACKER]


async def test_sprints_and_releases_have_the_ids_of_their_tool(asked: ServerClient) -> None:
    given = {"sprints": [{"id": "7", "name": "S"}], "releases": [{"id": "8", "name": "R"}, {"name": "only a name"}]}
    await asked.fetch_data(UPLOAD, data=upload(item(1, **given)))
    found = (await asked.fetch_data(READ % "sprints { _id id } releases { _id id }", t=TENANT, i="1"))["issue"]["issue"]
    assert found["sprints"] == [{"_id": "7", "id": "7"}]
    assert found["releases"] == [{"_id": "8", "id": "8"}, {"_id": "only a name", "id": None}]
