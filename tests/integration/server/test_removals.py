"""Removals of issues that fail part way, as on a full disk: they come to their end, and take nothing that came later."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rally_accelerate.errors import StoreError
from rally_accelerate.server import scheduler as schedule_module
from rally_accelerate.server.app import Server
from rally_accelerate.server.permissions import SYSTEM_ACTOR
from rally_accelerate.server.store import issue_writer
from rally_accelerate.server.store.issue_writer import remove_issues
from support.issues import item
from support.waiting import until

TRACKER = "tracker"


async def take(host: Server, *numbers: int, tracker: str = TRACKER) -> None:
    items = [item(number, name="a zebra") for number in numbers]
    await host.stores.issues.store_upload(source="R", tracker_id=tracker, tenant_id="t", items=items)


async def failing(host: Server, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Remove the tracker's issues, four at a time, with a disk that is full after so many parts."""
    done: list[int] = []

    def full(*given: Any, **named: Any) -> bool:
        if len(done) == after:
            raise sa.exc.OperationalError("", {}, sqlite3.OperationalError("database or disk is full"))
        done.append(1)
        return remove_issues(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(issue_writer, "REMOVAL_CHUNK_SIZE", 4)
        patch.setattr(issue_writer, "remove_issues", full)
        with pytest.raises(StoreError, match="disk is full"):
            await host.integrations.remove_issues(SYSTEM_ACTOR, TRACKER)


@pytest.mark.parametrize("others", [{}, {"other": 3}], ids=["alone", "beside others"])
@pytest.mark.parametrize("after", [0, 1])
async def test_what_is_uploaded_after_a_removal_that_failed_outlives_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: dict[str, int], after: int
) -> None:
    path = tmp_path / "x.sqlite"
    async with Server.open(path) as host:
        await take(host, *range(7))
        for other, count in others.items():
            await take(host, *range(count), tracker=other)
        # Alone, everything goes at once, and nothing is left that a second part could fail at.
        await failing(host, monkeypatch, after=after if others else 0)
        # Of those that are to go, one comes again, unchanged; another is new.
        await take(host, 6, 7)
    async with Server.open(path) as host:
        assert await host.stores.issues.count_by_tracker() == {TRACKER: 2, **others}
        assert await host.stores.issues.get(TRACKER, item(6)["_id"]) is not None
        assert await issue_writer.list_unfinished_removals(host.stores.database) == []


async def test_a_removal_asked_for_again_takes_what_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server.open(tmp_path / "x.sqlite") as host:
        await take(host, *range(7))
        await failing(host, monkeypatch, after=0)
        await take(host, *range(9))
        await host.integrations.remove_issues(SYSTEM_ACTOR, TRACKER)
        assert await host.stores.issues.count_by_tracker() == {}


async def test_a_removal_that_failed_is_gone_on_with_while_the_host_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(schedule_module, "RETRY_SECONDS", 0.01)
    async with Server.open(tmp_path / "x.sqlite", interval=timedelta(hours=1)) as host:
        await take(host, *range(7))
        await take(host, 1, tracker="other")
        await failing(host, monkeypatch, after=1)
        assert (await host.stores.issues.count_by_tracker())[TRACKER] == 3
        failed: list[int] = []

        def full(*given: Any, **named: Any) -> bool:
            if len(failed) < 3:
                failed.append(1)
                raise sa.exc.OperationalError("", {}, sqlite3.OperationalError("database or disk is full"))
            return remove_issues(*given, **named)

        monkeypatch.setattr(issue_writer, "remove_issues", full)
        host.start_scheduler()

        async def finished() -> bool:
            return not await issue_writer.list_unfinished_removals(host.stores.database)

        await until(finished)
        assert await host.stores.issues.count_by_tracker() == {"other": 1}
    # Three times, said once.
    assert caplog.text.count("are still there: the database cannot be written") == 1
