"""A client that we did not write uploads issues and reads them, knowing only what the server tells of itself."""

from collections.abc import Iterator
from typing import Any

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.requests import RequestsHTTPTransport
from graphql import GraphQLError, GraphQLSchema

from support.graphql_selections import build_operation
from support.issues import UPLOAD, change, item, upload
from support.processes import TENANT, RunningServer, start_server


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A host in a process of its own."""
    with start_server(tmp_path_factory.mktemp("host") / "host.sqlite") as running:
        yield running


def client(target: RunningServer, key: str) -> Client:
    """The client of the package ``gql``, as its manual makes one."""
    transport = RequestsHTTPTransport(
        url=f"{target.url}/release-events-api/graphql", headers={"Authorization": f"UserAccessKey {key}"}
    )
    return Client(transport=transport, fetch_schema_from_transport=True)


def asked(session: Any, question: str, **variables: Any) -> dict[str, Any]:
    document = gql(question)
    document.variable_values = variables
    found: dict[str, Any] = session.execute(document)
    return found


def test_it_uploads_and_reads_back_what_it_uploaded(target: RunningServer) -> None:
    one = item(1, labels=["a"], storyPoints=2.5, rawIssue={"x": {"y": [1, None, "ß"]}}, history=[change("A", "B")])
    with client(target, target.key) as session:
        assert asked(session, UPLOAD, data=upload(one, item(2))) == {"uploadIssueData": {"result": True}}
        schema: GraphQLSchema = session.client.schema
        assert schema.query_type is not None
        given = {"tenantId": TENANT, "issueId": "US1"}
        question = build_operation("issue", schema.query_type.fields["issue"], given)
        found = asked(session, question, **given)["issue"]["issue"]
        for name in ("_id", "id", "name", "status", "created", "labels", "storyPoints", "rawIssue"):
            assert found[name] == one[name], name
        assert found["history"][0]["content"]["from"] == "A"
        filtered = "query($f: IssuesFilter!) { issues(filter: $f) { issue { id } } }"
        listed = asked(session, filtered, f={"tenantId": TENANT})["issues"]
        assert sorted(each["issue"]["id"] for each in listed) == ["US1", "US2"]
        statuses = asked(session, "query($t: ID!) { issueStatuses(tenantId: $t) }", t=TENANT)
        assert statuses == {"issueStatuses": ["Defined"]}


def test_its_own_check_against_our_schema_finds_a_wrong_question(target: RunningServer) -> None:
    with client(target, target.key) as session, pytest.raises(GraphQLError, match="nothing"):
        asked(session, "{ nothing }")


def test_it_is_told_what_is_wrong_in_the_way_it_expects(target: RunningServer) -> None:
    with client(target, target.key) as session:
        with pytest.raises(TransportQueryError) as refused:
            asked(session, UPLOAD, data=upload({**item(3), "created": "yesterday"}))
        assert "issues[0].created" in str(refused.value)
        with pytest.raises(TransportQueryError, match="there is no integration") as refused:
            asked(session, 'mutation { resyncIntegration(integrationId: "none") { _id } }')
        assert refused.value.errors is not None
        assert refused.value.errors[0]["path"] == ["resyncIntegration"]


def test_with_a_wrong_key_it_is_told_so(target: RunningServer) -> None:
    with pytest.raises(TransportQueryError, match="Not authorized"), client(target, "wrong"):
        pass
