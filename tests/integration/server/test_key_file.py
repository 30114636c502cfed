"""The key file of the first start: written whole or not at all, and replaced only while no secret needs it."""

import fcntl
import os
from pathlib import Path
from typing import IO

import pytest
from cryptography.fernet import Fernet

from rally_accelerate.errors import StoreError
from rally_accelerate.server.store.encryption import Vault
from rally_accelerate.server.store.repositories import open_repositories

DAMAGED = {"empty": b"", "blank": b"\n", "cut": Fernet.generate_key()[:20], "noise": b"\x00" * 45}


async def with_secret(path: Path) -> None:
    """Create a database that holds one secret."""
    async with open_repositories(path) as stores:
        raw = {"name": "n", "type": "t", "tenant_id": "x", "loggingLevel": "INFO"}
        await stores.integrations.add({**raw, "properties": {"apiKey": "planted-secret-1"}})


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
async def test_a_damaged_key_that_no_secret_needs_is_replaced(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "server.sqlite"
    async with open_repositories(path):
        pass
    key = Path(f"{path}.key")
    key.write_bytes(content)
    await with_secret(path)
    assert "held no whole key and was replaced" in caplog.text
    assert key.stat().st_mode & 0o777 == 0o600
    async with open_repositories(path) as stores:
        (found,) = await stores.integrations.all()
        assert found.properties["apiKey"] == "planted-secret-1"


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
async def test_a_damaged_key_that_a_secret_needs_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "server.sqlite"
    await with_secret(path)
    key = Path(f"{path}.key")
    key.write_bytes(content)
    with pytest.raises(StoreError, match=r"1 secret in the database .* is damaged: it holds no whole key"):
        async with open_repositories(path):
            pass
    assert key.read_bytes() == content


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["a named pipe", "a device", "a link to nothing"])
async def test_what_is_no_file_of_keys_is_refused_and_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "server.sqlite"
    await with_secret(path)
    key = Path(f"{path}.key")
    key.unlink()
    match kind:
        case "a named pipe":
            os.mkfifo(key)
        case "a device":
            key.symlink_to("/dev/zero")
        case _:
            key.symlink_to("nothing")
    before = key.lstat()
    with pytest.raises(StoreError, match=r"the key file .*server.sqlite.key (cannot be read|is missing)"):
        async with open_repositories(path):
            pass
    assert key.lstat().st_ino == before.st_ino


async def test_a_refusal_leaves_no_lock_file_that_was_not_there(tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite"
    await with_secret(path)
    lock, key = Path(f"{path}.lock"), Path(f"{path}.key")
    key.unlink()
    for found in (True, False):
        with pytest.raises(StoreError, match=r"the key file .* is missing"):
            async with open_repositories(path):
                pass
        assert lock.exists() is found
        lock.unlink(missing_ok=True)


async def test_a_lock_file_that_was_removed_before_its_locking_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "server.sqlite"
    locked = fcntl.flock

    def remove(lock: IO[str], how: int) -> None:
        monkeypatch.undo()
        Path(f"{path}.lock").unlink()
        locked(lock, how)

    monkeypatch.setattr(fcntl, "flock", remove)
    async with open_repositories(path):
        with pytest.raises(StoreError, match="another server is using the database"):
            async with open_repositories(path):
                pass
        assert Path(f"{path}.lock").exists()


async def test_a_key_file_that_others_could_read_is_closed_with_a_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "server.sqlite"
    await with_secret(path)
    files = [Path(f"{path}{end}") for end in ("", ".key", ".lock")]
    for file in files:
        file.chmod(0o644)
    async with open_repositories(path):
        pass
    assert {file.stat().st_mode & 0o777 for file in files} == {0o640}
    assert "other users of this machine could read the key file" in caplog.text


def test_a_crash_while_the_key_is_written_leaves_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step fails in turn: the file is whole or missing, and on the disk before anything relies on it."""
    steps = [(os, "open"), (os, "fsync"), (Path, "replace"), (os, "close")]
    for number, (owner, name) in enumerate(steps):
        path = tmp_path / f"{number}.sqlite"
        with monkeypatch.context() as patch:

            def crash(*_: object, **__: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(owner, name, crash)
            with pytest.raises(StoreError):
                Vault.open_for(path)
        key = Path(f"{path}.key")
        assert not key.exists() or Fernet(key.read_bytes().strip())


def test_the_key_is_synced_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(number: int) -> None:
        done.append("fsync")
        fsync(number)

    def noted_replace(file: Path, target: Path) -> Path:
        done.append("replace")
        return replace(file, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    Vault.open_for(tmp_path / "server.sqlite")
    assert done == ["fsync", "replace", "fsync"]
