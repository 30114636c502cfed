"""Clients of the vendor's kind ask for every scalar of a type: each is there, and none that must not be null is."""

from typing import Any

import pytest
from graphql import GraphQLObjectType, build_client_schema, get_introspection_query, get_named_type

from rally_accelerate import __version__
from rally_accelerate.server.permissions import Role
from support.graphql_selections import build_operation, needs_arguments
from support.issues import UPLOAD, change, item, upload
from support.server_client import TENANT, ServerClient

#: An issue that leaves nothing out that an upload may hold.
WHOLE: dict[str, Any] = {
    "description": "d",
    "owner": "o",
    "normalizedType": "FEATURE",
    "priority": "High",
    "versionIds": ["v"],
    "components": ["c"],
    "labels": ["l"],
    "storyPoints": 2.5,
    "comments": [{"id": "1", "user": "u", "created": 1, "updated": 2, "comment": "c"}],
    "history": [change("A", "B")],
    "releases": [{"id": "1", "description": "d", "name": "n", "archived": False, "released": True, "releaseDate": 5}],
    "sprints": [{"id": "1", "name": "n", "previous": "s0", "startTime": 1, "endTime": 2, "active": True}],
    "project": {"id": "1", "key": "P", "name": "Project"},
    "epic": "e",
    "rawIssue": {"a": [1]},
    "relations": [{"id": "2", "type": "CHILD"}],
    "severity": "SEV1",
    "businessValue": 1.5,
}


async def filled(asked: ServerClient) -> tuple[str, str]:
    """An integration that has run (and failed), and issues, one of them as bare as may be."""
    properties = {"baseUrl": "http://127.0.0.1:9", "apiKey": "planted", "retrySeconds": 0}
    its_id = await asked.host.add_integration({"name": "n", "properties": properties})
    await asked.host.run_integration(its_id)
    await asked.fetch_data(UPLOAD, data=upload(item(1, **WHOLE), item(2), tracker=its_id))
    return its_id, (await asked.host.stores.executions.list_latest(its_id))[0].id


async def test_every_question_for_everything_is_answered(asked: ServerClient) -> None:
    integration, execution = await filled(asked)
    arguments: dict[str, dict[str, Any]] = {
        "issue": {"tenantId": TENANT, "issueId": "1"},
        "issues": {"filter": {"tenantId": TENANT}},
        "issuesForProjectKey": {"tenantId": TENANT, "projectKey": "P"},
        "issueStatuses": {"tenantId": TENANT, "integrationIds": [integration]},
        "integrationById": {"id": integration},
        "integrationByName": {"tenantId": TENANT, "name": "n"},
        "integrationsByTenant": {"tenantId": TENANT},
        "integrationsByTenantId": {"tenantId": TENANT},
        "integrationsByIds": {"ids": [integration, "unknown"]},
        "integrationsByType": {"type": "ucv-ext-rally"},
        "integrationsByCategory": {"tenantId": TENANT, "category": "ALM"},
        "integrationsByActiveState": {"tenantId": TENANT, "activeState": {"active": True}},
        "integrationExecutionById": {"_id": execution},
        "latestPluginByPluginId": {"pluginId": "ucv-ext-rally"},
    }
    schema = build_client_schema(await asked.fetch_data(get_introspection_query()))  # type: ignore[arg-type]
    assert schema.query_type is not None
    seen: set[str] = set()
    for name, field in schema.query_type.fields.items():
        # Operations with arguments of another kind are asked in tests of their own.
        if needs_arguments(field) and name not in arguments:
            continue
        given = arguments.get(name, {})
        answer = (await asked.graphql(build_operation(name, field, given), **given)).json()
        assert "errors" not in answer, (name, answer["errors"])
        if name in arguments or name in {"plugins", "productVersion", "productBuild"}:
            assert answer["data"][name], name
        seen.add(get_named_type(field.type).name)
    assert {"IssueData", "Integration", "IntegrationExecution", "Plugin"} <= seen


async def test_whatever_a_mutation_answers_can_be_asked_for_whole(asked: ServerClient) -> None:
    integration, _ = await filled(asked)
    schema = build_client_schema(await asked.fetch_data(get_introspection_query()))  # type: ignore[arg-type]
    mutations = schema.mutation_type
    assert isinstance(mutations, GraphQLObjectType)
    for name, given in (
        ("updateIssues", {"issues": [{"externalId": "1", "updates": {"businessValue": 7}}], "tenantId": TENANT}),
        ("editIntegrations", {"ids": [integration], "operation": "DISABLE", "tenantId": TENANT}),
        ("setIntegrationVersion", {"integrationId": integration}),
        ("setIntegrationResyncData", {"_id": integration}),
        ("restoreIntegration", {"_id": integration}),
        ("updatePluginsIndex", {}),
        ("updateIntegrationState", {"integrationId": integration, "eventName": "e", "properties": {"a": 1}}),
    ):
        question = build_operation(name, mutations.fields[name], given, kind="mutation")
        answer = (await asked.graphql(question, **given)).json()
        assert "errors" not in answer, (name, answer["errors"])
        assert answer["data"][name], name


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ('installPlugin(image: "some/image:1.0.0") { _id }', "no image can be installed"),
        ('deletePlugin(_id: "ucv-ext-rally")', "cannot be deleted"),
        ('deletePlugin(_id: "other")', "there is no plug-in other"),
        ('restoreIntegration(_id: "gone") { _id }', "what is removed here is gone"),
        ('setIntegrationVersion(integrationId: "gone")', "there is no integration gone"),
        ('setIntegrationResyncData(_id: "gone") { _id }', "there is no integration gone"),
        ('editIntegrations(ids: ["gone"], operation: ENABLE, tenantId: "t") { _id }', "there is no integration gone"),
        (
            'updateIssues(issues: [{externalId: "9", updates: {}}], tenantId: "t")',
            "there is no issue 9; nothing was updated",
        ),
    ],
)
async def test_what_this_host_cannot_do_is_said(asked: ServerClient, question: str, said: str) -> None:
    answer = (await asked.graphql(f"mutation {{ {question} }}")).json()
    assert said in answer["errors"][0]["message"]


async def test_another_version_than_the_running_one_is_refused(asked: ServerClient) -> None:
    integration, _ = await filled(asked)
    question = "mutation($i: ID!, $v: SemVer) { setIntegrationVersion(integrationId: $i, version: $v) }"
    assert await asked.fetch_data(question, i=integration, v=__version__)
    answer = (await asked.graphql(question, i=integration, v="0.0.0")).json()
    assert "there is no version 0.0.0" in answer["errors"][0]["message"]


async def test_several_integrations_are_switched_at_once_and_it_is_noted_who_did_it(asked: ServerClient) -> None:
    first = await asked.host.add_integration({"name": "a", "properties": {"apiKey": "x"}, "disabled": True})
    second = await asked.host.add_integration({"name": "b", "properties": {"apiKey": "x"}, "disabled": True})
    by_state = "query($t: ID!, $a: IntegrationActiveState) { integrationsByActiveState(tenantId: $t, activeState: $a) { _id } }"
    assert (await asked.fetch_data(by_state, t=TENANT, a={}))["integrationsByActiveState"] == []
    edit = "mutation($i: [ID!]!, $a: EDIT_INTEGRATIONS_OPERATION!, $t: ID!) { editIntegrations(ids: $i, operation: $a, tenantId: $t) { disabled } }"
    refused = (await asked.graphql(edit, i=[first, "gone"], a="ENABLE", t=TENANT)).json()
    assert "there is no integration gone" in refused["errors"][0]["message"]
    assert (await asked.fetch_data(by_state, t=TENANT, a={}))["integrationsByActiveState"] == [], "nothing half done"
    enabled = (await asked.fetch_data(edit, i=[first, second, first], a="ENABLE", t=TENANT))["editIntegrations"]
    assert enabled == [{"disabled": False}] * 2
    entries = await asked.host.stores.audit.list_entries(limit=2)
    assert [(each.action, each.name) for each in entries] == [("enabled", "b"), ("enabled", "a")]


async def test_an_integration_goes_with_what_it_brought_or_without(asked: ServerClient) -> None:
    remove = "mutation($d: ID!, $l: Boolean) { removeIntegration(_id: $d, deleteLinkedData: $l) { _id delete executions { _id } } }"
    for linked, left in ((False, 2), (True, 0)):
        integration, _ = await filled(asked)
        assert (await asked.fetch_data(remove, d=integration, l=linked))["removeIntegration"]
        assert (await asked.host.stores.issues.count_by_tracker()).get(integration, 0) == left
        assert await asked.host.stores.integrations.by_id(integration) is None


async def test_a_business_value_is_set_and_read_back(asked: ServerClient) -> None:
    await asked.fetch_data(UPLOAD, data=upload(item(1), item(2)))
    update = "mutation($i: [IssueUpdates], $t: ID!) { updateIssues(issues: $i, tenantId: $t) }"
    wanted = [{"externalId": "2", "updates": {"businessValue": 3.5}}]
    unknown = [*wanted, {"externalId": "9", "updates": {"businessValue": 1}}]
    refused = (await asked.graphql(update, i=unknown, t=TENANT)).json()
    assert "there is no issue 9" in refused["errors"][0]["message"]
    read = 'query($t: ID!) { issue(tenantId: $t, issueId: "2") { issue { businessValue } } }'
    assert (await asked.fetch_data(read, t=TENANT))["issue"]["issue"]["businessValue"] is None
    assert (await asked.fetch_data(update, i=wanted, t=TENANT))["updateIssues"] == ["a" * 24 + ":2"]
    assert (await asked.fetch_data(read, t=TENANT))["issue"]["issue"]["businessValue"] == 3.5


async def test_issues_are_uploaded_over_rest_as_well(asked: ServerClient) -> None:
    address, headers = "/release-events-api/api/v1/issues", {"Authorization": f"UserAccessKey {asked.key}"}
    answer = await asked.http.post(address, json=upload(item(1)), headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"result": True})
    assert (await asked.host.stores.issues.get("a" * 24, "1")) is not None
    broken = await asked.http.post(address, json=upload({**item(2), "created": "never"}), headers=headers)
    assert broken.status_code == 400
    assert "issues[0].created" in broken.json()["errors"][0]["message"]
    no_uploads: list[Any] = [[], None, "x", {}]
    for body in no_uploads:
        assert (await asked.http.post(address, json=body, headers=headers)).status_code == 400
    asked.http.cookies.clear()
    assert (await asked.http.post(address, json=upload(item(1)))).status_code == 401
    viewer, _ = await asked.host.stores.users.add("viewer", Role.VIEWER)
    key = await asked.host.stores.keys.create("v", user_id=viewer.id)
    answer = await asked.http.post(address, json=upload(item(3)), headers={"Authorization": f"UserAccessKey {key.key}"})
    assert answer.status_code == 403
    assert "needs the role editor" in answer.json()["errors"][0]["message"]
    assert (await asked.host.stores.issues.get("a" * 24, "3")) is None
