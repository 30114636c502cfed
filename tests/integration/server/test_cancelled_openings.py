"""A connection whose task is cancelled while the driver opens it is closed."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from rally_accelerate.server.store.database import Database


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("kind", ["reading", "writing"])
async def test_a_connection_that_is_cancelled_while_it_is_opened_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, times: int
) -> None:
    begun, may_end, opened = threading.Event(), threading.Event(), list[sqlite3.Connection]()
    connect = sqlite3.connect

    def slowly(*given: Any, **more: Any) -> sqlite3.Connection:
        begun.set()
        assert may_end.wait(60)
        opened.append(connect(*given, **more))
        return opened[-1]

    database = await Database.open(tmp_path / "host.sqlite")
    monkeypatch.setattr(sqlite3, "connect", slowly)

    async def ask() -> None:
        async with getattr(database, kind)():
            pytest.fail("it was cancelled before")

    asking = asyncio.create_task(ask())
    assert await asyncio.to_thread(begun.wait, 60)
    for _ in range(times):
        asking.cancel()
        await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await database.close()
    (only,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        only.execute("SELECT 1")
