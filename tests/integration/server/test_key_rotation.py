"""Another key for the secrets: whenever it is killed, every secret can still be read, and running it again finishes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken

from rally_accelerate.errors import StoreError
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.store.encryption import Vault, get_key_file, rotate
from rally_accelerate.server.store.integrations import Integrations
from rally_accelerate.server.store.repositories import delete_unreadable_secrets, open_repositories
from rally_accelerate.server.store.tables import integrations
from support.issues import item

SECRETS = {"apiKey": "planted-secret-1", "proxyPassword": "planted-secret-2"}

#: Ends the process by force before the n-th step that touches a file or the database.
KILLED = """
import asyncio, os, pathlib, signal, sys
import rally_accelerate.server.store.encryption as encryption
import rally_accelerate.config.private_files as private_files
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.repositories import open_repositories
left = int(sys.argv[2])
def counted(real):
    def step(*args, **kwargs):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*args, **kwargs)
    return step
async def main():
    path = pathlib.Path(sys.argv[1])
    async with open_repositories(path) as stores:
        for owner, name in (
            (private_files.os, "fsync"), (private_files.os, "open"), (pathlib.Path, "replace"), (pathlib.Path, "read_bytes"),
            (encryption.MultiFernet, "rotate"), (encryption.Fernet, "decrypt"),
            (Database, "writing"), (Database, "reading"), (Database, "checkpoint"),
        ):
            setattr(owner, name, counted(getattr(owner, name)))
        await encryption.rotate(path, stores.database)
asyncio.run(main())
"""


async def filled(path: Path) -> str:
    """A database with secrets, and an uploaded issue that looks as if it held one; the integration's id."""
    async with open_repositories(path) as stores:
        raw = {"name": "n", "type": "t", "tenant_id": "x", "properties": {**SECRETS, "baseUrl": "https://r.example"}}
        its_id = await stores.integrations.add({**raw, "loggingLevel": "INFO"})
        fake = item(1, rawIssue={"encrypted": "no secret of ours"})
        await stores.issues.store_upload(source="R", tracker_id="t", tenant_id="x", items=[fake])
    return its_id


async def secrets_of(path: Path, its_id: str) -> dict[str, str]:
    async with open_repositories(path) as stores:
        found = await Integrations(stores.database, Vault.open_for(path)).by_id(its_id)
        assert found is not None
        return {name: found.properties[name] for name in SECRETS}


async def test_every_secret_gets_the_new_key_and_the_old_one_is_worth_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    its_id = await filled(path)
    (old,) = get_key_file(path).read_bytes().split()
    async with open_repositories(path) as stores:
        before = (await _properties(path, stores.database))["apiKey"]["encrypted"]
        assert await rotate(path, stores.database) == 2
        assert Path(f"{path}-wal").stat().st_size == 0
        after = (await _properties(path, stores.database))["apiKey"]["encrypted"]
    (new,) = get_key_file(path).read_bytes().split()
    assert new != old
    assert get_key_file(path).stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidToken):
        Fernet(old).decrypt(after.encode())
    # Nor does the file keep, in some free corner, what the old key could still read.
    left = b"".join(each.read_bytes() for each in tmp_path.glob("x.sqlite*"))
    assert before.encode() not in left
    assert after.encode() in left
    assert await secrets_of(path, its_id) == SECRETS
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.sqlite", "x.sqlite.key", "x.sqlite.lock"]


async def _properties(path: Path, database: object) -> dict[str, dict[str, str]]:
    async with database.reading() as connection:  # type: ignore[attr-defined] # any database
        found: dict[str, dict[str, str]] = (await connection.execute(sa.select(integrations.c.properties))).scalar_one()
    return found


async def test_killed_at_any_step_it_loses_nothing_and_can_be_run_again(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    its_id = await filled(path)
    for step in range(40):
        code = _killed(path, step)
        assert await secrets_of(path, its_id) == SECRETS, step
        if code == 0:
            break
        assert code == -signal.SIGKILL
    else:
        pytest.fail("it never came to its end")
    assert step > 12
    assert len(get_key_file(path).read_bytes().split()) == 1


def _killed(path: Path, step: int) -> int:
    command = [sys.executable, "-c", KILLED, str(path), str(step)]
    return subprocess.run(command, env=dict(os.environ), check=False, timeout=60).returncode


async def test_a_secret_that_no_key_reads_stops_it_before_anything_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    await filled(path)
    old = get_key_file(path).read_bytes()
    async with open_repositories(path) as stores:
        get_key_file(path).write_bytes(Fernet.generate_key() + b"\n")
        with pytest.raises(StoreError, match="cannot be read with any key"):
            await rotate(path, stores.database)
    get_key_file(path).write_bytes(old + get_key_file(path).read_bytes())
    async with open_repositories(path) as stores:
        assert await rotate(path, stores.database) == 2


async def test_what_only_looks_encrypted_is_left_alone(tmp_path: Path) -> None:
    """Unknown keys of a value stream's file are kept as they are; whatever they hold, secrets get their new key."""
    path = tmp_path / "x.sqlite"
    await filled(path)
    fake = Fernet(Fernet.generate_key()).encrypt(b"1").decode()
    deep = {"encrypted": "text", "within": [{"encrypted": fake}]}
    other = {"name": "jira", "type": "ucv-ext-jira", "properties": {"token": "planted", "odd": {"encrypted": "x"}}}
    document = {"name": "s", "phases": [], "mine": {"encrypted": fake}, "more": deep, "integrations": [other]}
    async with open_repositories(path) as stores:
        actor = Actor("", "t", Role.ADMIN)
        async with stores.database.writing() as connection:
            its_id = await stores.streams.insert(
                connection, name="s", tenant_id="t", team=None, document=document, actor=actor, why="created"
            )
        assert await rotate(path, stores.database) == 4
    async with open_repositories(path) as stores:
        found = await stores.streams.by_id(its_id)
        assert found is not None
        assert found.document == document


async def test_a_lost_key_file_is_told_at_the_start_and_no_new_one_hides_it(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    its_id = await filled(path)
    kept = get_key_file(path).read_bytes()
    get_key_file(path).unlink()
    with pytest.raises(StoreError, match=r"2 secrets .* key file .* is missing") as told:
        async with open_repositories(path):
            pass
    assert "secrets forget" in told.value.hint
    assert not get_key_file(path).exists()
    get_key_file(path).write_bytes(Fernet.generate_key() + b"\n")
    with pytest.raises(StoreError, match=r"2 secrets .* no key in .* encrypted them"):
        async with open_repositories(path):
            pass
    get_key_file(path).write_bytes(kept)
    assert await secrets_of(path, its_id) == SECRETS


async def test_secrets_whose_key_is_lost_for_good_are_forgotten_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    await filled(path)
    assert await delete_unreadable_secrets(path) == 0
    get_key_file(path).unlink()
    assert await delete_unreadable_secrets(path) == 2
    async with open_repositories(path) as stores:
        (found,) = await stores.integrations.all()
        assert found.properties == {"baseUrl": "https://r.example"}
