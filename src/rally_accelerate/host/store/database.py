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

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the data, whatever is written meanwhile."""
        async with self._engine.connect() as connection:
            yield connection

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
            raise StoreError(f"the database cannot be written: {error.orig}", hint="Free space on its disk.") from error


def upgrade(url: str) -> None:
    """Bring the tables up to date; everything that an older version wrote is kept."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    command.upgrade(config, "head")
