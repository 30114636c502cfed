"""What goes wrong beneath the pages: the answer is a sentence with the guard's headers, and nothing is lost."""

import asyncio
import logging.config
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.types import Message
from uvicorn.config import LOGGING_CONFIG

from rally_accelerate.errors import OutdatedError, StoreError
from rally_accelerate.server import scheduler as schedule_module
from rally_accelerate.server.app import Server
from rally_accelerate.server.authentication import ClientInfo, SignInRefusal
from rally_accelerate.server.store.credentials import Sessions
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.integrations import Integrations
from rally_accelerate.server.store.issue_search import Search
from rally_accelerate.server.store.issues import Issues
from rally_accelerate.server.store.tables import marks
from rally_accelerate.server.upload_worker import UploadWorker
from rally_accelerate.server.value_streams.board import BoardCache
from rally_accelerate.server.web import request_limits
from rally_accelerate.server.web.security import HEADERS
from support.full_disk import full_disk
from support.issues import item
from support.server_client import ServerClient
from support.waiting import until

FULL = StoreError("the database cannot be written: database or disk is full", hint="Free space on its disk.")

#: Nothing answers there, and the run tries for a long time.
NEVER = {"baseUrl": "http://127.0.0.1:9", "apiKey": "sample-key", "retrySeconds": 3600}

UPLOAD = "mutation ($data: IssueDataIn!) { uploadIssueData(data: $data) { result } }"


@pytest.mark.parametrize("address", ["/issues", "/issues.json", "/sign-in"])
async def test_a_fault_of_the_program_is_answered_with_every_header_and_no_detail(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    async def failing(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("planted detail")

    monkeypatch.setattr(Sessions, "find", failing)
    answer = await asked.http.get(address)
    assert answer.status_code == 500
    assert "planted" not in answer.text
    assert "Internal error." in answer.text
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["cache-control"] == "no-store"
    assert "planted detail" in caplog.text


async def test_what_the_store_says_is_told_on_pages_and_to_clients(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any, **__: Any) -> Any:
        raise FULL

    monkeypatch.setattr(Issues, "store_upload", full)
    data = {"source": "Rally", "trackerId": "t", "tenantId": "x", "issues": [item(1)]}
    told = await asked.graphql(UPLOAD, data=data)
    # Not 200 with errors: a connector would take the issue for one that is refused, and leave it out for good.
    assert told.status_code == 503
    assert "disk is full. Free space" in told.json()["errors"][0]["message"]
    monkeypatch.setattr(Sessions, "find", full)
    page = await asked.http.get("/issues")
    assert page.status_code == 503
    assert "The database cannot be written: database or disk is full." in page.text
    assert "Free space on its disk." in page.text
    assert page.headers["content-security-policy"]


async def test_people_and_clients_still_read_when_nothing_can_be_written(asked: ServerClient) -> None:
    async with asked.host.stores.database.writing() as connection:
        await connection.execute(sa.text("UPDATE sessions SET last_seen = last_seen - 120000"))
    seen: list[str] = []

    def failing(*_: Any) -> None:
        seen.append("tried")
        raise sqlite3.OperationalError("database or disk is full")

    engine = asked.host.stores.database._engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", lambda *given: failing() if "UPDATE" in given[2] else None)
    assert (await asked.http.get("/issues")).status_code == 200
    assert (await asked.graphql("{ productVersion }")).status_code == 200
    assert len(seen) >= 1


NOT_SAVED = "The database cannot be written: database or disk is full, so nothing was saved. Free space on its disk."


async def test_a_form_keeps_what_was_typed_when_it_cannot_be_saved(asked: ServerClient) -> None:
    typed = {
        "name": "typed-name",
        "loggingLevel": "INFO",
        "properties.baseUrl": "http://127.0.0.1:9",
        "properties.apiKey": "planted-secret",
        "do": "save",
    }
    with full_disk(asked):
        page = await asked.http.post("/settings/integrations/new", data=typed)
    assert page.status_code == 503
    assert NOT_SAVED in page.text
    assert 'value="typed-name"' in page.text
    assert 'value="http://127.0.0.1:9"' in page.text
    assert "planted-secret" not in page.text
    found = re.search(r'name="draft" value="([^"]+)"', page.text)
    assert found is not None
    # With space again, the same page saves it, the secret included.
    again = {**typed, "properties.apiKey": "", "draft": found[1]}
    assert (await asked.http.post("/settings/integrations/new", data=again)).status_code == 303
    (saved,) = await asked.host.stores.integrations.all()
    assert saved.properties["apiKey"] == "planted-secret"


async def test_a_value_stream_keeps_what_was_written_when_it_cannot_be_saved(asked: ServerClient) -> None:
    new = {"name": "typed-name", "start": "empty", "description": "typed-text"}
    with full_disk(asked):
        page = await asked.http.post("/value-streams/new", data=new)
    assert NOT_SAVED in page.text
    assert "typed-name" in page.text
    assert "typed-text" in page.text
    assert (await asked.http.post("/value-streams/new", data=new)).status_code == 303
    (stream,) = await asked.host.stores.streams.all()
    text = '{"name": "typed-name", "phases": [], "description": "another text"}'
    with full_disk(asked):
        edit = {"text": text, "version": "1", "action": "save"}
        page = await asked.http.post(f"/value-streams/{stream.id}/edit", data=edit)
    assert page.status_code == 503
    assert NOT_SAVED in page.text
    assert "another text" in page.text


async def test_the_schedule_outlives_a_look_that_fails(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(schedule_module, "POLL_SECONDS", 0.0)
    looked = asyncio.Event()
    failures = 3

    async def all_of_them() -> list[Any]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise FULL
        looked.set()
        return []

    monkeypatch.setattr(asked.host.stores.integrations, "all", all_of_them)
    asked.host.start_scheduler()
    await asyncio.wait_for(looked.wait(), 60)
    assert caplog.text.count("the schedule cannot see what is due") == 1


async def test_a_password_that_changes_while_the_old_one_is_looked_at_lets_nobody_in(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = asked.host.stores
    user, password = await stores.users.add("ada", (await stores.users.all())[0].role)
    proven = await stores.users.verify_password("ada", password)
    assert proven is not None
    await stores.users.set_password(user.id, "another long password", temporary=False)
    with pytest.raises(OutdatedError):
        await stores.sessions.create(user.id, proof=proven.password_hash)

    async def late(*_: Any) -> Any:
        return proven

    monkeypatch.setattr(stores.users.__class__, "verify_password", late)
    outcome = await asked.host.sign_in.sign_in_with_password(
        "ada", password, caller=ClientInfo(address="1.2.3.4", agent="b")
    )
    assert isinstance(outcome, SignInRefusal)
    assert await stores.sessions.list_for_user(user.id) == []


async def test_a_body_that_never_ends_is_given_up(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OF_STRANGERS", "OF_CALLERS"):
        monkeypatch.setattr(request_limits, name, replace(request_limits.OF_CALLERS, seconds=0.05))

    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b"a"
            await asyncio.sleep(0.01)

    answer = await asked.http.post("/sign-in", content=dripping())
    assert answer.status_code == 408


async def test_a_damaged_file_is_told_as_such(asked: ServerClient) -> None:
    database: Database = asked.host.stores.database
    with pytest.raises(StoreError, match="disk image is malformed") as told:
        async with database.reading():
            raise sa.exc.DatabaseError("", {}, sqlite3.DatabaseError("database disk image is malformed"))
    assert "backup" in told.value.hint
    with pytest.raises(sa.exc.OperationalError):
        async with database.reading() as connection:
            await connection.execute(sa.text("SELECT nothing FROM nowhere"))


def harm(connection: sa.Connection) -> None:
    raise sa.exc.DatabaseError("", {}, sqlite3.DatabaseError("database disk image is malformed"))


async def test_writers_are_told_of_a_damaged_file_and_of_no_fault_of_ours(asked: ServerClient) -> None:
    database: Database = asked.host.stores.database

    async def write(function: Callable[[sa.Connection], None]) -> None:
        async with database.writing() as connection:
            await connection.run_sync(function)

    def twice(connection: sa.Connection) -> None:
        # Its text has words of a hint, and is none of the file's.
        connection.execute(sa.insert(marks), [{"name": "disk full, malformed", "value": 1}] * 2)

    for way in (write, database.run_in_transaction):
        with pytest.raises(StoreError, match="cannot be written: database disk image is malformed") as told:
            await way(harm)
        assert "last backup" in told.value.hint
        with pytest.raises(sa.exc.IntegrityError):
            await way(twice)


async def test_a_host_with_a_damaged_file_ends_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.sqlite"
    async with Server.open(path) as host:
        its_id = await host.add_integration({"name": "r", "properties": NEVER})
        host.start_scheduler()
        await until(lambda: host.scheduler.is_running(its_id))
        await host.stores.database.checkpoint()
        with path.open("r+b") as file:
            # Behind its head, by which SQLite knows it.
            file.seek(100)
            file.write(b"\xa5" * (path.stat().st_size - 100))
        # What a connection has in its memory does not show that the file is damaged: the next ones have nothing.
        await host.stores.database._engine.dispose()
        host.stores.database._sync_engine.dispose()
    assert "the database cannot be written: database disk image is malformed" in caplog.text
    assert [record for record in caplog.records if record.exc_info] == []


async def test_what_cannot_be_closed_keeps_nothing_else_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    async def failing(*_: Any) -> None:
        raise FULL

    async def close(whose: Any) -> None:
        closed.append(type(whose).__name__)

    monkeypatch.setattr(Search, "close", failing)
    monkeypatch.setattr(BoardCache, "close", close)
    monkeypatch.setattr(UploadWorker, "close", close)
    with pytest.raises(StoreError, match="disk is full"):
        async with Server.open(tmp_path / "x.sqlite"):
            pass
    assert closed == ["BoardCache", "UploadWorker"]


async def test_what_a_connector_writes_is_noted_but_not_each_time(asked: ServerClient) -> None:
    host = asked.host
    properties = {"baseUrl": "http://127.0.0.1:9", "apiKey": "planted", "ucvAccessKey": "k"}
    its_id = await host.add_integration(
        {"name": "r", "tenant_id": "t", "type": "ucv-ext-rally", "properties": properties}
    )
    again = {"name": "r", "tenant_id": "t", "type": "ucv-ext-rally", "properties": {**properties, "apiKey": "other"}}
    assert await host.add_integration(again) == its_id
    assert await host.add_integration(again) == its_id
    await host.disable_integration("r", "t")
    state = """mutation ($id: ID!, $p: JSON) {
        updateIntegrationState(integrationId: $id, eventName: "e", properties: $p) { state } }"""
    for number in range(3):
        await asked.fetch_data(state, id=its_id, p={"cursor": number})
    wish = """mutation ($id: ID!, $at: Date!) { updateScheduledEventStates(
        integrationId: $id, scheduledEventStates: [{eventName: "e", deltaTime: $at}]) { _id } }"""
    for at in (5.0, 5.0, -1.0):
        await asked.fetch_data(wish, id=its_id, at=at)
    refused = (await asked.graphql(wish, id=its_id, at=1e300)).json()
    assert "years 1 to 9999" in refused["errors"][0]["message"]
    entries = await host.stores.audit.list_entries()
    told = [(each.actor, each.action) for each in reversed(entries) if each.object_id == its_id]
    assert told == [
        ("rally-accelerate", "added"),
        ("rally-accelerate", "edited"),
        ("rally-accelerate", "disabled"),
        ("admin", "wrote the state of"),
        ("admin", "wrote event states of"),
        ("admin", "wrote event states of"),
    ]
    assert "planted" not in str(entries)
    assert "other" not in str([each.detail for each in entries])


async def test_what_a_caller_sends_wrongly_is_not_in_the_log(
    asked: ServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    # What a server of pages does at its start.
    logging.config.dictConfig(LOGGING_CONFIG)
    add = "mutation ($i: AddIntegrationInput!) { addIntegration(input: $i) { _id } }"
    refused = await asked.graphql(add, i={"name": 1, "properties": {"apiKey": "planted-secret"}})
    assert refused.json()["errors"]
    assert "planted-secret" not in caplog.text


async def test_whoever_hangs_up_in_the_middle_is_no_fault(
    asked: ServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-length", b"9")]
    scope = {"type": "http", "method": "POST", "path": "/sign-in", "headers": headers, "query_string": b""}
    await asked.host.build_app()({**scope, "http_version": "1.1", "scheme": "http", "root_path": ""}, receive, send)
    assert messages == []
    assert "fault" not in caplog.text


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://127.0.0.1/settings/integrations?x=1&y=2", 'href="/settings/integrations?x=1&amp;y=2"'),
        ("http://elsewhere.invalid/settings/integrations", ""),
        ("http://127.0.0.1//elsewhere.invalid/", ""),
        ("http://elsewhere.invalid/?http://127.0.0.1/x", ""),
        ("", ""),
    ],
)
async def test_a_page_of_what_could_not_be_done_leads_back(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch, referer: str, back: str
) -> None:
    async def full(*_: Any, **__: Any) -> Any:
        raise FULL

    monkeypatch.setattr(Integrations, "by_id", full)
    answer = await asked.http.post("/settings/integrations/x/toggle", data={"to": "on"}, headers={"Referer": referer})
    assert answer.status_code == 503
    assert "Go to home" in answer.text
    assert re.findall(r'<a (href="[^"]*")>Back to the previous page', answer.text) == ([back] if back else [])
