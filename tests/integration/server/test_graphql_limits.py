"""A question that asks for too much is refused with a sentence, whatever it hides its size in; so is what is none."""

import asyncio
import time
from typing import Any

import pytest
from graphql import get_introspection_query
from graphql import parse as parse_document

from rally_accelerate.server.graphql import execution
from support.issues import UPLOAD, item, upload
from support.server_client import TENANT, ServerClient


def bomb(levels: int) -> str:
    """Fragments that hold each other twice: 2 to the power of ``levels`` fields in a few lines."""
    parts = [f"fragment f{n} on IssueData {{ ...f{n + 1} issue {{ id }} ...f{n + 1} }}" for n in range(levels)]
    return "{ issues { ...f0 } } " + " ".join(parts) + f" fragment f{levels} on IssueData {{ issue {{ id }} }}"


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("{ a" + " { a" * 30 + " }" * 30 + " }", "nested deeper than 25"),
        ("{ productVersion " + " ".join(f"a{n}: productVersion" for n in range(30)) + " }", "more than 20 operations"),
        ("{ integrationById(id: 1) { " + " ".join(f"a{n}: name" for n in range(900)) + " } }", "more than 800 fields"),
        (bomb(15), "more than 800 fields"),
        (bomb(200), "nested deeper than 25"),
        ("{ ...a } fragment a on Query { ...a }", "itself"),
        ("{ a(x: " + "[" * 5000 + "]" * 5000 + ") }", "nested too deep"),
        ("{ " + "a " * 40_000 + "}", "tokens"),
        ("{ productVersion } #" + "x" * 600_000, "500000"),
        ("{ nothing }", "nothing"),
        ("{", "Syntax"),
        ("subscription { a }", "subscription"),
    ],
)
async def test_too_much_is_refused_at_once_with_a_sentence(asked: ServerClient, question: str, said: str) -> None:
    started = time.process_time()
    answer = await asked.graphql(question)
    assert answer.status_code == 200
    assert said.lower() in answer.json()["errors"][0]["message"].lower()
    assert time.process_time() - started < 3


def test_the_questions_that_people_ask_are_none_of_them() -> None:
    execution.check_limits(parse_document(get_introspection_query(input_value_deprecation=True)))


async def test_lists_of_arguments_are_bounded(asked: ServerClient) -> None:
    question = "query($i: [ID!]!) { integrationsByIds(ids: $i) { _id } }"
    answer = (await asked.graphql(question, i=["x"] * 1001)).json()
    assert "at most 1000" in answer["errors"][0]["message"]


async def test_what_takes_too_long_is_given_up(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*_: Any, **__: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(execution, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(asked.host.stores.issues, "by_any_id", slow)
    answer = await asked.graphql('{ issue(tenantId: "x", issueId: "y") { _id } }')
    assert answer.status_code == 503
    assert "took longer" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'[{"query": "{ productVersion }"}]', "application/json", 400),
        (b'{"query": "{ productVersion }", "variables": []}', "application/json", 200),
        (b'{"query": "{ productVersion }", "operationName": {}}', "application/json", 200),
        (b"query=%7B+productVersion+%7D", "application/x-www-form-urlencoded", 415),
        (b"{ productVersion }", "application/graphql", 415),
        (b"", "multipart/form-data; boundary=x", 415),
    ],
)
async def test_what_is_no_question_is_told_why(asked: ServerClient, content: bytes, kind: str, status: int) -> None:
    headers = {"Authorization": f"UserAccessKey {asked.key}", "Content-Type": kind}
    answer = await asked.http.post("/release-events-api/graphql", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
async def test_other_methods_are_not_allowed(asked: ServerClient, method: str) -> None:
    headers = {"Authorization": f"UserAccessKey {asked.key}"}
    answer = await asked.http.request(method, "/release-events-api/graphql?query={productVersion}", headers=headers)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "literal", ["{a: 123456789012345678901234567890}", "{a: 1e999}", "[" * 120 + "]" * 120, "{a: {b: [1e400]}}"]
)
async def test_json_that_could_not_be_told_again_is_not_taken(asked: ServerClient, literal: str) -> None:
    fields = 'id: "US1", _id: "1", name: "n", status: "s", url: "u", creator: "c", created: 1, lastUpdate: 1, type: "t"'
    data = f'{{source: "x", trackerId: "a", tenantId: "{TENANT}", issues: [{{{fields}, rawIssue: {literal}}}]}}'
    answer = (await asked.graphql(f"mutation {{ uploadIssueData(data: {data}) {{ result }} }}")).json()
    assert "JSON must not" in answer["errors"][0]["message"]
    # What may be sent as text may be told again, also the largest that is taken.
    deep: Any = 2**63 - 1
    for _ in range(90):
        deep = [deep]
    await asked.fetch_data(UPLOAD, data=upload(item(1, rawIssue={"a": deep}), tracker="b"))
    assert (await asked.http.get("/issues/b/1.json")).json()["issue"]["rawIssue"] == {"a": deep}


async def test_more_values_than_an_upload_has_are_refused_before_they_are_read(asked: ServerClient) -> None:
    content = b'{"query": "{ productVersion }", "variables": {"a": [' + b"{}," * execution.MAX_VALUES + b"0]}}"
    headers = {"Authorization": f"UserAccessKey {asked.key}", "Content-Type": "application/json"}
    for path in ("graphql", "api/v1/issues"):
        answer = await asked.http.post(f"/release-events-api/{path}", content=content, headers=headers)
        assert answer.status_code == 413
        assert "more than 600000 values" in answer.json()["errors"][0]["message"]


async def test_of_very_many_mistakes_only_the_first_are_told(asked: ServerClient) -> None:
    answer = (await asked.graphql(UPLOAD, data={f"unknown{number}": number for number in range(1000)})).json()
    assert len(answer["errors"]) == execution.MAX_ERRORS + 1
    assert "unknown" in answer["errors"][-2]["message"] or "required" in answer["errors"][-2]["message"]
