"""A host that dies before any of its statements: after the next start, nothing is half done.

Enumerated: each change is made again and again, and dies one statement later each time; from then on nothing more can be
asked of the database, as in a process that was killed. What SQLite has not committed then is not there.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rally_accelerate.server.app import Server
from rally_accelerate.server.permissions import SYSTEM_ACTOR
from rally_accelerate.server.store import issue_writer
from rally_accelerate.server.store.database import Database, upgrade
from rally_accelerate.server.store.executions import LogLine, Retention
from rally_accelerate.server.store.tables import execution_lines, executions, from_ms, sent
from support.issues import item

#: Nothing listens there.
NEVER = {"baseUrl": "http://127.0.0.1:9", "apiKey": "sample-key"}

#: More statements than any of the changes has.
MOST = 400


class KilledError(BaseException):
    """Where the process would have died."""


@contextmanager
def dying(after: int) -> Iterator[list[str]]:
    """Let nothing be asked of any database behind so many statements; those that were asked."""
    asked: list[str] = []

    def count(*given: Any) -> None:
        if len(asked) >= after:
            raise KilledError
        asked.append(given[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        yield asked
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)


@asynccontextmanager
async def opened(path: Path, **more: Any) -> AsyncIterator[Server]:
    async with Server.open(path, interval=timedelta(hours=1), **more) as host:
        # It counts issues meanwhile, which is none of the statements of the change.
        await host.stores.search.warm()
        yield host


async def dies_everywhere(
    path: Path,
    change: Callable[[Server], Awaitable[Any]],
    *,
    prepare: Callable[[Server], Awaitable[None]],
    look: Callable[[Server], Awaitable[Any]],
) -> tuple[int, list[Any]]:
    """Die before each statement of a change, start again, and look.

    Returns:
        How many statements the change has, and what was seen after each death and at last after none.
    """
    seen = []
    for after in range(MOST):
        async with opened(path) as host:
            await prepare(host)
            died = True
            with dying(after):
                try:
                    await change(host)
                    died = False
                except KilledError:
                    pass
        async with opened(path) as host:
            seen.append(await look(host))
        if not died:
            return after, seen
    pytest.fail("it never came to its end")


async def integration_of(host: Server) -> str:
    found = await host.stores.integrations.by_name("sample", "t")
    if found is not None:
        return found.id
    return await host.stores.integrations.add(
        {"name": "sample", "tenant_id": "t", "type": "ucv-ext-rally", "disabled": True, "properties": NEVER}
    )


async def brought(host: Server) -> None:
    """An integration with issues, which its ledger says were sent, beside those of somebody else."""
    its_id = await integration_of(host)
    for tracker in (its_id, "other"):
        items = [item(number, name="a zebra") for number in range(7)]
        await host.stores.issues.store_upload(source="R", tracker_id=tracker, tenant_id="t", items=items)
    row = {"integration_id": its_id, "revision": "1@1", "rules_version": "1"}
    async with host.stores.database.writing() as connection:
        await connection.execute(sa.delete(sent))
        await connection.execute(sa.insert(sent), [{**row, "external_id": str(number)} for number in range(7)])


async def left(host: Server) -> tuple[bool, int, int]:
    """Whether the integration is there, how many of its issues, and how many it believes to have sent."""
    found = await host.stores.integrations.by_name("sample", "t")
    counts = await host.stores.issues.count_by_tracker()
    assert counts.pop("other") == 7
    async with host.stores.database.reading() as connection:
        ledger = (await connection.execute(sa.select(sa.func.count()).select_from(sent))).scalar_one()
    assert await issue_writer.list_unfinished_removals(host.stores.database) == []
    return found is not None, sum(counts.values()), ledger


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue_writer, "REMOVAL_CHUNK_SIZE", 4)


@pytest.mark.usefixtures("small_parts")
async def test_an_integration_and_its_issues_are_both_there_or_both_gone(tmp_path: Path) -> None:
    async def remove(host: Server) -> None:
        await host.integrations.remove(SYSTEM_ACTOR, await integration_of(host), with_issues=True)

    count, seen = await dies_everywhere(tmp_path / "x.sqlite", remove, prepare=brought, look=left)
    assert set(seen) == {(True, 7, 7), (False, 0, 0)}
    assert seen[-1] == (False, 0, 0)
    # Once decided, it is gone, however early in it the process died.
    assert seen == sorted(seen, reverse=True)
    assert count > 10


@pytest.mark.usefixtures("small_parts")
async def test_issues_that_were_removed_do_not_pass_for_sent(tmp_path: Path) -> None:
    async def remove(host: Server) -> None:
        await host.integrations.remove_issues(SYSTEM_ACTOR, await integration_of(host))

    count, seen = await dies_everywhere(tmp_path / "x.sqlite", remove, prepare=brought, look=left)
    assert set(seen) == {(True, 7, 7), (True, 0, 0)}
    assert seen[-1] == (True, 0, 0)
    assert count > 10


@pytest.mark.usefixtures("small_parts")
async def test_no_run_begins_while_its_issues_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path / "x.sqlite") as host:
        await brought(host)
        its_id = await integration_of(host)
        finish, ran = issue_writer.finish_removal, []

        async def watched(database: Database, tracker_id: str) -> None:
            await finish(database, tracker_id)
            ran.append(host._runner.get_lock(its_id).locked())

        monkeypatch.setattr(issue_writer, "finish_removal", watched)
        await host.integrations.remove_issues(SYSTEM_ACTOR, its_id)
        await host.integrations.remove(SYSTEM_ACTOR, its_id, with_issues=True)
        assert ran == [True, True]


def document(name: str, **more: Any) -> dict[str, Any]:
    entry = {"type": "ucv-ext-rally", "name": "sample", "tenant_id": "t", "properties": {**NEVER, **more}}
    other = {**entry, "name": "new", "properties": NEVER}
    return {"name": name, "tenantId": "t", "phases": [], "description": str(more), "integrations": [entry, other]}


async def test_a_file_is_imported_whole_with_its_integrations_or_not_at_all(tmp_path: Path) -> None:
    async def empty(host: Server) -> None:
        for stream in await host.stores.streams.all():
            await host.importer.remove(stream, actor=SYSTEM_ACTOR)
        for known in await host.stores.integrations.all():
            await host.integrations.remove(SYSTEM_ACTOR, known.id, with_issues=False)

    async def create(host: Server) -> None:
        noted.append(len(await host.stores.audit.list_entries(limit=1000)))
        await host.importer.create(document("s", workspace="one"), actor=SYSTEM_ACTOR)

    async def state(host: Server) -> tuple[int, int, int]:
        entries = await host.stores.audit.list_entries(limit=1000)
        return (
            len(await host.stores.streams.all()),
            len(await host.stores.integrations.all()),
            len(entries) - noted[-1] if noted else 0,
        )

    noted: list[int] = []
    _, seen = await dies_everywhere(tmp_path / "x.sqlite", create, prepare=empty, look=state)
    assert set(seen) == {(0, 0, 0), (1, 2, 3)}
    assert seen[-1] == (1, 2, 3)


async def test_a_file_replaces_whole_or_not_at_all(tmp_path: Path) -> None:
    path, number = tmp_path / "x.sqlite", 0
    async with opened(path) as host:
        await host.importer.create(document("s", workspace="w0"), actor=SYSTEM_ACTOR)

    async def nothing(_: Server) -> None:
        return

    async def replace(host: Server) -> None:
        nonlocal number
        number += 1
        (stream,) = await host.stores.streams.all()
        given = document("s", workspace=f"w{number}")
        await host.importer.replace(stream.id, given, based_on=stream.version, actor=SYSTEM_ACTOR)

    async def state(host: Server) -> tuple[str, str]:
        (stream,) = await host.stores.streams.all()
        found = await host.stores.integrations.by_name("sample", "t")
        assert found is not None
        told = [each for each in await host.stores.audit.list_entries(limit=5) if each.kind == "value stream"]
        assert told[0].detail["version"] == stream.version
        return str(stream.document["description"]), str({"workspace": found.properties["workspace"]})

    _, seen = await dies_everywhere(path, replace, prepare=nothing, look=state)
    for description, settings in seen:
        assert description == settings
    assert len(set(seen)) > 1


async def test_runs_are_let_go_with_all_their_lines_or_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"

    async def full(host: Server) -> None:
        its_id = await integration_of(host)
        host.stores.executions.retention = Retention(runs=500)
        while len(await host.stores.executions.list_latest(its_id)) < 5:
            key = await host.stores.executions.start(its_id, job_name="e")
            await host.stores.lines.append(key, [LogLine(from_ms(1), "INFO", str(line)) for line in range(3)], after=0)
            await host.stores.executions.finish(key, outcome="complete", report={})

    async def end(host: Server) -> None:
        host.stores.executions.retention = Retention(runs=1)
        key = await host.stores.executions.start(await integration_of(host), job_name="e")
        await host.stores.lines.append(key, [LogLine(from_ms(1), "INFO", str(line)) for line in range(3)], after=0)
        await host.stores.executions.finish(key, outcome="complete", report={})

    async def state(host: Server) -> tuple[int, int]:
        async with host.stores.database.reading() as connection:
            runs = (await connection.execute(sa.select(executions))).all()
            lines = (await connection.execute(sa.select(execution_lines.c.execution_id))).scalars().all()
        # None goes on for ever.
        assert all(run.completed is not None for run in runs)
        assert set(lines) <= {run.id for run in runs}
        return len(runs), len(lines)

    _, seen = await dies_everywhere(path, end, prepare=full, look=state)
    assert {runs for runs, _ in seen[:-1]} <= set(range(5, 60))
    assert seen[-1] == (1, 3)


def dump(path: Path) -> list[Any]:
    """Everything in a database, its tables included."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        tables = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").all()
        rows = [
            connection.exec_driver_sql(f"SELECT * FROM {name}").all()  # noqa: S608 - our own names
            for kind, name, _ in tables
            if kind == "table" and "issue_words" not in name
        ]
    engine.dispose()
    return [*tables, *rows]


@pytest.mark.parametrize("version", ["0001", "0004", "0005", "0006"])
def test_a_database_is_brought_up_to_date_whole_or_not_at_all(tmp_path: Path, version: str) -> None:
    path = tmp_path / "x.sqlite"
    url = f"sqlite:///{path}"
    upgrade(url, to=version)
    before = dump(path)
    for after in range(MOST):
        with dying(after) as asked:
            try:
                upgrade(url)
                break
            except (KilledError, sa.exc.PendingRollbackError):
                pass
        assert dump(path) == before, asked[-1:]
    else:
        pytest.fail("it never came to its end")
    assert after > 5
    fresh = tmp_path / "fresh.sqlite"
    upgrade(f"sqlite:///{fresh}")
    assert names(dump(path)) == names(dump(fresh))


def names(dumped: list[Any]) -> set[tuple[str, str]]:
    """The kinds and names of what a database is made of."""
    return {(row[0], row[1]) for row in dumped if isinstance(row, sa.Row)}
