"""What searches keep for the next start is never what they find: that is always what is stored."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
import sqlalchemy as sa

from rally_accelerate.server.store.column_index import Snapshot, load_snapshot, pack_snapshot, unpack_snapshot
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.issue_search import IssueFilter, Search
from rally_accelerate.server.store.issues import Issues
from rally_accelerate.server.store.tables import issues, snapshots
from support.issues import item

NOW = datetime(2026, 3, 10, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty one."""
    made = await Database.open(tmp_path / "a.sqlite")
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def _everything_is_worth_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rally_accelerate.server.store.column_index.SNAPSHOT_THRESHOLD", 1)


class Unkept(Search):
    """A search that reads every issue."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._columns._restore = lambda *_: None  # type: ignore[method-assign]


async def told(search: Search) -> tuple[object, ...]:
    """Everything that columns answer."""
    stage = await search.summarize_stage(IssueFilter(), now=NOW)
    return await search.count_facets(IssueFilter(), now=NOW), stage.count, stage.average_age_ms


async def upload(database: Database, tracker: str, first: int, status: str) -> None:
    """Two issues: the first of one upload is the second of the next."""
    items = [item(number, status=status, owner=f"{status} {number}", labels=[tracker]) for number in (first, first + 1)]
    await Issues(database).store_upload(source="R", tracker_id=tracker, tenant_id="n", items=items)


@pytest.mark.parametrize("first", "abrk")
async def test_a_search_of_the_next_start_tells_what_is_stored(database: Database, first: str) -> None:
    # Of each first step all histories of three; each goes on with the database that the one before leaves.
    search = Search(database)
    for steps in product("abrk", repeat=2):
        for number, step in enumerate((first, *steps)):
            match step:
                case "a" | "b":
                    await upload(database, step, number, f"status {number}")
                case "r":
                    await Issues(database).remove("a")
                case _:
                    await search.warm()
                    search = Search(database)
            expected = await told(Unkept(database))
            assert await told(Search(database)) == expected, (first, steps, number)
            assert await told(search) == expected, (first, steps, number)


async def test_a_start_reads_only_what_came_since(database: Database) -> None:
    await upload(database, "a", 1, "Old")
    await Search(database).warm()
    # Nobody told: what was read once is not read again.
    async with database.writing() as connection:
        await connection.execute(sa.update(issues).values(status="Untold"))
    await upload(database, "a", 2, "New")
    facets = await Search(database).count_facets(IssueFilter(), now=NOW)
    assert facets["status"] == [("New", 2), ("Old", 1)]


async def test_a_removal_has_no_issue_read_again(database: Database) -> None:
    await upload(database, "a", 1, "Old")
    await upload(database, "b", 5, "Other")
    search = Search(database)
    await search.warm()
    async with database.writing() as connection:
        await connection.execute(sa.update(issues).values(status="Untold"))
    await Issues(database).remove("b")
    for each in (search, Search(database)):
        assert (await each.count_facets(IssueFilter(), now=NOW))["status"] == [("Old", 2)]
    # Nothing of what is gone is kept for longer than the host runs.
    await search.close()
    async with database.reading() as connection:
        kept = (await connection.execute(sa.select(snapshots.c.content))).scalar_one()
    assert b"Old 1" in kept
    assert b"Other 5" not in kept


async def test_what_cannot_be_read_is_read_from_the_issues(database: Database) -> None:
    await upload(database, "a", 1, "Old")
    await Search(database).warm()
    async with database.reading() as connection:
        snapshot = await connection.run_sync(load_snapshot)
    assert snapshot is not None
    written = pack_snapshot(snapshot)
    for content in (b"", b"\0" * 40, written[:-1], written.replace(b'"format":1', b'"format":9')):
        async with database.writing() as connection:
            await connection.execute(sa.update(snapshots).values(content=content))
        assert (await Search(database).count_facets(IssueFilter(), now=NOW))["status"] == [("Old", 2)]


async def test_a_snapshot_is_read_as_it_was_written(database: Database) -> None:
    await upload(database, "a", 1, "Old")
    await Search(database).warm()
    async with database.reading() as connection:
        kept = await connection.run_sync(load_snapshot)
    assert isinstance(kept, Snapshot)
    other = replace(kept, counter=7, removals=3)
    assert unpack_snapshot(pack_snapshot(other)) == other
