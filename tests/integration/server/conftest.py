"""An embedded host on a real SQLite file, asked in-process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rally_accelerate.server import passwords
from rally_accelerate.server.store import database
from support.server_client import ServerClient, open_server


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host makes its administrator's password at the first start; hundreds of them need not be hard to guess."""
    monkeypatch.setattr(passwords, "COST", passwords.Cost(2, 1, 1))


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A new database's file, made by the migrations."""
    path = tmp_path_factory.mktemp("tables") / "new.sqlite"
    database.upgrade(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture(autouse=True)
def copied_tables(tables: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy new databases: hundreds of tests need one, and the migrations are tested in ``test_migrations.py``."""
    migrate = database.upgrade

    def upgrade(url: str, *, to: str = "head") -> None:
        path = Path(url.removeprefix("sqlite:///"))
        if to == "head" and path.is_file() and path.stat().st_size == 0:
            path.write_bytes(tables)
        else:
            migrate(url, to=to)

    monkeypatch.setattr(database, "upgrade", upgrade)


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[ServerClient]:
    """A new host, asked by its administrator."""
    async with open_server(tmp_path / "host.sqlite") as asked:
        yield asked
