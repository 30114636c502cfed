"""The vendor's operations on value streams, asked as its clients ask."""

from typing import Any

import pytest
from graphql import GraphQLList, GraphQLNonNull, GraphQLObjectType, GraphQLScalarType

from rally_accelerate.server.graphql.endpoint import Endpoint
from support.issues import UPLOAD, change, item, upload
from support.server_client import TENANT, ServerClient
from support.value_streams import board

TRACKER = "a" * 24

SCALARS = """_id pipelineId tenantId integrationsCount name description query integrationId recalculating integrations
created lastUpdate mappings"""

WHOLE = f"""{SCALARS}
  phases {{ name description stages {{ name description query wipLimit particles {{ particleId }} stat {{ averageAge trend }}
    gates {{ name }} targets showAlerts }} }}
  environmentMap {{ name }} leadTime {{ start end }} cycleTime {{ start end }} linkRules {{ _id pattern fromIntegrationId }}
  metrics {{ name }} metricsBar {{ ... on MetricFilter {{ name relativeTime }} }} team {{ id name }} sprints {{ name }} releases {{ name }}
  features {{ name }} leadTimeChange {{ start }} devCycleTime {{ start }} particleTypes"""

CREATE = f"""mutation ($name: String!, $workflow: JSON, $description: String) {{
  createValueStream(name: $name, tenantId: "{TENANT}", team: {{ id: "1", name: "Default" }}, workflow: $workflow,
    description: $description) {{
    ... on Workflow {{ {WHOLE} }}
    ... on WorkflowUploadError {{ errors }}
  }}
}}"""

UPDATE = f"""mutation ($id: ID!, $workflow: JSON!) {{ updateWorkflow(workflowId: $id, workflow: $workflow) {{
  __typename ... on Workflow {{ {WHOLE} }} ... on WorkflowUploadError {{ errors }} }} }}"""

PARTICLE = """particleId lastVSMUpdate lastVSMEvent { timestamp content { field } } metricsData { _id } metricsDataCount
  issue { id name status history { timestamp } }
  commit { _id } pullRequest { _id } build { _id } version { id } deploy { _id }
  alerts { failedBuildIds failedDeployIds isUnassigned isPastAgeThreshold }"""


async def created(asked: ServerClient, document: Any = None) -> dict[str, Any]:
    answer = await asked.fetch_data(CREATE, name="Shop", workflow=board() if document is None else document)
    found: dict[str, Any] = answer["createValueStream"]
    return found


async def test_what_is_created_is_answered_with_every_scalar_that_clients_name(asked: ServerClient) -> None:
    await asked.fetch_data(UPLOAD, data=upload(item(1, sprints=[{"id": "1", "name": "Sprint 1"}]), tracker=TRACKER))
    made = await created(asked, board() | {"leadTime": [{"start": "To Do", "end": "Done"}], "query": "issue.id = US1"})
    for name in ("_id", "pipelineId", "tenantId", "integrationsCount"):
        assert made[name] is not None
    assert made["leadTime"] == {"start": "To Do", "end": "Done"}
    assert made["team"] == {"id": "1", "name": "Default"}
    assert made["sprints"] == [{"name": "Sprint 1"}]
    assert made["phases"][0]["stages"][0]["particles"] == [{"particleId": f"{TRACKER}:1"}]
    assert made["phases"][0]["stages"][0]["stat"]["averageAge"] > 0
    assert made["phases"][1]["stages"][0]["stat"]["averageAge"] is None
    again = (await asked.fetch_data(f"query ($id: ID!) {{ workflow(workflowId: $id) {{ {WHOLE} }} }}", id=made["_id"]))[
        "workflow"
    ]
    assert again["phases"][0]["name"] == "Plan"
    listed = await asked.fetch_data(f'{{ workflowsForTenant(tenantId: "{TENANT}") {{ {SCALARS} }} }}')
    assert [one["_id"] for one in listed["workflowsForTenant"]] == [made["_id"]]
    by_pipeline = await asked.fetch_data(
        "query ($id: ID!) { workflowIdByPipelineId(pipelineId: $id) }", id=made["pipelineId"]
    )
    assert by_pipeline == {"workflowIdByPipelineId": made["_id"]}


async def test_every_fault_of_an_upload_is_an_answer_and_nothing_is_applied(asked: ServerClient) -> None:
    made = await created(asked)
    wrong = board() | {"query": "x", "leadTime": 3}
    answer = (await asked.fetch_data(UPDATE, id=made["_id"], workflow=wrong))["updateWorkflow"]
    assert answer["__typename"] == "WorkflowUploadError"
    assert [text.partition(":")[0] for text in answer["errors"]] == ["query", "leadTime"]
    answer = (await asked.fetch_data(CREATE, name="Shop", workflow=board()))["createValueStream"]
    assert answer == {"errors": ["name: 'Shop' is taken"]}
    answer = (await asked.fetch_data(CREATE, name="New", workflow="{"))["createValueStream"]
    assert "line 1" in answer["errors"][0]
    odds: list[Any] = [[], 3, "[]"]
    for odd in odds:
        assert (await asked.fetch_data(CREATE, name="New", workflow=odd))["createValueStream"]["errors"]
    assert len(await asked.host.stores.streams.all()) == 1


async def test_an_update_adds_integrations_and_masks_their_secrets(asked: ServerClient) -> None:
    made = await created(asked)
    entry = {
        "type": "ucv-ext-rally",
        "name": "r",
        "properties": {"baseUrl": "http://127.0.0.1:9", "apiKey": "planted-9"},
    }
    answer = await asked.graphql(UPDATE, id=made["_id"], workflow=board() | {"integrations": [entry]})
    assert "planted-9" not in answer.text
    told = answer.json()["data"]["updateWorkflow"]
    (integration,) = await asked.host.stores.integrations.all()
    assert integration.properties["apiKey"] == "planted-9"
    assert told["integrations"][0]["properties"]["apiKey"] == "****"
    assert (told["integrationsCount"], told["integrationId"]) == (1, integration.id)
    versions = (
        "query ($id: ID!) { vsmVersions(workflowId: $id, skip: 0, limit: 1) "
        "{ count items { version name user timestamp description changes workflow } } }"
    )
    found = (await asked.fetch_data(versions, id=made["_id"]))["vsmVersions"]
    assert found["count"] == 2
    (newest,) = found["items"]
    assert (newest["version"], newest["name"], newest["user"]) == (2, "Shop", "admin")
    assert {"kind": "added", "what": "integration", "name": "r"} in newest["changes"]
    assert newest["workflow"]["integrations"][0]["properties"]["apiKey"] == "****"
    assert "planted-9" not in str(found)
    first = await asked.fetch_data(versions.replace("skip: 0", "skip: 1"), id=made["_id"])
    assert [(one["version"], one["changes"]) for one in first["vsmVersions"]["items"]] == [(1, [])]
    old = await asked.fetch_data(
        "query ($id: ID!) { workflow(workflowId: $id, version: 1) { integrationsCount } }", id=made["_id"]
    )
    assert old["workflow"]["integrationsCount"] == 0


async def test_dots_of_a_stage_in_pages(asked: ServerClient) -> None:
    items = [item(number, history=[change("Idea", "Defined", at=1_700_000_000_000 + number)]) for number in range(1, 8)]
    await asked.fetch_data(UPLOAD, data=upload(*items, item(20, status="Accepted", owner="Ann"), tracker=TRACKER))
    made = await created(asked)
    query = f"""query ($id: ID!, $stage: String!, $page: InsightsPaginationInput, $ids: [ID]) {{
      particlesByStage(workflowId: $id, stageName: $stage, pagination: $page, particleIds: $ids) {{ {PARTICLE} }} }}"""

    async def ids(stage: str, **more: Any) -> list[str]:
        found = (await asked.fetch_data(query, id=made["_id"], stage=stage, **more))["particlesByStage"]
        return [one["issue"]["id"] for one in found]

    # The newest in the stage first.
    assert await ids("To Do") == [f"US{number}" for number in range(7, 0, -1)]
    assert await ids("To Do", page={"skip": 2, "limit": 3}) == ["US5", "US4", "US3"]
    assert await ids("To Do", page={"skip": 7}) == []
    assert await ids("To Do", ids=[f"{TRACKER}:2", f"{TRACKER}:20", "x", "y:z"]) == ["US2"]
    assert await ids("Nowhere") == []
    (done,) = (await asked.fetch_data(query, id=made["_id"], stage="Done"))["particlesByStage"]
    assert done["alerts"] == {
        "failedBuildIds": [],
        "failedDeployIds": [],
        "isUnassigned": False,
        "isPastAgeThreshold": False,
    }
    by_id = f"""query ($id: ID!, $stream: ID!, $stage: String, $top: Boolean) {{
      particleById(particleId: $id, workflowId: $stream, stageName: $stage, includeTopLevelQuery: $top) {{ {PARTICLE} }} }}"""
    found = (await asked.fetch_data(by_id, id=f"{TRACKER}:1", stream=made["_id"]))["particleById"]
    assert (found["metricsData"], found["metricsDataCount"]) == ([], 0)
    assert found["lastVSMEvent"] == {"timestamp": 1_700_000_000_001, "content": {"field": "status"}}
    for stage, is_there in (("To Do", True), ("Done", False), ("Nowhere", False)):
        told = await asked.fetch_data(by_id, id=f"{TRACKER}:1", stream=made["_id"], stage=stage, top=True)
        assert (told["particleById"] is not None) is is_there, stage
    assert found["alerts"]["isUnassigned"] is True
    assert found["alerts"]["isPastAgeThreshold"] is True
    assert (await asked.fetch_data(by_id, id="x", stream=made["_id"]))["particleById"] is None


async def test_dots_that_match_a_query(asked: ServerClient) -> None:
    await asked.fetch_data(
        UPLOAD, data=upload(item(1), item(2, status="Accepted"), item(3, status="Idea"), tracker=TRACKER)
    )
    made = await created(asked, board() | {"query": "issue.status != Accepted"})
    query = """query ($dql: String, $id: ID!, $top: Boolean!, $text: String) {
      particlesMatchingQuery(query: $dql, pipelineId: $id, includeTopLevelQuery: $top, text: $text) }"""

    async def ids(text: str | None, *, top: bool, words: str | None = None) -> set[str]:
        found = await asked.fetch_data(query, dql=text, id=made["pipelineId"], top=top, text=words)
        return {one.removeprefix(f"{TRACKER}:") for one in found["particlesMatchingQuery"]}

    assert await ids("issue.type = Story", top=True) == {"1", "3"}
    assert await ids("issue.type = Story", top=False) == {"1", "2", "3"}
    assert await ids("", top=False, words="US2") == {"2"}
    answer = (await asked.graphql(query, dql="issue.x ==", id=made["pipelineId"], top=True)).json()
    assert "line 1, column" in answer["errors"][0]["message"]


async def test_renaming_the_metrics_bar_and_removing(asked: ServerClient) -> None:
    made = await created(asked)
    edit = """mutation ($id: ID!, $name: String, $team: TeamInput) {
      editValueStream(pipelineId: $id, pipelineName: $name, pipelineDesc: "d", team: $team) }"""
    team = {"id": "2", "name": "Other"}
    assert (await asked.fetch_data(edit, id=made["pipelineId"], name="New", team=team)) == {"editValueStream": True}
    read = "query ($id: ID!) { workflow(workflowId: $id) { name description team { id name } } }"
    told = (await asked.fetch_data(read, id=made["_id"]))["workflow"]
    assert told == {"name": "New", "description": "d", "team": team}
    assert (await asked.graphql(edit, id=made["pipelineId"], name=" ")).json()["errors"]
    bar = """mutation ($id: ID!, $bar: [MetricFilterInput], $charts: [ChartableInput]) {
      updateMetricsBar(workflowId: $id, metrics: $bar, chartables: $charts) {
        __typename ... on MetricFilter { name relativeTime displayType metricDefinitionId } } }"""
    metric = {"name": "m", "relativeTime": "DAY30", "displayType": "count", "metricDefinitionId": "x"}
    given = {**metric, "index": 0, "aggregationInterval": "WEEK", "calculationType": "total"}
    changed = (await asked.fetch_data(bar, id=made["_id"], bar=[given]))["updateMetricsBar"]
    assert changed == [{"__typename": "MetricFilter", **metric}]
    again = (
        "query ($id: ID!) { workflow(workflowId: $id) { metricsBar { ... on MetricFilter { aggregationInterval } } } }"
    )
    assert (await asked.fetch_data(again, id=made["_id"]))["workflow"]["metricsBar"] == [
        {"aggregationInterval": "WEEK"}
    ]
    refused = (await asked.graphql(bar, id=made["_id"], charts=[{"_id": "c", "index": 0}])).json()
    assert "draws no charts" in refused["errors"][0]["message"]
    remove = "mutation ($id: ID!, $tenant: ID!) { deleteValueStream(tenantId: $tenant, pipelineId: $id) }"
    assert (await asked.graphql(remove, id=made["pipelineId"], tenant="other")).json()["errors"]
    assert (await asked.fetch_data(remove, id=made["pipelineId"], tenant=TENANT)) == {"deleteValueStream": True}
    assert (await asked.graphql(remove, id=made["pipelineId"], tenant=TENANT)).json()["errors"]


@pytest.mark.parametrize(
    "query",
    [
        'vsmVersions(workflowId: "x") { count }',
        'particlesByStage(workflowId: "x", stageName: "y") { particleId }',
        'particlesMatchingQuery(pipelineId: "x", includeTopLevelQuery: true)',
    ],
)
async def test_what_is_not_there_is_told(asked: ServerClient, query: str) -> None:
    answer = (await asked.graphql(f"{{ {query} }}")).json()
    assert "there is no" in answer["errors"][0]["message"]


@pytest.mark.parametrize("page", [{"skip": -1}, {"limit": -5}, {"limit": 100_000}])
async def test_pages_have_bounds(asked: ServerClient, page: dict[str, int]) -> None:
    made = await created(asked)
    query = """query ($id: ID!, $page: InsightsPaginationInput) {
      particlesByStage(workflowId: $id, stageName: "To Do", pagination: $page) { particleId } }"""
    answer = (await asked.graphql(query, id=made["_id"], page=page)).json()
    assert "must be" in answer["errors"][0]["message"]


async def test_every_scalar_of_a_value_stream_can_be_asked_for_at_once(asked: ServerClient) -> None:
    made = await created(asked)
    endpoint: Endpoint = asked.host._endpoint
    found = endpoint.schemas[0].type_map["Workflow"]
    assert isinstance(found, GraphQLObjectType)

    def is_scalar(kind: Any) -> bool:
        while isinstance(kind, GraphQLNonNull | GraphQLList):
            kind = kind.of_type
        return isinstance(kind, GraphQLScalarType)

    names = [name for name, field in found.fields.items() if is_scalar(field.type)]
    assert set(SCALARS.split()) <= set(names)
    await asked.fetch_data(f"query ($id: ID!) {{ workflow(workflowId: $id) {{ {' '.join(names)} }} }}", id=made["_id"])


async def test_the_rest_addresses_answer_the_same(asked: ServerClient) -> None:
    await asked.fetch_data(UPLOAD, data=upload(item(1), item(2, status="Accepted"), tracker=TRACKER))
    made = await created(asked)
    headers, base = {"Authorization": f"UserAccessKey {asked.key}"}, "/release-events-api/api/v1"
    wanted = {"workflowId": made["_id"]}
    file = (await asked.http.get(f"/value-streams/{made['_id']}/file")).json()
    assert (await asked.http.get(f"{base}/workflow", params=wanted, headers=headers)).json() == file
    assert (await asked.http.get(f"{base}/workflowIds", headers=headers)).json() == [
        {"_id": made["_id"], "name": "Shop"}
    ]
    stages = (await asked.http.get(f"{base}/dots", params=wanted, headers=headers)).json()
    assert [(one["stage"], [dot["issue"]["id"] for dot in one["dots"]]) for one in stages] == [
        ("To Do", ["US1"]),
        ("Doing", []),
        ("Done", ["US2"]),
    ]
    only = await asked.http.get(f"{base}/dots", params={**wanted, "stageName": "Done"}, headers=headers)
    assert len(only.json()) == 1
    for path in ("workflow", "workflowIds", "dots"):
        assert (await asked.http.get(f"{base}/{path}", headers={"Authorization": "UserAccessKey x"})).status_code == 401
    for path in ("workflow?workflowId=x", "dots"):
        assert (await asked.http.get(f"{base}/{path}", headers=headers)).status_code == 404
    assert (await asked.http.get(f"{base}/dots", params={**wanted, "limit": "0"}, headers=headers)).status_code == 400
