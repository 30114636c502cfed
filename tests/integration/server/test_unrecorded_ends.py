"""A disk that fills while a run goes on: what was done is told as done, and no run is left open."""

import pytest
import sqlalchemy as sa

from rally_accelerate.server import scheduler as schedule_module
from rally_accelerate.server.store.executions import INTERRUPTED
from support.full_disk import full_disk
from support.server_client import ServerClient
from support.waiting import until

LIST = "/settings/integrations"

#: Nobody is there, and it is asked for an hour.
NEVER = {"baseUrl": "http://127.0.0.1:9", "apiKey": "k", "retrySeconds": 3600}


async def going(asked: ServerClient) -> str:
    """An integration whose run goes on."""
    its_id = await asked.host.add_integration({"name": "one", "properties": NEVER})
    asked.host.scheduler.start_run(its_id)
    await until(lambda: asked.host.scheduler.is_running(its_id))
    return its_id


async def switched_off(asked: ServerClient, its_id: str) -> int:
    """How switching an integration off is answered."""
    return (await asked.http.post(f"{LIST}/{its_id}/toggle", data={"to": "off"})).status_code


async def open_ones(asked: ServerClient) -> int:
    """How many runs pass for running in the database."""
    query = sa.text("SELECT count(*) FROM executions WHERE completed IS NULL")
    async with asked.host.stores.database.reading() as connection:
        return int((await connection.execute(query)).scalar_one())


async def test_a_switch_that_is_done_is_told_as_done(asked: ServerClient) -> None:
    its_id = await going(asked)
    # Space for the switch, and for nothing behind it.
    seen = {"switch": False, "commit": False}

    def behind(statement: str) -> bool:
        seen["switch"] |= statement.startswith("UPDATE integrations")
        return seen["commit"]

    def committed(_: sa.Connection) -> None:
        seen["commit"] = seen["switch"]

    sa.event.listen(asked.host.stores.database._engine.sync_engine, "commit", committed)
    with full_disk(asked, when=behind):
        assert await switched_off(asked, its_id) == 303
        assert await open_ones(asked) == 1
    (found,) = await asked.host.stores.integrations.all()
    assert found.disabled
    assert not asked.host.scheduler.is_running(its_id)


@pytest.mark.parametrize("table", ["integrations", "audit"])
async def test_a_switch_that_is_refused_is_not_done(asked: ServerClient, table: str) -> None:
    its_id = await going(asked)
    with full_disk(asked, when=lambda statement: table in statement):
        assert await switched_off(asked, its_id) == 503
    (found,) = await asked.host.stores.integrations.all()
    assert not found.disabled
    assert asked.host.scheduler.is_running(its_id)


async def test_an_end_that_could_not_be_written_is_known_and_written_with_space_again(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    its_id = await going(asked)
    with full_disk(asked, when=lambda statement: "executions" in statement):
        await switched_off(asked, its_id)
        (run,) = await asked.host.stores.executions.list_latest(its_id)
        assert (run.outcome, run.completed is None) == (INTERRUPTED, False)
        assert await open_ones(asked) == 1
    assert "the end of a run is noted later" in caplog.text
    # It is switched off, so no next run begins: the schedule sees to it.
    monkeypatch.setattr(schedule_module, "POLL_SECONDS", 0.0)
    asked.host.start_scheduler()

    async def all_written() -> bool:
        return not await open_ones(asked)

    await until(all_written)
    assert await asked.host.stores.executions.list_latest(its_id) == [run]


async def test_a_full_disk_does_not_take_the_report_of_a_run_that_somebody_awaits(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": {**NEVER, "retrySeconds": 0}})
    with full_disk(asked, when=lambda statement: "UPDATE executions" in statement and "report" in statement):
        told = await asked.host.run_integration(its_id)
        assert await open_ones(asked) == 1
    await asked.host.stores.executions.start(its_id, job_name="e")
    _, first = await asked.host.stores.executions.list_latest(its_id)
    assert (first.outcome, first.report["outcome"]) == ("failed", told.outcome.value)


async def test_a_run_that_was_left_open_is_closed_when_the_next_begins(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": NEVER})
    other = await asked.host.add_integration({"name": "two", "properties": NEVER})
    executions = asked.host.stores.executions
    for each in (other, its_id, its_id):
        await executions.start(each, job_name="e")
    assert [one.outcome for one in await executions.list_latest(its_id)] == ["", INTERRUPTED]
    # That of another goes on.
    assert [one.outcome for one in await executions.list_latest(other)] == [""]
