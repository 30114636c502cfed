"""The database file: opened, brought up to date, read by many, written by one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from rally_accelerate.errors import StoreError
from rally_accelerate.host.store import sqlite

MIGRATIONS = Path(__file__).parent / "migrations"

#: How long a writer waits for another process's transaction, in seconds.
BUSY_SECONDS = 30


class Database:
    """One SQLite file. Writers take turns; readers never wait for them (write-ahead log)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> "Database":
        """Open the file, make it if it is missing, and bring its tables up to date.

        Raises:
            StoreError: It cannot be used.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(upgrade, f"sqlite:///{path}")
        except (OSError, SQLAlchemyError) as error:
            reason = getattr(error, "orig", None) or error
            raise StoreError(
                f"the database {path} cannot be used: {reason}",
                hint="Choose another file with --database, or repair its folder's rights.",
            ) from error
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{path}",
            connect_args={"timeout": BUSY_SECONDS},
            json_serializer=sqlite.to_json,
            json_deserializer=orjson.loads,
        )
        sa.event.listen(engine.sync_engine, "connect", sqlite.prepare)
        sa.event.listen(engine.sync_engine, "begin", sqlite.begin)
        return cls(engine)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def settle(self) -> None:
        """Write the log back into the database file, and empty it; as far as nobody reads meanwhile."""
        async with self._writing, self._engine.connect() as connection:
            # Past SQLAlchemy, which would begin a transaction: inside one, nothing is written back.
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the data, whatever is written meanwhile.

        Raises:
            StoreError: The file is damaged, or its disk fails.
        """
        try:
            async with self._engine.connect() as connection:
                yield connection
        except sa.exc.DatabaseError as error:
            if hint := _hint(str(error.orig), otherwise=""):
                raise StoreError(f"the database cannot be read: {error.orig}", hint=hint) from error
            raise

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end or not at all.

        Raises:
            StoreError: It cannot be written.
        """
        try:
            async with self._writing, self._engine.connect() as connection:
                await connection.execution_options(writes=True)
                async with connection.begin():
                    yield connection
        except sa.exc.OperationalError as error:
            raise StoreError(f"the database cannot be written: {error.orig}", hint=_hint(str(error.orig))) from error


#: What SQLite says, and what an operator can do about it.
HINTS = {
    "full": "Free space on its disk.",
    "disk i/o": "Free space on its disk, and look whether the disk is sound.",
    "readonly": "Make the file and its folder writable for the user that the host runs as.",
    "unable to open": "Look whether the folder is still there, and writable for the user that the host runs as.",
    "locked": "Another program holds the file: end it, and try again.",
    "malformed": "The file is damaged: bring back your last backup of it, with its key file.",
    "not a database": "The file is damaged: bring back your last backup of it, with its key file.",
}


def _hint(said: str, *, otherwise: str = "Look whether its disk is full, and its folder writable.") -> str:
    return next((hint for words, hint in HINTS.items() if words in said.lower()), otherwise)


def upgrade(url: str, *, to: str = "head") -> None:
    """Bring the tables up to date, or to an earlier state; everything that an older version wrote is kept."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    command.upgrade(config, to)
