"""What one viewer's query can cost: comparisons without an index, issues evaluated one by one, and time."""

import time
from typing import Any

import pytest

from rally_accelerate.dql import evaluator as meaning
from rally_accelerate.dql.parser import parse
from rally_accelerate.errors import QueryError, QueryTooSlowError
from rally_accelerate.server.store import query_evaluator, sqlite
from rally_accelerate.server.store.query_evaluator import MAX_SLOW_COMPARISONS, Budget, parse_limited
from support.issues import UPLOAD, change, item, upload
from support.server_client import ServerClient

STREAM = {
    "name": "A",
    "phases": [{"name": "P", "stages": [{"name": "Was done", "query": "issue.history.content.to = Done"}]}],
}


def histories(count: int, *, joined: str = " or ") -> str:
    return joined.join(f"issue.history.content.to = v{number}" for number in range(count))


async def fill(asked: ServerClient, count: int = 20) -> None:
    issues = (item(number, history=[{**change("Open", "Done"), "timestamp": 5}]) for number in range(count))
    await asked.fetch_data(UPLOAD, data=upload(*issues))


@pytest.mark.parametrize("joined", [" or ", " and ", " or not "])
def test_a_query_has_a_limited_number_of_comparisons_without_an_index(joined: str) -> None:
    assert parse_limited(histories(MAX_SLOW_COMPARISONS, joined=joined)) == parse(
        histories(MAX_SLOW_COMPARISONS, joined=joined)
    )
    with pytest.raises(
        QueryError, match=f"has {MAX_SLOW_COMPARISONS + 1} comparisons that must be evaluated"
    ) as refused:
        parse_limited(histories(MAX_SLOW_COMPARISONS + 1, joined=joined))
    assert refused.value.column == histories(MAX_SLOW_COMPARISONS + 1, joined=joined).rindex("issue.history") + 1


def test_comparisons_with_an_index_are_not_limited() -> None:
    parse_limited(" or ".join(f"issue.status = v{number}" for number in range(200)))


def test_a_budget_ends_with_its_evaluations_and_with_its_time() -> None:
    budget = Budget(seconds=3600, evaluations=10)
    budget.spend(10)
    with pytest.raises(QueryTooSlowError, match="more than 400,000 evaluations"):
        budget.spend(1)
    with pytest.raises(QueryTooSlowError, match="stopped after 30 seconds"):
        Budget(seconds=-1, evaluations=10).spend(1)


@pytest.mark.parametrize("address", ["/issues?dql={}", "/issues.json?dql={}", "/issues.csv?dql={}"])
async def test_two_hundred_comparisons_with_histories_are_refused_at_once(
    asked: ServerClient, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(asked)
    monkeypatch.setattr(sqlite, "matches", _never)
    answer = await asked.http.get(address.format(histories(200)))
    assert "at most 20 are allowed" in answer.text
    assert answer.status_code in {200, 400}


async def test_a_map_is_shown_without_a_query_that_is_refused(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(asked)
    created = await asked.fetch_data(
        "mutation($name: String!, $tenantId: ID!, $team: TeamInput!, $workflow: JSON) "
        "{ createValueStream(name: $name, tenantId: $tenantId, team: $team, workflow: $workflow) "
        "{ ... on Workflow { _id } } }",
        name="A",
        tenantId=upload()["tenantId"],
        team={"id": "1", "name": "Default"},
        workflow=STREAM,
    )
    address = f"/value-streams/{created['createValueStream']['_id']}.json"
    # What an editor has put into the value stream itself is not limited.
    monkeypatch.setattr(query_evaluator, "MAX_EVALUATIONS", 0)
    assert (await asked.http.get(address)).json()["total"] == 20
    refused = await asked.http.get(f"{address}?dql={histories(200)}")
    assert refused.status_code == 400
    assert "at most 20 are allowed" in refused.text
    assert refused.json()["total"] == 20


def _never(*_: Any, **__: Any) -> bool:
    raise AssertionError("an issue was evaluated")


async def test_evaluations_of_one_query_are_limited(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(asked, 20)
    monkeypatch.setattr(query_evaluator, "MAX_EVALUATIONS", 50)
    assert (await asked.http.get(f"/issues.json?dql={histories(2)}")).status_code == 200
    refused = await asked.http.get("/issues.json?dql=" + histories(4).replace("v", "w"))
    assert refused.status_code == 422
    assert "more than 50 evaluations" in refused.text
    assert "Use fewer comparisons with histories" in refused.text
    # The server is well.
    assert (await asked.http.get("/issues.json?dql=issue.status = Defined")).json()["count"] == 20


async def test_a_query_is_stopped_when_its_time_is_over(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(asked, 200)
    monkeypatch.setattr(query_evaluator, "TIMEOUT_SECONDS", 0.2)

    def slow(*given: Any, **more: Any) -> bool:
        time.sleep(0.05)
        return meaning.matches(*given, **more)

    # Evaluated one by one, the 200 issues would take ten seconds.
    monkeypatch.setattr(sqlite, "matches", slow)
    refused = await asked.http.get(f"/issues.json?dql={histories(1)}")
    assert refused.status_code == 422
    assert "was stopped after" in refused.text
    monkeypatch.setattr(query_evaluator, "TIMEOUT_SECONDS", 60)
    assert (await asked.http.get("/issues.json?dql=issue.status = Defined")).json()["count"] == 200
