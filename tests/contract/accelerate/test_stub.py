"""The stand-in for Accelerate answers as the published schemas say, and refuses what they refuse."""

from typing import Any

import httpx2
import pytest

from support.accelerate_stub import PATH, TENANT, TRACKER, AccelerateStub, Label, accelerate_stub
from support.waiting import PATIENCE_SECONDS

UPLOAD = "mutation($data: IssueDataIn!) { uploadIssueData(data: $data) { result } }"
PAGE = """
query($t: ID!, $k: String!, $n: Int!, $c: String) {
  issuesForProjectKey(tenantId: $t, projectKey: $k, limit: $n, cursor: $c) {
    nodes { trackerId issue { _id created } } pageInfo { cursor hasMore }
  }
}
"""
STATE = """
mutation($i: ID!, $e: String!, $p: JSON) { updateIntegrationState(integrationId: $i, eventName: $e, properties: $p) {
  state
} }
"""


def ask(stub: AccelerateStub, query: str, **variables: Any) -> dict[str, Any]:
    headers = {"Authorization": f"UserAccessKey {stub.key}"}
    answer: dict[str, Any] = httpx2.post(
        f"{stub.url}{PATH}", json={"query": query, "variables": variables}, headers=headers, timeout=PATIENCE_SECONDS
    ).json()
    return answer


def data_of(*keys: str, **more: Any) -> dict[str, Any]:
    issues = [
        {
            "_id": key,
            "id": f"US{key}",
            "name": "n",
            "status": "s",
            "url": "u",
            "creator": "c",
            "created": 1_700_000_000_000,
            "lastUpdate": "1700000000000",
            "type": "Story",
            "project": {"id": "7", "key": "7", "name": "P"},
            **more,
        }
        for key in keys
    ]
    return {"source": "RALLY", "trackerId": TRACKER, "tenantId": TENANT, "issues": issues}


@pytest.mark.parametrize("schema", ["A", "B"])
def test_uploads_are_stored_and_read_page_by_page(schema: Label) -> None:
    with accelerate_stub(schema) as stub:
        assert ask(stub, UPLOAD, data=data_of("1", "2", "3"))["data"] == {"uploadIssueData": {"result": True}}
        assert list(stub.issues_of()) == ["1", "2", "3"]
        first = ask(stub, PAGE, t=TENANT, k="7", n=2)["data"]["issuesForProjectKey"]
        assert [each["issue"]["_id"] for each in first["nodes"]] == ["1", "2"]
        assert first["pageInfo"]["hasMore"] is True
        stub.dates = "iso"
        second = ask(stub, PAGE, t=TENANT, k="7", n=2, c=first["pageInfo"]["cursor"])["data"]["issuesForProjectKey"]
        assert [each["issue"] for each in second["nodes"]] == [{"_id": "3", "created": "2023-11-14T22:13:20.000Z"}]
        assert second["pageInfo"] == {"cursor": None, "hasMore": False}
        # A cursor that the client made up.
        assert "errors" in ask(stub, PAGE, t=TENANT, k="7", n=2, c="2")
        assert not stub.refused


@pytest.mark.parametrize(
    ("query", "variables", "message"),
    [
        ("{ issue(tenantId: 1, issueId: 1) { issue { history { timestamp } } } }", {}, "Cannot query field 'history'"),
        (
            UPLOAD,
            {"data": data_of("1", sprints=[{"id": "1", "name": "S", "previous": True}])},
            "String cannot represent",
        ),
        (UPLOAD, {"data": data_of("1", created="soon")}, "Date cannot represent"),
        (UPLOAD, {"data": data_of("1", more="x")}, "'more'"),
    ],
)
def test_what_a_server_would_refuse_is_refused_and_noted(query: str, variables: Any, message: str) -> None:
    for schema in ("A", "B"):
        with accelerate_stub(schema) as stub:
            assert message in ask(stub, query, **variables)["errors"][0]["message"]
            assert any(message in told for _, told in stub.refused)
            assert stub.issues_of() == {}


def test_newer_fields_are_known_to_newer_servers_alone() -> None:
    for schema, known in (("A", False), ("B", True)):
        with accelerate_stub(schema) as stub:  # type: ignore[arg-type]
            ask(stub, UPLOAD, data=data_of("1", resolution="Done"))
            assert bool(stub.issues_of()) is known


def test_it_loses_refuses_and_fails_on_demand() -> None:
    with accelerate_stub("A") as stub:
        ask(stub, UPLOAD, data=data_of("1"))
        ask(stub, STATE, i=TRACKER, e="event", p={"a": 1})
        assert stub.state_of() == {"a": 1}
        stub.lose_issues()
        assert (stub.issues_of(), stub.state_of()) == ({}, {"a": 1})
        stub.lose_states()
        stub.keeps_state = False
        ask(stub, STATE, i=TRACKER, e="event", p={"a": 2})
        assert stub.state_of() is None
        stub.fail("uploadIssueData", times=1, message="not now")
        assert ask(stub, UPLOAD, data=data_of("2"))["errors"] == [{"message": "not now"}]
        stub.acknowledgement = None
        assert ask(stub, UPLOAD, data=data_of("2"))["data"] == {"uploadIssueData": None}
        assert stub.issues_of() == {}
        stub.key = "another"
        assert stub.request_counts["uploadIssueData"] == 3
        wrong = httpx2.post(
            f"{stub.url}{PATH}",
            json={"query": UPLOAD},
            headers={"Authorization": "UserAccessKey x"},
            timeout=PATIENCE_SECONDS,
        )
        assert wrong.status_code == 401
