"""What is told of the last run that succeeded: it stays true while others go on, fail, and are let go."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from rally_accelerate.server.store.executions import Retention
from rally_accelerate.server.store.tables import from_ms
from support.server_client import ServerClient

LIST = "/settings/integrations"

TOLD = """query one($id: ID!) { integrationById(id: $id) {
    last_run_successful last_run_completion_time last_successful_execution_time
} }"""


async def integration(asked: ServerClient, *, name: str = "one") -> str:
    """An integration that never ran."""
    properties = {"baseUrl": "http://127.0.0.1:9", "apiKey": "k"}
    return await asked.host.add_integration({"name": name, "properties": properties})


async def ran(asked: ServerClient, its_id: str, outcome: str) -> str:
    """A run that is over; its id."""
    key = await asked.host.stores.executions.start(its_id, job_name="e")
    await asked.host.stores.executions.finish(key, outcome=outcome, report={})
    return key


async def end_of(asked: ServerClient, key: str) -> datetime:
    """When a run ended; of two that begin in one millisecond, the first is set back."""
    found = await asked.host.stores.executions.get(key)
    assert found is not None
    assert found.completed is not None
    return found.completed


async def last_sync(asked: ServerClient, its_id: str) -> datetime | None:
    """As the list and the page of the integration tell it, which must agree."""
    rows = (await asked.http.get(f"{LIST}.json")).json()["integrations"]
    (listed,) = (each for each in rows if each["id"] == its_id)
    alone = (await asked.http.get(f"{LIST}/{its_id}.json")).json()["integration"]
    assert listed["lastSync"] == alone["lastSync"]
    return None if listed["lastSync"] is None else datetime.fromisoformat(listed["lastSync"])


async def told(asked: ServerClient, its_id: str) -> tuple[Any, ...]:
    """As GraphQL tells it: whether the last run succeeded, when it ended, when the last one did that succeeded."""
    found = (await asked.fetch_data(TOLD, id=its_id))["integrationById"]
    last, good = found["last_run_completion_time"], found["last_successful_execution_time"]
    return found["last_run_successful"], last and from_ms(last), good and from_ms(good)


@pytest.mark.parametrize("outcome", ["failed", "interrupted"])
async def test_what_never_worked_has_never_synced(asked: ServerClient, outcome: str) -> None:
    its_id = await integration(asked)
    run = await ran(asked, its_id, outcome)
    assert await last_sync(asked, its_id) is None
    assert await told(asked, its_id) == (False, await end_of(asked, run), None)


@pytest.mark.parametrize("outcome", ["complete", "partial"])
async def test_the_last_sync_stays_while_others_fail_and_go_on(asked: ServerClient, outcome: str) -> None:
    its_id = await integration(asked)
    await ran(asked, its_id, "complete")
    run = await ran(asked, its_id, outcome)
    assert await last_sync(asked, its_id) == await end_of(asked, run)
    await ran(asked, its_id, "failed")
    assert await last_sync(asked, its_id) == await end_of(asked, run)
    await asked.host.stores.executions.start(its_id, job_name="e")
    assert await last_sync(asked, its_id) == await end_of(asked, run)
    assert ">never<" not in (await asked.http.get(LIST)).text


async def test_graphql_tells_the_last_that_ended_and_the_last_that_succeeded(asked: ServerClient) -> None:
    its_id = await integration(asked)
    good = await ran(asked, its_id, "complete")
    # Clients are told of a partial run that it did not succeed, here as in its execution.
    await ran(asked, its_id, "partial")
    bad = await ran(asked, its_id, "failed")
    for _ in range(2):
        assert await told(asked, its_id) == (False, await end_of(asked, bad), await end_of(asked, good))
        # The same while the next one goes on.
        await asked.host.stores.executions.start(its_id, job_name="e")


async def test_the_last_sync_outlives_the_runs_that_are_let_go(asked: ServerClient) -> None:
    its_id = await integration(asked)
    its_own = asked.host.stores.executions
    asked.host.stores.executions.retention = Retention(runs=2, days=10)
    await ran(asked, its_id, "complete")
    good = await ran(asked, its_id, "complete")
    partial = await ran(asked, its_id, "partial")
    for _ in range(4):
        await ran(asked, its_id, "failed")
    assert [one.outcome for one in await its_own.list_latest(its_id)] == ["failed", "failed", "partial", "complete"]
    assert await last_sync(asked, its_id) == await end_of(asked, partial)
    assert (await told(asked, its_id))[-1] == await end_of(asked, good)


async def test_the_last_sync_outlives_the_age_of_runs(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    its_id = await integration(asked)
    good = await ran(asked, its_id, "complete")
    asked.host.stores.executions.retention = Retention(days=10)
    other = await integration(asked, name="two")

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=30)

    monkeypatch.setattr("rally_accelerate.server.store.executions.datetime", Later)
    old = await ran(asked, its_id, "failed")
    await ran(asked, other, "failed")
    assert await last_sync(asked, its_id) == await end_of(asked, good)
    assert old != good
