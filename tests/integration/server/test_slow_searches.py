"""A query that must be held against every issue is answered in the end, and holds nobody up until then."""

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rally_accelerate.dql import evaluator as meaning
from rally_accelerate.dql.parser import parse
from rally_accelerate.errors import StoreError
from rally_accelerate.server.store import sqlite
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.issue_search import BackgroundSearches, IssueFilter, Search, current_user_key
from rally_accelerate.server.store.issues import Issues
from rally_accelerate.server.value_streams import board
from rally_accelerate.server.web import issue_list, value_stream_map
from support.issues import UPLOAD, change, item, upload
from support.server_client import ServerClient
from support.waiting import until

NOW = datetime(2026, 3, 10, tzinfo=UTC)
SLOW = "issue.history.content.to = Done"
LOOKING = "Searching all issues"
COUNTING = "Calculating"


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue_list, "SEARCH_TIMEOUT", 0)
    monkeypatch.setattr(value_stream_map, "FIRST_SECONDS", 0)


async def told(asked: ServerClient, address: str, phrase: str) -> str:
    """Return the page once it no longer contains a phrase."""

    async def finished_page() -> str:
        text = (await asked.http.get(address)).text
        return "" if phrase in text else text

    return await until(finished_page)


async def test_a_slow_query_is_answered_when_it_has_ended(asked: ServerClient) -> None:
    done = item(2, history=[{**change("Open", "Done"), "timestamp": 5}])
    await asked.fetch_data(UPLOAD, data=upload(item(1), done, item(3)))
    address = f"/issues?dql={SLOW}"
    first = (await asked.http.get(address)).text
    assert LOOKING in first
    assert "No matching issues" not in first
    text = await told(asked, address, LOOKING)
    assert "<strong>1</strong> issue" in text
    # Programs wait.
    assert (await asked.http.get(address.replace("?", ".json?"))).json()["count"] == 1
    # What is quick is not begun but told.
    assert LOOKING not in (await asked.http.get("/issues?dql=issue.status = Open")).text


async def test_issues_that_change_meanwhile_do_not_make_it_begin_again_for_ever(asked: ServerClient) -> None:
    address, number = f"/issues?dql={SLOW}", 0

    async def page_after_an_upload() -> str:
        nonlocal number
        number += 1
        await asked.fetch_data(UPLOAD, data=upload(item(number, history=[{**change("Open", "Done"), "timestamp": 5}])))
        text = (await asked.http.get(address)).text
        return "" if LOOKING in text else text

    text = await until(page_after_an_upload)
    assert f"<strong>{number}</strong> issue" in text


async def test_a_map_of_slow_stages_is_shown_when_it_is_counted(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "FIRST_SECONDS", 0)
    done = item(2, history=[{**change("Open", "Done"), "timestamp": 5}])
    await asked.fetch_data(UPLOAD, data=upload(item(1), done))
    document = {"name": "A", "phases": [{"name": "P", "stages": [{"name": "Was done", "query": SLOW}]}]}
    created = await asked.fetch_data(
        "mutation($name: String!, $tenantId: ID!, $team: TeamInput!, $workflow: JSON) "
        "{ createValueStream(name: $name, tenantId: $tenantId, team: $team, workflow: $workflow) "
        "{ ... on Workflow { _id } } }",
        name="A",
        tenantId=upload()["tenantId"],
        team={"id": "1", "name": "Default"},
        workflow=document,
    )
    its_id = created["createValueStream"]["_id"]
    for address in (f"/value-streams/{its_id}", f"/value-streams/{its_id}/stages/1"):
        text = await told(asked, address, COUNTING)
        assert "1 item" in text
    assert (await asked.http.get(f"/value-streams/{its_id}.json?text=US2")).json()["total"] == 1


async def test_a_host_that_stops_does_not_wait_for_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, asked, begun, go_on = 2_000, [], threading.Event(), threading.Event()

    def slowly(*given: Any, **named: Any) -> bool:
        asked.append(1)
        begun.set()
        go_on.wait(60)
        return meaning.matches(*given, **named)

    monkeypatch.setattr(sqlite, "matches", slowly)
    database = await Database.open(tmp_path / "a.sqlite")
    every = [item(number) for number in range(count)]
    await Issues(database).store_upload(source="R", tracker_id="t", tenant_id="n", items=every)
    search = Search(database)
    wanted = IssueFilter(queries=(parse(SLOW),))
    assert not await search.search_within(wanted, now=NOW, seconds=0)
    await asyncio.to_thread(begun.wait)
    await database.interrupt()
    go_on.set()
    await search.close()
    await database.close()
    assert len(asked) < count


async def test_ages_are_told_as_of_when_they_were_counted(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each moment is another search: what was found would never be what is asked for now."""
    count = 0

    def counted(*given: Any, **named: Any) -> bool:
        nonlocal count
        count += 1
        return meaning.matches(*given, **named)

    monkeypatch.setattr(sqlite, "matches", counted)
    known = {"status": "Open", "type": "Story"}
    done = item(2, history=[{**change("Open", "Done"), "timestamp": 5}], **known)
    await asked.fetch_data(UPLOAD, data=upload(item(1, **known), done, item(3)))
    address = "/issues?status=Open&type=Story&dql=issue.history.timestamp > 3d"
    text = await told(asked, address, LOOKING)
    searched = count
    assert "<strong>1</strong> issue" in text
    assert await told(asked, address, LOOKING) == text
    assert count == searched


async def test_few_go_on_at_once() -> None:
    patience, going_on, most, go = BackgroundSearches[int](), 0, 0, asyncio.Event()

    async def look() -> int:
        nonlocal going_on, most
        async with patience.queue.wait_for_turn():
            going_on += 1
            most = max(most, going_on)
            await go.wait()
            going_on -= 1
            return 1

    for key in range(5):
        current_user_key.set(f"user {key}")
        assert await patience.run_within(key, look, seconds=0) is None
    go.set()
    for key in range(5):
        assert await patience.run_within(key, look, seconds=60) == 1
    assert most == 2


async def test_a_fault_is_told_to_who_asks_again(caplog: pytest.LogCaptureFixture) -> None:
    patience, go = BackgroundSearches[int](), asyncio.Event()

    async def look() -> int:
        await go.wait()
        raise StoreError("broken")

    assert not await patience.run_within("key", look, seconds=0)
    go.set()
    with pytest.raises(StoreError, match="broken"):
        await patience.run_within("key", look, seconds=60)
    assert "a search failed: broken" in caplog.text
