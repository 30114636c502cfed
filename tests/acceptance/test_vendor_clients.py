"""A client of the vendor's kind reads and writes: variables with the published type names, scalars selected by default."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from graphql import GraphQLSchema

from rally_accelerate.accelerate.published_schemas import Server
from support.issues import change, item, upload
from support.processes import TENANT, RunningServer, start_server
from support.value_streams import board
from support.vendor_documents import Document, build_single_document, load_server_schema

TRACKER = {Server.A: "a" * 24, Server.B: "b" * 24}
PROJECT = {Server.A: {"id": "1", "key": "PA", "name": "A"}, Server.B: {"id": "2", "key": "PB", "name": "B"}}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server in a process of its own."""
    with start_server(tmp_path_factory.mktemp("host") / "host.sqlite") as running:
        yield running


@pytest.fixture(params=list(Server), ids=lambda server: f"types-{server.value}")
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.param
    return found


@pytest.fixture
def schema(server: Server) -> GraphQLSchema:
    return load_server_schema(server)


def sent(target: RunningServer, document: Document, **variables: Any) -> Any:
    """What a server answers to an operation, which must have no errors."""
    assert set(variables) == set(document.types)
    answer = httpx2.post(
        f"{target.url}/release-events-api/graphql",
        json={"operationName": document.name, "query": document.text, "variables": variables},
        headers={"Authorization": f"UserAccessKey {target.key}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert "errors" not in told, (document.text, told["errors"])
    return told["data"][document.name]


def added(target: RunningServer, schema: GraphQLSchema, name: str) -> str:
    """The id of a new integration that never runs."""
    given = {
        "name": name,
        "displayName": name,
        "type": "ucv-ext-rally",
        "tenantId": TENANT,
        "enabled": False,
        "properties": {"baseUrl": "http://127.0.0.1:9", "apiKey": "x"},
    }
    made = sent(target, build_single_document(schema, "mutation", "addIntegration"), input=given)
    assert (made["name"], made["loggingLevel"], made["disabled"]) == (name, "INFO", True)
    its_id: str = made["_id"]
    return its_id


def test_integrations_are_listed_and_their_events_told(
    target: RunningServer, schema: GraphQLSchema, server: Server
) -> None:
    its_id = added(target, schema, f"events {server.value}")
    listed = sent(target, build_single_document(schema, "query", "integrationsByTenantId"), tenantId=TENANT)
    assert its_id in {each["_id"] for each in listed}
    active = build_single_document(schema, "query", "integrationsByActiveState", only={"tenantId", "activeState"})
    disabled = sent(target, active, tenantId=TENANT, activeState={"archived": False, "active": False})
    assert its_id in {each["_id"] for each in disabled}
    states = build_single_document(schema, "mutation", "updateScheduledEventStates", select="{ _id }")
    done = sent(target, states, integrationId=its_id, scheduledEventStates=[{"eventName": "e", "deltaTime": -1}])
    assert done == {"_id": its_id}
    read = build_single_document(
        schema, "query", "integrationById", select="{ scheduledEventStates { eventName deltaTime } }"
    )
    assert {"eventName": "e", "deltaTime": -1} in sent(target, read, id=its_id)["scheduledEventStates"]
    keep = build_single_document(
        schema, "mutation", "updateIntegrationState", only={"integrationId", "eventName", "properties"}
    )
    kept = sent(target, keep, integrationId=its_id, eventName="e", properties={"cursor": 1})
    assert kept["state"] == {"e": {"cursor": 1}}


def test_issues_are_uploaded_and_read_page_by_page(
    target: RunningServer, schema: GraphQLSchema, server: Server
) -> None:
    items = [item(number, project=PROJECT[server], history=[change("Idea", "Defined")]) for number in range(20)]
    data = upload(*items, tracker=TRACKER[server])
    assert sent(target, build_single_document(schema, "mutation", "uploadIssueData"), data=data)["result"] is True
    told = sent(
        target, build_single_document(schema, "mutation", "uploadIssueData", select="{ result issueIds }"), data=data
    )
    assert len(set(told["issueIds"])) == 20
    paged = build_single_document(
        schema,
        "query",
        "issuesForProjectKey",
        only={"tenantId", "projectKey", "limit", "cursor"},
        select="{ nodes { _id trackerId issue { id status } } pageInfo { cursor hasMore } }",
    )
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = sent(target, paged, tenantId=TENANT, projectKey=PROJECT[server]["key"], limit=8, cursor=cursor)
        seen += [node["_id"] for node in page["nodes"]]
        cursor = page["pageInfo"]["cursor"]
        assert page["pageInfo"]["hasMore"] is (cursor is not None)
    assert cursor is None
    assert sorted(seen) == sorted(told["issueIds"])
    usual = build_single_document(
        schema, "query", "issuesForProjectKey", select="{ nodes { _id } pageInfo { hasMore } }"
    )
    page = sent(target, usual, tenantId=TENANT, projectKey=PROJECT[server]["key"])
    assert (len(page["nodes"]), page["pageInfo"]["hasMore"]) == (10, True)
    found = sent(target, build_single_document(schema, "query", "issue"), tenantId=TENANT, issueId=told["issueIds"][3])
    assert found["trackerId"] == TRACKER[server]


def test_value_streams_and_their_dots_are_read(target: RunningServer, schema: GraphQLSchema, server: Server) -> None:
    items = [item(number, project=PROJECT[server], history=[change("Idea", "Defined")]) for number in range(5)]
    sent(
        target,
        build_single_document(schema, "mutation", "uploadIssueData"),
        data=upload(*items, tracker=TRACKER[server]),
    )
    create = build_single_document(
        schema,
        "mutation",
        "createValueStream",
        only={"name", "tenantId", "team", "workflow"},
        select="{ __typename ... on Workflow { _id pipelineId } ... on WorkflowUploadError { errors } }",
    )
    name, team = f"Stream {server.value}", {"id": "1", "name": "Default"}
    document = board() | {"query": f"issue.project.key = {PROJECT[server]['key']}"}
    made = sent(target, create, name=name, tenantId=TENANT, team=team, workflow=document)
    assert made["__typename"] == "Workflow"
    listed = sent(target, build_single_document(schema, "query", "workflowsForTenant"), tenantId=TENANT)
    assert name in {each["name"] for each in listed}
    versions = sent(target, build_single_document(schema, "query", "vsmVersions"), workflowId=made["_id"])
    assert versions == {"count": 1}
    dots = build_single_document(
        schema, "query", "particlesByStage", only={"workflowId", "stageName", "particleIds", "pagination"}
    )
    given = {
        "workflowId": made["_id"],
        "stageName": "To Do",
        "particleIds": None,
        "pagination": {"skip": 1, "limit": 3},
    }
    found = sent(target, dots, **given)
    assert len(found) == 3
    matching = build_single_document(
        schema, "query", "particlesMatchingQuery", only={"query", "pipelineId", "includeTopLevelQuery"}
    )
    ids = sent(target, matching, query="", pipelineId=made["pipelineId"], includeTopLevelQuery=True)
    assert {each["particleId"] for each in found} < set(ids)
    past = sent(
        target, build_single_document(schema, "query", "particleHistory"), workflowId=made["_id"], particleId=ids[0]
    )
    assert len(past) == 1


def test_the_key_and_the_product_are_told(target: RunningServer, schema: GraphQLSchema) -> None:
    (key,) = sent(target, build_single_document(schema, "query", "myAccessKeyMetaData"))
    assert key["name"] == "first"
    assert sent(target, build_single_document(schema, "query", "productVersion"))
    (plugin,) = sent(target, build_single_document(schema, "query", "plugins"))
    assert plugin["pluginId"] == "ucv-ext-rally"
