"""Runs take turns, and all of them can be stopped: those of the schedule and those that somebody waits for."""

import asyncio
import io
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rally_accelerate.config.model import DEFAULT_TENANT
from rally_accelerate.config.redaction import Redactor
from rally_accelerate.errors import NotFoundError, StoreError
from rally_accelerate.model.progress import Window
from rally_accelerate.observe.logs import set_up
from rally_accelerate.server import scheduler as schedule_module
from rally_accelerate.server.app import Server
from rally_accelerate.server.permissions import SYSTEM_ACTOR
from rally_accelerate.server.runner import Runner, RunRequest
from rally_accelerate.server.scheduler import MAX_CONCURRENT_RUNS
from support.server_client import ServerClient
from support.waiting import until

#: Nothing answers there, and the run tries for a long time.
NEVER = {"baseUrl": "http://127.0.0.1:9", "apiKey": "sample-key", "retrySeconds": 3600}


async def begun(host: Server, its_id: str) -> None:
    """Wait until a run goes on."""
    await until(lambda: host.scheduler.is_running(its_id))


async def test_a_run_that_somebody_waits_for_is_stopped_too(asked: ServerClient) -> None:
    host = asked.host
    its_id = await host.add_integration({"name": "sample", "properties": NEVER})
    waiting = asyncio.create_task(host.run_integration(its_id))
    await begun(host, its_id)
    await host.scheduler.stop(its_id)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    (execution,) = await host.stores.executions.list_latest(its_id)
    assert execution.outcome == "interrupted"


async def test_a_host_that_closes_ends_every_run(tmp_path: Path) -> None:
    async with Server.open(tmp_path / "host.sqlite", interval=timedelta(hours=1)) as host:
        its_id = await host.add_integration({"name": "sample", "properties": NEVER})
        waiting = asyncio.create_task(host.run_integration(its_id))
        await begun(host, its_id)
    assert waiting.done()


async def test_the_log_of_the_process_masks_what_its_start_did_not_know(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings come by the browser while the process logs; Rally and proxies echo what they were sent."""
    key = str(NEVER["apiKey"])

    async def echoed(*_: Any) -> None:
        logging.getLogger("rally_accelerate.server").warning("the server said: %s", key)
        raise RuntimeError(f"no {key}")

    monkeypatch.setattr(Runner, "_sync", echoed)
    stream = io.StringIO()
    logger = logging.getLogger("rally_accelerate")
    before, handler = logger.propagate, set_up("INFO", redactor=Redactor(()), stream=stream)
    try:
        its_id = await asked.host.add_integration({"name": "sample", "properties": NEVER})
        asked.host.scheduler.start_run(its_id)
        await until(lambda: "by a fault" in stream.getvalue())
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
    assert "the server said: ***" in stream.getvalue()
    assert "RuntimeError: no ***" in stream.getvalue()
    assert key not in stream.getvalue()


async def test_one_database_has_one_host(tmp_path: Path) -> None:
    async with Server.open(tmp_path / "host.sqlite"):
        with pytest.raises(StoreError, match="another server is using"):
            async with Server.open(tmp_path / "host.sqlite"):
                pass
    async with Server.open(tmp_path / "host.sqlite"):
        pass


async def test_what_a_file_switches_off_is_off_and_stays_known(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "sample", "properties": NEVER})
    known = await asked.host.stores.integrations.by_id(its_id)
    assert known is not None
    assert await asked.host.disable_integration("sample", known.tenant_id)
    assert not await asked.host.disable_integration("unknown", known.tenant_id)
    again = await asked.host.stores.integrations.by_id(its_id)
    assert again is not None
    assert again.disabled


async def test_what_a_file_adds_and_changes_is_noted_and_what_it_leaves_is_not(asked: ServerClient) -> None:
    host = asked.host
    its_id = await host.add_integration({"name": "sample", "properties": NEVER})
    assert await host.add_integration({"name": "sample", "properties": NEVER}) == its_id
    assert await host.add_integration({"name": "sample", "properties": {**NEVER, "apiKey": "other"}}) == its_id
    assert await host.disable_integration("sample", DEFAULT_TENANT)
    assert await host.disable_integration("sample", DEFAULT_TENANT)
    entries = [each for each in await host.stores.audit.list_entries() if each.object_id == its_id]
    assert [(each.action, each.actor) for each in reversed(entries)] == [
        ("added", SYSTEM_ACTOR.name),
        ("edited", SYSTEM_ACTOR.name),
        ("disabled", SYSTEM_ACTOR.name),
    ]
    assert [each.detail.get("settings") for each in entries] == [
        None,
        ["apiKey"],
        ["apiKey", "baseUrl", "retrySeconds"],
    ]


async def test_a_run_with_old_settings_ends_when_a_file_changes_them(asked: ServerClient) -> None:
    host = asked.host
    its_id = await host.add_integration({"name": "sample", "properties": NEVER})
    waiting = asyncio.create_task(host.run_integration(its_id))
    await begun(host, its_id)
    await host.add_integration({"name": "sample", "properties": {**NEVER, "workspace": "W"}})
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not host.scheduler.is_running(its_id)


async def test_many_that_are_due_at_once_take_turns_and_long_ones_hold_up_nobody(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = asked.host
    schedule = host.scheduler
    ids = [await host.add_integration({"name": f"sample {number}", "properties": NEVER}) for number in range(20)]
    await schedule._start_due_runs()
    first = set(schedule._tasks)
    assert len(first) == MAX_CONCURRENT_RUNS
    await schedule._start_due_runs()
    assert set(schedule._tasks) == first
    # What somebody asks for begins at once, turns or not.
    asked_for = next(each for each in ids if each not in first)
    schedule.start_run(asked_for)
    await schedule._start_due_runs()
    assert set(schedule._tasks) == {*first, asked_for}
    # One that ends makes room for one.
    ended = next(iter(first))
    await schedule.stop(ended)
    schedule._due[ended] = time.monotonic() + 3600
    await schedule.stop(asked_for)
    await schedule._start_due_runs()
    assert len(schedule._tasks) == MAX_CONCURRENT_RUNS
    # Runs that take hours are there all the same, and the others go on; those that waited longest come first.
    left = [each for each in ids if each not in schedule._tasks and each not in {ended, asked_for}]
    for place, each in enumerate(left):
        schedule._due[each] = time.monotonic() - 100 + place
    going = set(schedule._tasks)
    monkeypatch.setattr(schedule_module, "LONG_RUN_SECONDS", -1.0)
    monkeypatch.setattr(schedule_module, "MAX_CONCURRENT_RUNS", 3)
    await schedule._start_due_runs()
    assert set(schedule._tasks) - going == set(left[:3])


async def test_what_somebody_stops_stays_stopped_for_an_interval(asked: ServerClient) -> None:
    host = asked.host
    schedule = host.scheduler
    its_id = await host.add_integration({"name": "sample", "properties": NEVER})
    await schedule._start_due_runs()
    await begun(host, its_id)
    # It takes longer than the time from one run to the next.
    schedule._due[its_id] = time.monotonic() - 1
    await host.integrations.stop(SYSTEM_ACTOR, its_id)
    await schedule._start_due_runs()
    assert its_id not in schedule._tasks
    # Not for ever.
    schedule._due[its_id] -= schedule.interval.total_seconds()
    await schedule._start_due_runs()
    await begun(host, its_id)


@pytest.mark.parametrize(
    ("wish", "wished"),
    [
        (lambda host, its_id: host.integrations.resync(SYSTEM_ACTOR, its_id), RunRequest(resync_window=Window(None))),
        (
            lambda host, its_id: host.integrations.approve_removals(SYSTEM_ACTOR, its_id),
            RunRequest(approve_removal=True),
        ),
    ],
    ids=["resync", "approval"],
)
async def test_a_wish_is_known_to_the_run_that_takes_the_place_of_another(
    asked: ServerClient,
    monkeypatch: pytest.MonkeyPatch,
    wish: Callable[[Server, str], Awaitable[None]],
    wished: RunRequest,
) -> None:
    host = asked.host
    schedule, sync, rewrite = host.scheduler, Runner._sync, host.stores.integrations.rewrite
    seen: list[RunRequest] = []

    async def watched(runs: Runner, integration: Any, running: Any, wishes: RunRequest, watch: Any) -> Any:
        seen.append(wishes)
        return await sync(runs, integration, running, wishes, watch)

    async def waits_its_turn(*given: Any) -> Any:
        # Somebody else writes, and meanwhile the schedule sees what is overdue.
        schedule._due[its_id] = time.monotonic() - 1
        await schedule._start_due_runs()
        await begun(host, its_id)
        return await rewrite(*given)

    monkeypatch.setattr(Runner, "_sync", watched)
    its_id = await host.add_integration({"name": "sample", "properties": NEVER})
    await schedule._start_due_runs()
    await begun(host, its_id)
    monkeypatch.setattr(host.stores.integrations, "rewrite", waits_its_turn)
    await wish(host, its_id)
    await begun(host, its_id)
    await until(lambda: len(seen) >= 2)
    assert seen == [RunRequest(), wished]


def kept_of(host: Server) -> list[Any]:
    """What is in memory of integrations."""
    schedule = host.scheduler
    return [*schedule._due, *schedule._started, *schedule._tasks, *schedule._awaited, *host._runner._locks]


async def test_nothing_is_kept_of_integrations_that_are_removed(asked: ServerClient) -> None:
    host = asked.host
    administration, schedule = host.integrations, host.scheduler
    its_id = await host.add_integration({"name": "sample", "properties": NEVER})
    await schedule._start_due_runs()
    waiting = asyncio.create_task(host.run_integration(its_id))
    await begun(host, its_id)
    assert set(kept_of(host)) == {its_id}
    await administration.remove(SYSTEM_ACTOR, its_id, with_issues=True)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert kept_of(host) == []
    # Nor of one that a run looks for, or that somebody asks to run or to stop, when it is gone already.
    schedule.start_run(its_id)
    await schedule._tasks[its_id]
    with pytest.raises(NotFoundError):
        await host.run_integration(its_id)
    await schedule.stop(its_id)
    assert kept_of(host) == []


async def test_a_run_that_waits_while_its_integration_is_removed_ends_quietly(
    asked: ServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    host = asked.host
    its_id = await host.add_integration({"name": "sample", "properties": NEVER})
    async with host._runner.get_lock(its_id):
        # It has been looked up, and comes to its end without the lock.
        host.scheduler.start_run(its_id)
        await until(lambda: host._runner.get_lock(its_id)._waiters)
        task = host.scheduler._tasks[its_id]
        async with host.stores.database.writing() as connection:
            await host.stores.integrations.delete(connection, its_id)
        host.scheduler.forget(its_id)
        # For as long as it goes on, the schedule counts it.
        await host.scheduler._start_due_runs()
    assert await task is None
    assert kept_of(host) == []
    assert caplog.text.count("there is no integration") == 0
