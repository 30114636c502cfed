"""What an older version stored is found by this one."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rally_accelerate.dql.parser import parse
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.issue_search import IssueFilter, Search
from rally_accelerate.server.store.issues import Issues
from support.issues import change, item
from support.old_database import create_old_database

NOW = datetime(2026, 3, 10, tzinfo=UTC)


async def test_issues_of_an_older_version_are_searched_like_new_ones(tmp_path: Path) -> None:
    entries = [{**change("a", "b"), "timestamp": 1_700_000_000_000 + each} for each in (7, 9)]
    items = [item(number, owner="Ann", rawIssue={"Risk": "High"}) for number in range(1_200)]
    items[700] |= {"history": entries, "labels": ["Red"], "description": "a zebra", "status": "Done"}
    create_old_database(tmp_path / "old.sqlite", items)
    old = await Database.open(tmp_path / "old.sqlite")
    new = await Database.open(tmp_path / "new.sqlite")
    await Issues(new).store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=items)
    for wanted, count in (
        (IssueFilter(), 1_200),
        (IssueFilter(text="zebra"), 1),
        (IssueFilter(labels=("red",), statuses=("Done",)), 1),
        (IssueFilter(queries=(parse("issue.rawIssue.risk = high and issue.history.count = 0"),)), 1_199),
    ):
        assert await Search(old).count(wanted, now=NOW) == count
        found = [await Search(each).page(wanted, now=NOW, limit=2_000) for each in (old, new)]
        assert found[0].rows == found[1].rows
    assert found[0].rows[0].status_since == 1_700_000_000_000
    before, after = [await Issues(each).get("t", "700") for each in (old, new)]
    assert before is not None
    assert after is not None
    assert before.content == after.content
    assert before.uploaded == 5
    # What was filled in is what an upload compares with.
    await Issues(old).store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=[item(700)])
    assert await Search(old).count(IssueFilter(text="zebra"), now=NOW) == 0
    await old.close()
    await new.close()


async def test_a_migration_that_stops_half_way_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    broken = item(601)
    del broken["lastUpdate"]
    create_old_database(path, [*(item(number) for number in range(600)), broken])

    def state() -> list[Any]:
        engine = sa.create_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            tables = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").all()
            count = connection.exec_driver_sql("SELECT count(*) FROM issues").scalar_one()
            version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        engine.dispose()
        return [*tables, count, version]

    before = state()
    with pytest.raises(KeyError):
        await Database.open(path)
    assert state() == before


async def test_accented_letters_in_two_characters_are_found_after_the_migration(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    written, description = "Pre\u0301te\u0301", "un long texte\u0301 " * 40
    items = [item(number, status="Open") for number in range(5)]
    items[3] |= {"status": written, "description": description}
    new = await Database.open(path)
    await Issues(new).store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=items)
    await new.close()
    # As the version before left it.
    with sqlite3.connect(path) as connection:
        changed = connection.execute(
            "UPDATE facts SET folded = ? WHERE folded = 'pr\u00e9t\u00e9'", (written.casefold(),)
        )
        assert changed.rowcount
        connection.execute("UPDATE long_texts SET folded = ?", (description.casefold(),))
        connection.execute("UPDATE alembic_version SET version_num = '0011'")
    connection.close()
    old = await Database.open(path)
    for query in ("issue.status = 'Pr\u00e9t\u00e9'", "issue.description contains 'text\u00e9 un'"):
        assert await Search(old).count(IssueFilter(queries=(parse(query),)), now=NOW) == 1, query
    await old.close()


async def test_texts_that_fold_otherwise_than_before_are_found_after_the_migration(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    pasted, description = "In\u00a0Progress", "a long\u00a0text " * 40
    items = [item(number, status="Open") for number in range(5)]
    items[3] |= {"status": pasted, "description": description, "labels": ["a\u2011b"]}
    new = await Database.open(path)
    await Issues(new).store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=items)
    await new.close()
    # As the version before left it.
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE facts SET folded = ? WHERE folded = 'in progress'", (pasted.casefold(),))
        connection.execute("UPDATE facts SET folded = ? WHERE folded = 'a-b'", ("a\u2011b",))
        connection.execute("UPDATE long_texts SET folded = ?", (description.casefold(),))
        connection.execute("UPDATE alembic_version SET version_num = '0010'")
    connection.close()
    old = await Database.open(path)
    for query in ("issue.status = 'In Progress'", "issue.labels = a-b", "issue.description contains 'long text'"):
        assert await Search(old).count(IssueFilter(queries=(parse(query),)), now=NOW) == 1, query
    await old.close()
