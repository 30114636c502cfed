"""Whatever is valid for a published Accelerate server is valid here, is executed, and never ends in an internal error."""

from typing import Any

import pytest
from graphql import is_input_type, parse, print_type, validate, validate_schema
from graphql.validation.validate import validate_sdl

from rally_accelerate.accelerate.published_schemas import Server
from rally_accelerate.server.graphql import execution
from rally_accelerate.server.graphql import schema as schema_module
from rally_accelerate.server.graphql.unsupported_operations import MESSAGES
from support.issues import UPLOAD, change, item, upload
from support.server_client import TENANT, ServerClient
from support.value_streams import board
from support.vendor_documents import FORMS, Document, iter_documents, load_server_schema, make_sample

PROJECT = {"id": "1", "key": "P", "name": "Project"}

#: A file that leaves out what it may.
STREAM = board() | {
    "leadTime": [{"start": "To Do", "end": "Done"}],
    "integrations": [{"name": "n"}],
    "linkRules": [{"fromIntegrationName": "n", "toIntegrationName": "n"}],
    "metrics": [{"name": "m"}, {"properties": {"query": "issue.id = US1"}}],
    "metricsBar": [{"name": "m"}],
}


async def filled(asked: ServerClient) -> dict[str, Any]:
    """Fill a host with one of everything; values for arguments by their names."""
    properties = {"baseUrl": "http://127.0.0.1:9", "apiKey": "planted", "retrySeconds": 0}
    integration = await asked.host.add_integration({"name": "n", "properties": properties})
    await asked.host.run_integration(integration)
    execution = (await asked.host.stores.executions.list_latest(integration))[0].id
    boxes = [
        {"timestamp": 5, "content": {"field": "lastUpdate", "type": "integer", "from": 1, "to": 2}},
        {"timestamp": 6, "content": {"field": "labels", "type": "stringArray", "from": [], "to": ["a", "b"]}},
        {"timestamp": 7, "content": {"field": "comments", "type": "objectArray", "to": [{"id": 1, "comment": "c"}]}},
        {"timestamp": 8, "content": {"field": "sprint", "type": "objectArray", "to": [{"id": 1, "name": "S"}]}},
        {"timestamp": 9, "content": {}},
        change("Idea", "Defined"),
    ]
    whole = item(
        1, project=PROJECT, history=boxes, labels=["a"], storyPoints=2.5, businessValue=1.5, severity="SEV1",
        comments=[{"id": "1", "comment": "c"}], sprints=[{"id": "1", "name": "S"}], releases=[{"name": "R"}],
        relations=[{"id": "2", "type": "CHILD"}], rawIssue={"a": 1},
    )  # fmt: skip
    await asked.fetch_data(UPLOAD, data=upload(whole, item(2, project=PROJECT), tracker=integration))
    create = """mutation($t: ID!, $w: JSON) { createValueStream(name: "Shop", tenantId: $t, workflow: $w,
        team: {id: "1", name: "T"}) { ... on Workflow { _id pipelineId } ... on WorkflowUploadError { errors } } }"""
    made = (await asked.fetch_data(create, t=TENANT, w=STREAM))["createValueStream"]
    assert "errors" not in made, made
    return {
        "tenantId": TENANT, "workflowId": made["_id"], "pipelineId": made["pipelineId"], "stageName": "To Do",
        "particleId": f"{integration}:1", "particleIds": [f"{integration}:1"], "issueId": "US1", "projectKey": "P",
        "integrationId": integration, "integrationIds": [integration], "ids": [integration], "id": integration,
        "_id": integration, "type": "ucv-ext-rally", "category": "ALM", "name": "n", "pluginId": "ucv-ext-rally",
        "query": "issue.id = US1", "text": "Sample", "cursor": None, "limit": 5, "skip": 0, "version": 1,
        "filter": {"tenantId": TENANT}, "executionId": execution, "workflow": board(),
    }  # fmt: skip


def values(document: Document, known: dict[str, Any]) -> dict[str, Any]:
    """Values that lead to something, as far as there is such a thing."""
    own = {"integrationExecutionById": {"_id": known["executionId"]}, "setIntegrationVersion": {"version": "latest"}}
    given = {**known, **own.get(document.name, {})}
    return document.variables(lambda name, of: given[name] if name in given else make_sample(of))


@pytest.mark.parametrize("server", Server)
async def test_every_document_of_a_published_server_is_valid_here(asked: ServerClient, server: Server) -> None:
    schemas = asked.host._endpoint.schemas
    theirs, seen = load_server_schema(server), 0
    for each in iter_documents(theirs):
        document = execution.parse_within_limits(each.text)
        assert validate(theirs, document) == [], each
        refusals = [validate(schema, document) for schema in schemas]
        assert [] in refusals, (each, refusals)
        seen += 1
    assert seen > len(FORMS) * 45


async def test_the_types_that_a_start_does_not_validate_are_valid(asked: ServerClient) -> None:
    for server in schema_module.ORDER:
        assert validate_sdl(schema_module.load_document(server)) == []
    for schema in asked.host._endpoint.schemas:
        # Validated again: a schema that is assumed to be valid has no errors so far.
        schema._validation_errors = None
        assert validate_schema(schema) == []


async def test_no_single_schema_would_do(asked: ServerClient) -> None:
    for schema, server in zip(asked.host._endpoint.schemas, (Server.A, Server.B), strict=True):
        refused = [
            each.name for each in iter_documents(load_server_schema(server)) if validate(schema, parse(each.text))
        ]
        assert "particlesByStage" in refused


async def test_what_may_be_sent_is_the_same_in_every_schema(asked: ServerClient) -> None:
    """Variables that one schema refuses need not be tried with the other: a large upload is looked through once."""
    first, second = (
        {
            name: sorted(print_type(schema.type_map[name]).splitlines())
            for name, of in schema.type_map.items()
            if is_input_type(of)
        }
        for schema in asked.host._endpoint.schemas
    )
    assert first == second


@pytest.mark.parametrize("server", Server)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.title.replace(" ", "-"))
async def test_every_question_is_answered_without_a_fault(asked: ServerClient, server: Server, form: Any) -> None:
    known = await filled(asked)
    for each in iter_documents(load_server_schema(server), (form,)):
        if each.kind == "query":
            answer = (await asked.graphql(each.text, **values(each, known))).json()
            assert "errors" not in answer, (each.name, answer["errors"], each.text)
            # Of everything that there is one of, the answer has it.
            if each.name not in {"availablePlugins", "hasPermissions"}:
                assert answer["data"][each.name] not in (None, [], {"count": 0}), each.name


@pytest.mark.parametrize("server", Server)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.title.replace(" ", "-"))
async def test_every_change_is_executed_or_says_why_not(asked: ServerClient, server: Server, form: Any) -> None:
    known = await filled(asked)
    for each in iter_documents(load_server_schema(server), (form,)):
        if each.kind == "mutation":
            answer = (await asked.graphql(each.text, **values(each, known))).json()
            for error in answer.get("errors", ()):
                assert error["message"] != "internal error", each
                assert error["path"] == [each.name], (each, error)
            assert (each.name in MESSAGES) <= ("errors" in answer), each


@pytest.mark.parametrize("name", MESSAGES)
async def test_what_is_outside_the_purpose_of_this_server_is_refused_in_words(asked: ServerClient, name: str) -> None:
    each = next(each for each in iter_documents(load_server_schema(Server.B)) if each.name == name)
    (error,) = (await asked.graphql(each.text, **each.variables(lambda _, of: make_sample(of)))).json()["errors"]
    assert "this server" in error["message"]


async def test_samples_that_lead_nowhere_are_no_faults_either(asked: ServerClient) -> None:
    for server in Server:
        for each in iter_documents(load_server_schema(server)):
            answer = (await asked.graphql(each.text, **each.variables(lambda _, of: make_sample(of)))).json()
            for error in answer.get("errors", ()):
                assert error["message"] != "internal error", each
                assert error["path"] == [each.name], (each, error)
