"""Large uploads go through the process beside the host, and nobody can tell by what is stored and answered."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from rally_accelerate.server import upload_worker
from rally_accelerate.server import upload_worker as beside_module
from rally_accelerate.server.graphql import endpoint
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.store.issue_search import IssueFilter
from rally_accelerate.server.store.issues import Issues
from support.issues import UPLOAD, change, item, upload
from support.processes import start_simulator
from support.server_client import ServerClient, open_server
from support.waiting import until

REST = "/release-events-api/api/v1/issues"
GRAPHQL = "/release-events-api/graphql"

#: Makes an upload of these large.
LONG = {"description": "many words " * 1_000}


def many(first: int = 0, *, status: str = "Defined") -> list[dict[str, Any]]:
    """Thirty issues that are a large upload."""
    history = [change("", "Idea", at=1_700_000_000_500 + each) for each in range(4)]
    return [
        item(number, status=status, labels=["a", f"l{number % 3}"], history=history, **LONG)
        for number in range(first, first + 30)
    ]


def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the host's own process store nothing."""

    async def taken(*_: Any, **__: Any) -> None:
        raise AssertionError("taken by the host's own process")

    monkeypatch.setattr(Issues, "store_upload", taken)


@pytest.fixture
async def ready(asked: ServerClient) -> ServerClient:
    """A host beside which the process is ready."""
    assert await asked.host.upload_worker.wait_until_ready()
    # Once a minute it is noted that a key was used, which is a writer's turn of its own.
    await asked.fetch_data("{ productVersion }")
    return asked


async def sent(asked: ServerClient, content: Any, *, way: str = GRAPHQL, key: str = "") -> httpx2.Response:
    """The answer to a body of any kind."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    headers = {"Authorization": f"UserAccessKey {key or asked.key}", "Content-Type": "application/json"}
    return await asked.http.post(way, content=body, headers=headers)


def stored(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is kept of issues, but when they were uploaded."""
    queries = {
        "issues": "SELECT * FROM issues ORDER BY number",
        "contents": "SELECT * FROM issue_contents ORDER BY number",
        "history": "SELECT * FROM issue_history ORDER BY number, position",
        "facts": "SELECT f.issue, n.name, f.folded, f.kind, f.number, f.moment FROM facts f JOIN fact_names n ON n.id = f.name"
        " ORDER BY 1, 2, 3, 4",
        "texts": "SELECT t.issue, n.name, t.part, t.folded FROM long_texts t JOIN fact_names n ON n.id = t.name"
        " ORDER BY 1, 2, 3",
        "words": "SELECT * FROM issue_words WHERE issue_words MATCH 'many' ORDER BY rowid",
        "marks": "SELECT * FROM marks ORDER BY name",
    }
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    try:
        return {
            name: [tuple(row[each] for each in row.keys() if each != "uploaded") for row in connection.execute(query)]  # noqa: SIM118 - rows are no mappings
            for name, query in queries.items()
        }
    finally:
        connection.close()


def path_of(asked: ServerClient) -> Path:
    return asked.host.stores.path


async def test_a_large_upload_is_stored_by_the_process_beside_exactly_as_by_the_host_itself(
    ready: ServerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = [{**each, "status": "Accepted", "labels": ["b"]} for each in many()[:20]]
    parcels = (many(), [*again, *many(30)])
    with monkeypatch.context() as small:
        small.setattr(endpoint, "LARGE_BYTES", 1_000_000_000)
        async with open_server(tmp_path / "other.sqlite") as other:
            for parcel in parcels:
                assert (await sent(other, {"query": UPLOAD, "variables": {"data": upload(*parcel)}})).status_code == 200
            assert other.host.upload_worker._first_start is None

    async def counted() -> int:
        return await ready.host.stores.search.count(IssueFilter(labels=("b",)), now=datetime.now(UTC))

    never(monkeypatch)
    assert await counted() == 0
    for parcel in parcels:
        answer = await sent(ready, {"query": UPLOAD, "variables": {"data": upload(*parcel)}})
        assert answer.json() == {"data": {"uploadIssueData": {"result": True}}}
    here, there = stored(path_of(ready)), stored(tmp_path / "other.sqlite")
    assert here == there
    assert len(here["issues"]) == 60
    assert len(here["history"]) == 240
    assert here["facts"]
    assert here["texts"]
    assert len(here["words"]) == 60
    # What the host had counted before is counted anew.
    assert await counted() == 20


async def test_small_uploads_and_other_questions_start_nothing(asked: ServerClient) -> None:
    await asked.fetch_data(UPLOAD, data=upload(item(1)))
    question = {"query": "{ productVersion }", "variables": {"much": "x" * endpoint.LARGE_BYTES}}
    assert (await sent(asked, question)).status_code == 200
    assert asked.host.upload_worker._first_start is None


async def test_the_first_large_upload_does_not_wait_for_the_process(asked: ServerClient) -> None:
    answer = await sent(asked, {"query": UPLOAD, "variables": {"data": upload(*many())}})
    assert answer.status_code == 200
    assert await asked.host.upload_worker.wait_until_ready()


ODD: dict[str, Callable[[], Any]] = {
    "another type": lambda: {"query": UPLOAD, "variables": {"data": upload(*many(), item(99, created="never"))}},
    "an unknown field": lambda: {"query": UPLOAD, "variables": {"data": upload(*many(), item(99, nothing=1))}},
    "an empty id": lambda: {"query": UPLOAD, "variables": {"data": upload(*many(), {**item(99), "_id": ""})}},
    "no variables": lambda: {"query": UPLOAD, "more": upload(*many())},
    "a question that is wrong": lambda: {"query": "mutation { uploadIssueData { nothing } }", "more": upload(*many())},
    "no document": lambda: {"query": "mutation { uploadIssueData(", "more": upload(*many())},
    "no question": lambda: upload(*many(), tracker="uploadIssueData"),
    "several": lambda: [{"query": UPLOAD, "variables": {"data": upload(*many())}}],
    "no JSON": lambda: b'{"uploadIssueData": ' + b"[" * endpoint.LARGE_BYTES,
    "a name that is none": lambda: {"query": UPLOAD, "operationName": {}, "variables": {"data": upload(*many())}},
    "under another name": lambda: {
        "query": UPLOAD.replace("{ upload", "{ mine: upload"),
        "variables": {"data": upload(*many())},
    },
    "something else beside it": lambda: {
        "query": UPLOAD.replace("{ result } }", '{ result } updateIssues(issues: [], tenantId: "t") }'),
        "variables": {"data": upload(*many())},
    },
    "the second of two": lambda: {
        "query": f"query other {{ productVersion }} {UPLOAD}",
        "operationName": "uploadIssueData",
        "variables": {"data": upload(*many())},
    },
    "the first of two": lambda: {
        "query": f"query other {{ productVersion }} {UPLOAD}",
        "operationName": "other",
        "variables": {"data": upload(*many())},
    },
}


async def test_whatever_is_sent_is_answered_as_by_the_host_itself(
    ready: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, _ = await ready.host.stores.users.add("viewer", Role.VIEWER)
    key = (await ready.host.stores.keys.create("of a viewer", user_id=viewer.id)).key
    bodies = {name: orjson.dumps(made()) if name != "no JSON" else made() for name, made in ODD.items()}
    assert all(len(body) >= endpoint.LARGE_BYTES for body in bodies.values())
    rest = (upload(*many(), item(99, created="never")), [upload(*many())], upload(*many()))

    async def answers() -> dict[Any, tuple[int, Any]]:
        found: dict[Any, tuple[int, Any]] = {}
        for name, body in bodies.items():
            for its_key in ("", key):
                answer = await sent(ready, body, key=its_key)
                found[name, bool(its_key)] = (answer.status_code, answer.json())
        for number, data in enumerate(rest):
            for its_key in ("", key):
                answer = await sent(ready, data, way=REST, key=its_key)
                found[number, bool(its_key)] = (answer.status_code, answer.json())
        return found

    beside = await answers()
    monkeypatch.setattr(endpoint, "LARGE_BYTES", 1_000_000_000)
    assert await answers() == beside
    assert "issues[30].created" in beside["another type", False][1]["errors"][0]["message"]
    assert beside["under another name", True][1]["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert "needs the role editor; viewer is viewer" in beside[2, True][1]["errors"][0]["message"]
    assert [beside[2, is_viewer][0] for is_viewer in (False, True)] == [200, 403]


async def test_a_run_of_the_host_is_known_to_have_written_what_it_uploads(
    ready: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "LARGE_BYTES", 1)
    never(monkeypatch)
    with start_simulator("--items", "20") as rally:
        properties = {"baseUrl": rally.url, "apiKey": rally.key}
        its_id = await ready.host.add_integration({"name": "sample", "properties": properties})
        report = await ready.host.run_integration(its_id)
    assert report.tally.uploaded
    (run,) = await ready.host.stores.executions.list_latest(its_id)
    assert {one.execution_id for one in await ready.host.stores.issues.list_page()} == {run.id}
    # Somebody else may say so, and is not believed.
    await sent(ready, {"query": UPLOAD, "variables": {"data": upload(item(1), tracker="elsewhere")}})
    found = await ready.host.stores.issues.get("elsewhere", "1")
    assert found is not None
    assert found.execution_id == ""


async def test_what_goes_wrong_in_it_is_told_in_the_log_of_the_host(
    ready: ServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(path_of(ready)) as connection:
        connection.execute(
            "CREATE TRIGGER planted AFTER INSERT ON facts BEGIN SELECT RAISE(ABORT, 'planted fault'); END"
        )
    content = {"query": UPLOAD, "variables": {"data": upload(*many())}}
    answer = await sent(ready, content)
    assert answer.json()["errors"][0]["message"] == "internal error"
    assert "planted fault" in caplog.text
    assert "Traceback" in caplog.text
    with sqlite3.connect(path_of(ready)) as connection:
        connection.execute("DROP TRIGGER planted")
        connection.execute("ALTER TABLE facts RENAME TO elsewhere")
    unstored = await sent(ready, content)
    assert unstored.status_code == 503
    assert "the database cannot be written: no such table" in unstored.json()["errors"][0]["message"]
    with sqlite3.connect(path_of(ready)) as connection:
        connection.execute("ALTER TABLE elsewhere RENAME TO facts")
    assert stored(path_of(ready))["issues"] == []
    assert (await sent(ready, content)).status_code == 200
    connection.close()


class Interrupted:
    """Ends the process beside a host around the turns that it takes to write."""

    def __init__(self, asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = asked
        self.taken = 0
        #: What happens before a turn, by its number.
        self.before: dict[int, Callable[[], Any]] = {}
        monkeypatch.setattr(asked.host.upload_worker, "_write_lock", self.turn)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        self.taken += 1
        number = self.taken
        if number in self.before and (waiting := self.before[number]()) is not None:
            await waiting
        async with self.asked.host.stores.database.write_lock():
            yield

    def kill(self) -> None:
        """As the system does that is short of memory."""
        number = self.asked.host.upload_worker.process_id
        assert number is not None
        os.kill(number, signal.SIGKILL)
        # Gone, and not only about to go: what comes next is the same each time.
        child = self.asked.host.upload_worker._child
        assert child is not None
        child.process.wait()

    def lose_answers(self, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
        """Kill the process each time when it has just written, before it can answer."""
        received, lost, is_lost = upload_worker.Pipe.receive, 0, False

        async def receive(end: upload_worker.Pipe) -> tuple[str, dict[str, Any], bytes]:
            nonlocal lost, is_lost
            if is_lost:
                is_lost = False
                raise EOFError
            told = await received(end)
            if told[0] == upload_worker.LOCK_RELEASED and lost < times:
                lost, is_lost = lost + 1, True
                self.kill()
            return told

        monkeypatch.setattr(upload_worker.Pipe, "receive", receive)

    def before_the_next_process(self, monkeypatch: pytest.MonkeyPatch, what: Callable[[], Awaitable[Any]]) -> None:
        """Have something happen after the end of one process, before another begins."""
        begun = beside_module._ChildProcess.start

        async def later(database: Path) -> Any:
            await what()
            return await begun(database)

        monkeypatch.setattr(beside_module._ChildProcess, "start", later)


@pytest.fixture
def interrupted(ready: ServerClient, monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    return Interrupted(ready, monkeypatch)


@pytest.mark.parametrize("moment", ["idle", "before it writes", "after it has written"])
async def test_a_process_that_is_killed_is_replaced_and_the_upload_succeeds(
    ready: ServerClient, interrupted: Interrupted, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    match moment:
        case "idle":
            interrupted.kill()
        case "before it writes":
            interrupted.before[1] = interrupted.kill
        case _:
            interrupted.lose_answers(monkeypatch, times=1)
    first = ready.host.upload_worker.process_id
    answer = await sent(ready, {"query": UPLOAD, "variables": {"data": upload(*many())}})
    assert answer.json() == {"data": {"uploadIssueData": {"result": True}}}
    assert ready.host.upload_worker.process_id not in {None, first}
    found = stored(path_of(ready))
    assert len(found["issues"]) == 30
    assert len(found["history"]) == 120
    assert len(found["words"]) == 30


async def test_mutant_without_a_second_try_dies(
    ready: ServerClient, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside_module, "MAX_ATTEMPTS", 1)
    interrupted.before[1] = interrupted.kill
    assert (await sent(ready, {"query": UPLOAD, "variables": {"data": upload(*many())}})).status_code == 503


async def test_one_that_is_killed_twice_tells_that_nothing_was_stored_and_the_next_succeeds(
    ready: ServerClient, interrupted: Interrupted
) -> None:
    interrupted.before |= {1: interrupted.kill, 2: interrupted.kill}
    content = {"query": UPLOAD, "variables": {"data": upload(*many())}}
    for way, sent_content in ((GRAPHQL, content), (REST, upload(*many()))):
        interrupted.taken = 0
        answer = await sent(ready, sent_content, way=way)
        assert answer.status_code == 503
        assert "was not stored" in answer.json()["errors"][0]["message"]
        assert "send fewer issues" in answer.json()["errors"][0]["message"]
        assert not stored(path_of(ready))["issues"]
    assert (await sent(ready, content)).status_code == 200
    assert len(stored(path_of(ready))["issues"]) == 30


async def test_one_that_is_killed_twice_after_it_has_written_does_not_tell_that_nothing_was_stored(
    ready: ServerClient, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    interrupted.lose_answers(monkeypatch, times=2)
    content = {"query": UPLOAD, "variables": {"data": upload(*many())}}
    answer = await sent(ready, content)
    assert answer.status_code == 503
    assert "it is not known whether the upload was stored" in answer.json()["errors"][0]["message"]
    assert "nothing is lost" not in caplog.text
    assert len(stored(path_of(ready))["issues"]) == 30
    # The hint says to send it again.
    assert (await sent(ready, content)).status_code == 200
    assert len(stored(path_of(ready))["issues"]) == 30


async def test_a_second_try_overwrites_nothing_that_was_uploaded_after_the_first(
    ready: ServerClient, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer: list[asyncio.Task[httpx2.Response]] = []

    async def uploaded() -> None:
        # A small one, which the host itself takes.
        small = {"query": UPLOAD, "variables": {"data": upload(item(0, status="Accepted"))}}
        newer.append(asyncio.create_task(sent(ready, small)))
        turns = ready.host.stores.database.write_lock()
        assert isinstance(turns, asyncio.Lock)
        await until(lambda: newer[0].done() or turns._waiters)

    interrupted.lose_answers(monkeypatch, times=1)
    interrupted.before_the_next_process(monkeypatch, uploaded)
    older = await sent(ready, {"query": UPLOAD, "variables": {"data": upload(*many())}})
    assert len(stored(path_of(ready))["issues"]) == 30
    assert [older.status_code, (await newer[0]).status_code] == [200, 200]
    found = await ready.host.stores.issues.get("a" * 24, "0")
    assert found is not None
    assert found.content["status"] == "Accepted"


async def test_a_process_that_does_not_start_anew_is_not_told_as_ended_in_the_middle(
    ready: ServerClient, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    interrupted.kill()
    monkeypatch.setattr(beside_module, "PROGRAM", "rally_accelerate.nothing")
    answer = await sent(ready, {"query": UPLOAD, "variables": {"data": upload(*many())}})
    assert answer.status_code == 503
    assert "the upload was not stored" in answer.json()["errors"][0]["message"]
    assert "does not restart: it ended at once" in caplog.text
    assert "in the middle" not in caplog.text


async def test_a_process_that_is_killed_in_the_middle_of_writing_leaves_nothing_half(
    ready: ServerClient, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"query": UPLOAD, "variables": {"data": upload(*many())}}
    assert (await sent(ready, content)).status_code == 200
    before = stored(path_of(ready))
    held, again, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    with sqlite3.connect(path_of(ready)) as connection:
        # What is written after issues, their contents and their histories: there it works without an end.
        connection.executescript(
            """
            CREATE TABLE planted (x);
            INSERT INTO planted VALUES (1);
            CREATE TRIGGER held AFTER INSERT ON facts WHEN EXISTS (SELECT 1 FROM planted) BEGIN
              INSERT INTO planted SELECT count(*) FROM (
                WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n);
            END;
            """
        )
    connection.close()
    interrupted.before[2] = held.set
    interrupted.before_the_next_process(monkeypatch, lambda: again.set() or go_on.wait())  # type: ignore[func-returns-value]
    changed = {"query": UPLOAD, "variables": {"data": upload(*many(status="Accepted"), *many(30))}}
    sending = asyncio.create_task(sent(ready, changed))
    await held.wait()
    await until(lambda: is_locked(path_of(ready)))
    interrupted.kill()
    await again.wait()
    # Between the first try and the second one.
    assert stored(path_of(ready)) == before
    with sqlite3.connect(path_of(ready)) as connection:
        connection.execute("DELETE FROM planted")
    connection.close()
    go_on.set()
    assert (await sending).status_code == 200
    assert len(stored(path_of(ready))["issues"]) == 60
    assert {row["status"] for row in (await ready.http.get("/issues.json")).json()["issues"]} == {"Accepted", "Defined"}


def is_locked(database: Path) -> bool:
    """Whether somebody is in the middle of writing."""
    connection = sqlite3.connect(database, timeout=0)
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


async def test_it_writes_in_turn_with_the_host(ready: ServerClient, interrupted: Interrupted) -> None:
    asks = asyncio.Event()
    interrupted.before[1] = asks.set
    async with ready.host.stores.database.write_lock():
        sending = asyncio.create_task(sent(ready, {"query": UPLOAD, "variables": {"data": upload(*many())}}))
        asked_for = asyncio.create_task(asks.wait())
        await asyncio.wait({asked_for, sending}, return_when=asyncio.FIRST_COMPLETED)
        # Pages are answered meanwhile.
        assert (await ready.http.get("/issues")).status_code == 200
        assert not sending.done()
        assert not stored(path_of(ready))["issues"]
    assert (await sending).status_code == 200


async def test_whoever_stops_an_upload_may_rely_on_it(
    ready: ServerClient, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside_module, "CANCEL_TIMEOUT_SECONDS", 0.05)
    asks, content = asyncio.Event(), {"query": UPLOAD, "variables": {"data": upload(*many())}}
    interrupted.before[1] = asks.set
    async with ready.host.stores.database.write_lock():
        sending = asyncio.create_task(sent(ready, content))
        await asks.wait()
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
    assert ready.host.upload_worker.process_id is None
    assert not stored(path_of(ready))["issues"]
    assert (await sent(ready, content)).status_code == 200


async def test_a_host_ends_whatever_the_process_is_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_server(tmp_path / "host.sqlite") as asked:
        assert await asked.host.upload_worker.wait_until_ready()
        number, asks = asked.host.upload_worker.process_id, asyncio.Event()
        assert number is not None
        interrupted = Interrupted(asked, monkeypatch)
        interrupted.before[1] = lambda: asks.set() or asyncio.Event().wait()  # type: ignore[func-returns-value]
        sending = asyncio.create_task(sent(asked, {"query": UPLOAD, "variables": {"data": upload(*many())}}))
        await asks.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
