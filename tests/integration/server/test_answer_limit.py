"""The operator's limit of one answer's size holds wherever integrations are changed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rally_accelerate.config.response_limit import set_answer_limit
from support.server_client import TENANT, ServerClient
from support.value_streams import create_value_stream

RALLY: dict[str, Any] = {"baseUrl": "http://127.0.0.1:9", "apiKey": "k-7"}
LARGE = {**RALLY, "answerMaxBytes": 10_000_000_000}
SAID = "is above 500,000,000 bytes, the limit of this server"


@pytest.fixture(autouse=True)
def _limited() -> Iterator[None]:
    set_answer_limit(500_000_000)
    yield
    set_answer_limit(None)


async def test_the_form_refuses_more(asked: ServerClient) -> None:
    form = {"name": "n", **{f"properties.{name}": str(value) for name, value in LARGE.items()}}
    answer = await asked.http.post("/settings/integrations/new", data=form)
    assert answer.status_code == 422
    assert SAID in answer.text


async def test_graphql_refuses_more(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "n", "properties": RALLY})
    edit = "mutation($d: ID!, $i: EditIntegrationInput!) { editIntegration(_id: $d, input: $i) { name } }"
    answer = (await asked.graphql(edit, d=its_id, i={"tenantId": TENANT, "properties": LARGE})).json()
    assert SAID in answer["errors"][0]["message"]
    stored = await asked.host.stores.integrations.by_id(its_id)
    assert stored is not None
    assert "answerMaxBytes" not in stored.properties


async def test_imports_refuse_more(asked: ServerClient) -> None:
    stream = await create_value_stream(asked, {"name": "A", "phases": []})
    document = {
        "name": "A",
        "phases": [],
        "integrations": [{"type": "ucv-ext-rally", "name": "n", "properties": LARGE}],
    }
    answer = await asked.http.post(
        f"/value-streams/{stream}/import", files={"file": ("x.json", json.dumps(document).encode())}
    )
    assert SAID in answer.text


async def test_what_was_stored_before_does_not_run_with_more(asked: ServerClient) -> None:
    set_answer_limit(None)
    its_id = await asked.host.add_integration({"name": "n", "properties": LARGE})
    set_answer_limit(500_000_000)
    report = await asked.host.run_integration(its_id)
    assert report.failure is not None
    assert SAID in str([str(each) for each in getattr(report.failure, "problems", ())])
    assert (await asked.http.get(f"/settings/integrations/{its_id}")).status_code == 200
