"""The store keeps what it promises: one issue once, uploads whole, restarts, readers that never wait."""

import asyncio
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from rally_accelerate.errors import StoreError
from rally_accelerate.server.app import Server
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.encryption import Vault
from rally_accelerate.server.store.issues import Issues
from rally_accelerate.server.store.tables import fact_names, issue_history, issues, metadata
from support.issues import change, item


async def test_the_same_upload_twice_leaves_the_same_rows(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.sqlite")
    store = Issues(database)
    items = [item(number, history=[{**change("a", "b"), "timestamp": 5}]) for number in range(50)]
    for _ in range(2):
        await store.store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=items)
    async with database.reading() as connection:
        for table in (issues, issue_history):
            count = await connection.execute(sa.select(sa.func.count()).select_from(table))
            assert count.scalar_one() == 50
    await database.close()


async def test_an_upload_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.sqlite")
    async with database.writing() as connection:
        await connection.exec_driver_sql(
            "CREATE TRIGGER no BEFORE INSERT ON issue_history WHEN NEW.field = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    bad = {"timestamp": 5, "content": {"field": "bad"}}
    with pytest.raises(sa.exc.IntegrityError):
        await Issues(database).store_upload(
            source="R", tracker_id="t", tenant_id="n", items=[item(1), item(2, history=[bad])]
        )
    assert await Issues(database).count_by_tracker() == {}
    await database.close()


async def test_readers_see_one_state_and_do_not_wait_while_somebody_writes(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.sqlite")
    store = Issues(database)
    await store.store_upload(source="R", tracker_id="t", tenant_id="n", items=[item(1)])
    async with database.writing() as connection:
        await connection.execute(sa.delete(issues))
        # Inside the open transaction of the writer: another connection still reads, and sees the state before it.
        assert await store.count_by_tracker() == {"t": 1}
    assert await store.count_by_tracker() == {}
    await database.close()


async def test_the_loop_answers_while_an_upload_is_written(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.sqlite")
    begun, answered = threading.Event(), threading.Event()

    def write(connection: sa.Connection) -> bool:
        connection.execute(sa.insert(fact_names).values(name="new"))
        begun.set()
        return answered.wait(30)

    writing = asyncio.create_task(database.run_in_transaction(write))
    await asyncio.to_thread(begun.wait, 30)
    async with database.reading() as connection:
        assert (await connection.execute(sa.select(fact_names))).all() == []
    answered.set()
    assert await writing
    async with database.reading() as connection:
        assert [row.name for row in await connection.execute(sa.select(fact_names))] == ["new"]
    await database.close()


async def test_who_no_longer_waits_for_a_write_leaves_the_turn_only_when_it_is_done(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.sqlite")
    begun, go_on = threading.Event(), threading.Event()

    def write(connection: sa.Connection) -> None:
        begun.set()
        go_on.wait(30)
        connection.execute(sa.insert(fact_names).values(name="first"))

    writing = asyncio.create_task(database.run_in_transaction(write))
    await asyncio.to_thread(begun.wait, 30)
    writing.cancel()
    second = asyncio.create_task(
        database.run_in_transaction(lambda connection: [row.name for row in connection.execute(sa.select(fact_names))])
    )
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await second == ["first"]
    await database.close()


async def test_a_host_goes_on_after_a_restart_and_shows_its_key_once(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    async with Server.open(path) as host:
        assert host.first_access_key
        key = host.first_access_key
        its_id = await host.add_integration({"name": "n", "properties": {"apiKey": "k"}})
        await host.stores.executions.start(its_id, job_name="j")
    async with Server.open(path) as host:
        assert host.first_access_key is None
        assert await host.stores.keys.authenticate(key)
        (execution,) = await host.stores.executions.list_latest(its_id)
        assert execution.outcome == "interrupted"
        assert await host.add_integration({"name": "n", "properties": {"apiKey": "other"}}) == its_id


async def test_the_migrations_make_the_tables_that_the_program_describes(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    await (await Database.open(path)).close()
    described = sa.create_engine("sqlite://")
    metadata.create_all(described)
    made = sa.create_engine(f"sqlite:///{path}")

    def shape(engine: sa.Engine) -> dict[str, set[str]]:
        inspector = sa.inspect(engine)
        return {
            table: {
                f"{column['name']} {column['type']} {column['nullable']}" for column in inspector.get_columns(table)
            }
            | {str(index["name"]) for index in inspector.get_indexes(table)}
            for table in inspector.get_table_names()
            if table != "alembic_version"
        }

    assert shape(made) == shape(described)
    made.dispose()
    described.dispose()


async def test_a_new_database_is_for_its_owner_only_and_an_old_one_stays_as_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    database = await Database.open(path)
    async with database.writing() as connection:
        await connection.execute(sa.select(1))
        files = sorted(tmp_path.iterdir())
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    await database.close()
    path.chmod(0o640)
    await (await Database.open(path)).close()
    assert path.stat().st_mode & 0o777 == 0o640


async def test_the_key_file_is_for_its_owner_only_and_its_loss_is_explained(tmp_path: Path) -> None:
    database = tmp_path / "x.sqlite"
    sealed = Vault.open_for(database).encrypt_secrets({"apiKey": "s", "baseUrl": "u"})
    key_file = Path(f"{database}.key")
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert sealed["apiKey"] != "s"
    assert Vault.open_for(database).decrypt_secrets(sealed) == {"apiKey": "s", "baseUrl": "u"}
    key_file.unlink()
    with pytest.raises(StoreError, match="cannot be read with the key file"):
        Vault.open_for(database).decrypt_secrets(sealed)


async def test_a_file_that_is_no_database_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"no database at all, but long enough to be taken for the header of one " * 9)
    with pytest.raises(StoreError, match="cannot be used"):
        await Database.open(path)


def test_a_setting_that_only_looks_encrypted_comes_back_as_it_was(tmp_path: Path) -> None:
    vault = Vault.open_for(tmp_path / "host.sqlite")
    properties = {"fieldMapping": {"encrypted": "abc"}, "projects": ["A"]}
    assert vault.decrypt_secrets(vault.encrypt_secrets(properties)) == properties


async def test_several_issues_come_in_the_order_in_which_they_were_asked_for(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.sqlite")
    store = Issues(database)
    for tracker in ("t", "u"):
        await store.store_upload(
            source="RALLY", tracker_id=tracker, tenant_id="n", items=[item(n) for n in range(1, 4)]
        )
    keys = [("u", "3"), ("t", "9"), ("t", "2"), ("nobody", "1"), ("u", "1")]
    found = [(one.tracker_id, one.content["_id"]) for one in await store.get_many(keys)]
    assert found == [("u", "3"), ("t", "2"), ("u", "1")]
    assert await store.get_many([]) == []
    await database.close()
