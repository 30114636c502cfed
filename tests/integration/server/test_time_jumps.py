"""A clock that is set forward or back by hours: nothing waits for it, nothing runs twice, nothing takes less than no time."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rally_accelerate.server import scheduler as schedule_module
from rally_accelerate.server.authentication import ClientInfo, SignedIn
from rally_accelerate.server.form_drafts import ExpiringStore
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.store import credentials as sessions_module
from rally_accelerate.server.store import executions as executions_module
from rally_accelerate.server.web.templating import _format_ago, _format_until
from support.server_client import ServerClient

NEVER = {"baseUrl": "http://127.0.0.1:9", "apiKey": "sample-key", "retrySeconds": 3600}

HOURS = timedelta(hours=5)


class Clock:
    """The wall clock of a module, off by as much as a test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: Any) -> None:
        self.off = timedelta()
        clock = self

        class Set(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.now(tz) + clock.off

        for module in modules:
            monkeypatch.setattr(module, "datetime", Set)


@pytest.mark.parametrize("off", [HOURS, -HOURS])
async def test_the_schedule_goes_by_the_time_that_passes(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    clock = Clock(monkeypatch, schedule_module)
    schedule = asked.host.scheduler
    its_id = await asked.host.add_integration({"name": "sample", "properties": NEVER})
    started: list[str] = []
    monkeypatch.setattr(schedule, "start_run", started.append)
    schedule._due[its_id] = time.monotonic() + 60
    clock.off = off
    await schedule._start_due_runs()
    assert started == []
    schedule._due[its_id] = time.monotonic() - 1
    await schedule._start_due_runs()
    assert started == [its_id]


async def test_the_latest_run_is_the_latest_also_after_the_clock_was_set_back(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, executions_module)
    its_id = await asked.host.add_integration({"name": "sample", "properties": NEVER})
    executions = asked.host.stores.executions
    keys = []
    for off in (HOURS, HOURS + timedelta(minutes=5), timedelta(), timedelta(minutes=5), -HOURS):
        clock.off = off
        keys.append(await executions.start(its_id, job_name="e"))
        clock.off = off + timedelta(minutes=1)
        await executions.finish(keys[-1], outcome="failed" if off == HOURS else "complete", report={})
    found = await executions.list_latest(its_id)
    assert [each.id for each in reversed(found)] == keys
    assert (await executions.find_latest())[its_id].id == keys[-1]
    latest = datetime.now(UTC) - HOURS + timedelta(minutes=2)
    for each in found:
        assert each.started < latest
        assert each.completed is not None
        # Moved as a whole, it still takes its minute.
        assert timedelta(seconds=59) < each.completed - each.started < timedelta(seconds=61)


async def test_no_run_takes_less_than_no_time(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, executions_module)
    its_id = await asked.host.add_integration({"name": "sample", "properties": NEVER})
    executions = asked.host.stores.executions
    for report, seconds in (({}, 0.0), ({"seconds": 7.5}, 7.5)):
        clock.off = timedelta()
        key = await executions.start(its_id, job_name="e")
        clock.off = -HOURS
        await executions.finish(key, outcome="complete", report=report)
        found = await executions.get(key)
        assert found is not None
        assert found.completed == found.started
        page = (await asked.http.get(f"/executions/{key}.json")).json()
        assert page["execution"]["seconds"] == seconds
    clock.off = timedelta()
    key = await executions.start(its_id, job_name="e")
    clock.off = -HOURS
    await executions.interrupt_all()
    interrupted = await executions.get(key)
    assert interrupted is not None
    assert interrupted.completed == interrupted.started


async def test_a_session_of_a_clock_that_was_ahead_ends_like_any_other(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, sessions_module)
    sessions = asked.host.stores.sessions
    (user, *_) = await asked.host.stores.users.all()
    clock.off = HOURS
    token = await sessions.create(user.id)
    clock.off = timedelta()
    # Whoever is at work goes on working, and the session has the right times from then on.
    assert await sessions.find(token) is not None
    found = await sessions.find(token)
    assert found is not None
    assert found[0].last_seen <= datetime.now(UTC)
    assert found[0].created <= datetime.now(UTC)
    clock.off = timedelta(hours=13)
    assert await sessions.find(token) is None
    # One that was begun in another decade does not last until then.
    clock.off = timedelta(days=3650)
    far = await sessions.create(user.id)
    clock.off = timedelta()
    assert await sessions.find(far) is None


async def test_a_sign_in_link_lasts_its_minutes_whatever_the_clock_says(asked: ServerClient) -> None:
    (user, *_) = await asked.host.stores.users.all()
    door = asked.host.sign_in
    token = door.create_link(user)
    ((_, until),) = door._links.values()
    assert 0 < until - time.monotonic() <= 600
    assert isinstance(await door.sign_in_with_link(token, caller=ClientInfo(address="1.2.3.4", agent="b")), SignedIn)


def test_what_was_typed_is_kept_for_an_hour_that_passes() -> None:
    ada = Actor("1", "Ada", Role.EDITOR)
    shelf: ExpiringStore[str] = ExpiringStore(most=2)
    key = shelf.choose_key(ada)
    shelf.put(ada, key, "typed")
    assert abs(shelf._entries[key].stored_at - time.monotonic()) < 60
    assert shelf.get(ada, key) == "typed"


def test_what_has_been_is_never_to_come() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert [_format_ago(now - off, now) for off in (HOURS, -HOURS)] == ["5 h ago", "now"]
    assert [_format_until(now - off, now) for off in (HOURS, -HOURS)] == ["now", "in 5 h"]
