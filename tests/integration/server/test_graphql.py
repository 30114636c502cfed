"""The endpoint answers as the vendor's does: names, nullability, errors, keys, limits."""

from collections.abc import Mapping
from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query, validate
from graphql import parse as parse_document

from rally_accelerate.accelerate import documents
from rally_accelerate.server.permissions import Actor
from support.issues import UPLOAD, change, item, upload
from support.server_client import TENANT, ServerClient

ISSUE = "query($t: ID!, $i: ID!) { issue(tenantId: $t, issueId: $i) { _id trackerId type issue { %s } } }"
FIELDS = "_id id name status owner labels created lastUpdate normalizedType storyPoints rawIssue history { timestamp content { field from to } }"

#: accelerate-api-notes.md#default-selection: a server that lacks one of them fails clients of the vendor's kind.
DEFAULT_SELECTION = {
    "Integration": "_id type tenant_id name loggingLevel showHidden userAccessKey displayName ucd_url token status image "
    "pluginId last_run_successful disabled delete upgradeAvailable cleanupOnDelete last_run_completion_time "
    "last_successful_execution_time startTime heartbeat current_time properties state",
    "IntegrationExecution": "_id integrationId jobName jobType log startTime completionTime success",
    "ScheduledEventState": "_id eventName lastStartTime deltaTime",
    "IssueData": "_id trackerId tenantId type issue",
    "IssueDataItem": "_id id name description status url creator owner created lastUpdate type normalizedType priority "
    "storyPoints epic history comments rawIssue relations",
    "AccessKey": "id accessKey name created lastUsed",
    "Plugin": "_id pluginId displayName description docUrl image releaseDate vsmLinkRuleDefaultRegex features",
    "Workflow": "_id pipelineId tenantId name description query recalculating integrationId integrationsCount created "
    "lastUpdate mappings",
    "Particle": "metricsDataCount lastVSMUpdate particleId",
    "VSMVersionResponse": "count",
}


async def test_an_upload_comes_back_and_a_second_one_replaces_it(asked: ServerClient) -> None:
    first = item(1, labels=["a"], history=[change("", "Defined")], rawIssue={"x": 1}, storyPoints=2.5)
    await asked.fetch_data(UPLOAD, data=upload(first, item(2)))
    await asked.fetch_data(UPLOAD, data=upload(item(1, status="Accepted", history=[change("", "A"), change("A", "B")])))
    found = (await asked.fetch_data(ISSUE % FIELDS, t=TENANT, i="US1"))["issue"]["issue"]
    assert (found["status"], found["labels"], found["normalizedType"]) == ("Accepted", [], "OTHER")
    assert [entry["content"]["to"] for entry in found["history"]] == ["A", "B"]
    assert found["history"][0]["timestamp"] == 1_700_000_000_500
    listed = await asked.fetch_data("query($f: IssuesFilter!) { issues(filter: $f) { _id } }", f={"tenantId": TENANT})
    assert len(listed["issues"]) == 2


@pytest.mark.parametrize(
    "given", [1_700_000_000_000, "1700000000000", "2023-11-14T22:13:20Z", "2023-11-14T22:13:20+00:00"]
)
async def test_dates_in_every_form_that_plugins_send(asked: ServerClient, given: Any) -> None:
    await asked.fetch_data(UPLOAD, data=upload(item(1, created=given)))
    assert (await asked.fetch_data(ISSUE % "created", t=TENANT, i="1"))["issue"]["issue"][
        "created"
    ] == 1_700_000_000_000


@pytest.mark.parametrize(
    "broken",
    [
        {"name": None},
        {"status": None},
        {"created": "yesterday"},
        {"normalizedType": "STORY"},
        {"unknownField": 1},
    ],
)
async def test_one_broken_issue_stops_its_whole_upload_with_a_path(asked: ServerClient, broken: dict[str, Any]) -> None:
    answer = await asked.graphql(UPLOAD, data=upload(item(1), item(2, **broken)))
    assert answer.status_code == 200
    assert "issues[1]" in answer.json()["errors"][0]["message"]
    assert (await asked.fetch_data(ISSUE % "_id", t=TENANT, i="1"))["issue"] is None


async def test_fields_of_newer_servers_are_taken(asked: ServerClient) -> None:
    await asked.fetch_data(UPLOAD, data=upload(item(1, severity="SEV1", businessValue=3.5, additionalInfo={"a": 1})))
    found = (await asked.fetch_data(ISSUE % "severity businessValue additionalInfo", t=TENANT, i="1"))["issue"]["issue"]
    assert found == {"severity": "SEV1", "businessValue": 3.5, "additionalInfo": {"a": 1}}


@pytest.mark.parametrize("key", ["", "wrong", "00000000-0000-0000-0000-000000000000"])
async def test_without_a_key_nothing_is_told(asked: ServerClient, key: str) -> None:
    answer = await asked.graphql("{ productVersion }", key=key)
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_made_key_works_and_is_shown_once(asked: ServerClient) -> None:
    made = (await asked.fetch_data('mutation { createMyUserAccessKey(name: "x") { accessKey name } }'))[
        "createMyUserAccessKey"
    ]
    assert (await asked.graphql("{ productVersion }", key=made["accessKey"])).status_code == 200


async def test_too_large_a_request_is_refused_with_413(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rally_accelerate.server.graphql.endpoint.MAX_BYTES", 10_000)
    answer = await asked.graphql(UPLOAD, data=upload(item(1, description="x" * 20_000)))
    assert answer.status_code == 413


@pytest.mark.parametrize("content", [b"", b"nothing", b"[]", b'{"query": 3}'])
async def test_what_is_no_question_is_answered_with_400(asked: ServerClient, content: bytes) -> None:
    headers = {"Authorization": f"UserAccessKey {asked.key}"}
    answer = await asked.http.post("/release-events-api/graphql", content=content, headers=headers)
    assert answer.status_code == 400


ADD = "mutation($i: AddIntegrationInput!) { addIntegration(input: $i) { _id name properties status } }"


def integration(**more: Any) -> dict[str, Any]:
    properties = {"baseUrl": "https://rally.example", "apiKey": "planted-secret-1", **more}
    return {
        "name": "n",
        "displayName": "n",
        "type": "ucv-ext-rally",
        "tenantId": TENANT,
        "enabled": False,
        "properties": properties,
    }


async def test_integrations_are_added_found_changed_and_removed(asked: ServerClient) -> None:
    added = (await asked.fetch_data(ADD, i=integration()))["addIntegration"]
    assert added["properties"] == {"baseUrl": "https://rally.example", "apiKey": "****"}
    by_name = "query($n: String!, $t: ID!) { integrationByName(name: $n, tenantId: $t) { _id } }"
    assert (await asked.fetch_data(by_name, n="n", t=TENANT))["integrationByName"]["_id"] == added["_id"]
    edit = "mutation($d: ID!, $i: EditIntegrationInput!) { editIntegration(_id: $d, input: $i) { name properties } }"
    elsewhere = {"tenantId": TENANT, "properties": {"baseUrl": "https://other.example", "apiKey": "****"}}
    # Whoever may not read the key may not have it sent to an address of their own either.
    refused = (await asked.graphql(edit, d=added["_id"], i=elsewhere)).json()
    assert "apiKey must be entered again, because the change of baseUrl" in refused["errors"][0]["message"]
    changed = {
        "tenantId": TENANT,
        "properties": {"baseUrl": "https://rally.example", "apiKey": "****", "workspace": "W"},
    }
    assert (await asked.fetch_data(edit, d=added["_id"], i=changed))["editIntegration"]["properties"][
        "apiKey"
    ] == "****"
    stored = await asked.host.stores.integrations.by_id(added["_id"])
    assert stored is not None
    assert stored.properties["apiKey"] == "planted-secret-1"
    assert (await asked.fetch_data("mutation($d: ID!) { removeIntegration(_id: $d) { _id } }", d=added["_id"]))[
        "removeIntegration"
    ]
    assert (await asked.fetch_data(by_name, n="n", t=TENANT))["integrationByName"] is None


async def test_a_secret_that_is_entered_meanwhile_goes_to_no_other_address(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    its_id = await asked.host.add_integration(
        {"name": "a", "properties": {"baseUrl": "https://b.example", "apiKey": "b"}}
    )
    edit = asked.host.integrations.edit

    async def overtaken(actor: Actor, which: str, changes: Mapping[str, Any]) -> Any:
        # What an administrator saves between the look at the stored settings and this write.
        mended = {"properties": {"baseUrl": "https://a.example", "apiKey": "the-real-one"}}
        await asked.host.stores.integrations.change(which, mended)
        return await edit(actor, which, changes)

    monkeypatch.setattr(asked.host.integrations, "edit", overtaken)
    await asked.fetch_data(
        "mutation($d: ID!, $i: EditIntegrationInput!) { editIntegration(_id: $d, input: $i) { name } }",
        d=its_id,
        i={"tenantId": TENANT, "properties": {"baseUrl": "https://b.example", "apiKey": "****"}},
    )
    stored = await asked.host.stores.integrations.by_id(its_id)
    assert stored is not None
    assert (stored.properties["baseUrl"], stored.properties["apiKey"]) == ("https://b.example", "b")


async def test_wrong_settings_and_taken_names_are_told(asked: ServerClient) -> None:
    answer = (await asked.graphql(ADD, i=integration(baseUrl="ftp://x"))).json()
    assert "must begin with https" in answer["errors"][0]["message"]
    await asked.fetch_data(ADD, i=integration())
    assert "exists already" in (await asked.graphql(ADD, i=integration())).json()["errors"][0]["message"]


async def test_the_secret_is_nowhere_in_the_clear(asked: ServerClient) -> None:
    await asked.fetch_data(ADD, i=integration(password="planted-secret-2", username="u"))
    async with asked.host.stores.database.reading() as connection:
        rows = (await connection.exec_driver_sql("SELECT properties FROM integrations")).all()
    assert "planted-secret" not in str(rows)


async def test_the_schema_has_every_scalar_that_vendor_clients_select(asked: ServerClient) -> None:
    schema = build_client_schema(await asked.fetch_data(get_introspection_query()))  # type: ignore[arg-type]
    for name, fields in DEFAULT_SELECTION.items():
        known = schema.type_map[name].fields  # type: ignore[attr-defined]
        assert set(fields.split()) <= set(known), name


async def test_the_connectors_documents_are_valid_against_the_contract(asked: ServerClient) -> None:
    schema = build_client_schema(await asked.fetch_data(get_introspection_query()))  # type: ignore[arg-type]
    for document in documents.ALL.values():
        assert validate(schema, parse_document(document)) == []


async def test_a_fault_of_our_own_is_told_without_its_details(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("planted detail")

    monkeypatch.setattr(asked.host.stores.issues, "store_upload", broken)
    answer = await asked.graphql(UPLOAD, data=upload(item(1)))
    assert answer.json()["errors"][0]["message"] == "internal error"
    assert "planted detail" not in answer.text


async def test_properties_are_kept_under_their_own_names_whatever_their_spelling(asked: ServerClient) -> None:
    given = {**integration(), "properties": {"URL": "https://rally.example", "apitoken": "planted-secret-1"}}
    added = (await asked.fetch_data(ADD, i=given))["addIntegration"]
    assert added["properties"] == {"baseUrl": "https://rally.example", "apiKey": "****"}
