"""The SQLite database: migrations, connections, transactions and error messages."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from rally_accelerate.config.private_files import make_private_file, make_private_folder
from rally_accelerate.errors import StoreError
from rally_accelerate.server.store import sqlite

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"

#: How long a writer waits for another process's transaction, in seconds.
BUSY_SECONDS = 30


class Database:
    """One SQLite file. Writers take turns; readers never wait for them (write-ahead log)."""

    def __init__(self, engine: AsyncEngine, at_once: sa.Engine, turns: AbstractAsyncContextManager[Any]) -> None:
        self._engine = engine
        #: For long work with little waiting, in a thread of its own.
        self._sync_engine = at_once
        self._write_lock = turns
        self._long_readers: set[Any] = set()

    @classmethod
    async def open(cls, path: Path) -> "Database":
        """Open the file, make it if it is missing, and bring its tables up to date.

        Raises:
            StoreError: It cannot be used.
        """
        try:
            await asyncio.to_thread(_prepare, path)
        except (OSError, SQLAlchemyError) as error:
            reason = getattr(error, "orig", None) or error
            raise StoreError(
                f"the database {path} cannot be used: {reason}",
                hint="Choose another file with --database, or repair its folder's rights.",
            ) from error
        return cls.connect(path, asyncio.Lock())

    @classmethod
    def connect(cls, path: Path, turns: AbstractAsyncContextManager[Any]) -> "Database":
        """Connect to a database file whose tables are up to date.

        Args:
            path: The file.
            turns: Entered by each writer for as long as it writes.
        """
        like: dict[str, Any] = {
            "connect_args": {"timeout": BUSY_SECONDS},
            "json_serializer": sqlite.to_json,
            "json_deserializer": orjson.loads,
        }
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}", **like)
        at_once = sa.create_engine(f"sqlite:///{path}", **like)
        for item in (engine.sync_engine, at_once):
            sa.event.listen(item, "connect", sqlite.prepare)
            sa.event.listen(item, "begin", sqlite.begin)
        return cls(engine, at_once, turns)

    async def close(self) -> None:
        """Close every connection."""
        async with self._write_lock:
            self._sync_engine.dispose()
        await self._engine.dispose()

    def write_lock(self) -> AbstractAsyncContextManager[Any]:
        """Return the write lock, for writes by another process."""
        return self._write_lock

    async def checkpoint(self) -> None:
        """Write the write-ahead log back into the database file and truncate it, as far as readers allow."""
        async with self._write_lock, self._connect() as connection:
            # Past SQLAlchemy, which would begin a transaction: inside one, nothing is written back.
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection; close it even if the task is cancelled while the driver opens it."""
        connection = self._engine.connect()
        opening = asyncio.ensure_future(connection.start())
        async with AsyncExitStack() as stack:
            try:
                await asyncio.shield(opening)
            except asyncio.CancelledError:
                while not opening.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([opening])
                raise
            finally:
                if not opening.cancelled() and opening.exception() is None:
                    stack.push_async_exit(connection)
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for reading, which sees one snapshot of the data.

        Raises:
            StoreError: The file is damaged, or its disk fails.
        """
        with _translate_errors("read"):
            async with self._connect() as connection:
                yield connection

    @asynccontextmanager
    async def reading_long(self, *, seconds: float | None = None) -> AsyncIterator[AsyncConnection]:
        """Open a connection for a long read that ``interrupt`` can end.

        Args:
            seconds: After so long, what the connection reads is interrupted; None never does that.

        Raises:
            TimeoutError: It was interrupted.
        """
        loop, late = asyncio.get_running_loop(), asyncio.Event()
        async with self.reading() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            self._long_readers.add(driver)

            def interrupt() -> None:
                late.set()
                interrupting.append(loop.create_task(driver.interrupt()))

            interrupting: list[asyncio.Task[None]] = []
            timer = loop.call_later(seconds, interrupt) if seconds is not None else None
            try:
                yield connection
            except sa.exc.DatabaseError as error:
                if late.is_set() and "interrupted" in str(error.orig):
                    raise TimeoutError from None
                raise
            finally:
                if timer is not None:
                    timer.cancel()
                await asyncio.gather(*interrupting)
                self._long_readers.discard(driver)

    async def interrupt(self) -> None:
        """Interrupt every long read."""
        for driver in self._long_readers:
            await driver.interrupt()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction, committed at the end or rolled back.

        Raises:
            StoreError: It cannot be written.
        """
        with _translate_errors("written", otherwise=CHECK_DISK_HINT):
            async with self._write_lock, self._connect() as connection:
                await connection.execution_options(writes=True)
                async with connection.begin():
                    yield connection

    async def run_in_transaction(self, write: Callable[[sa.Connection], T]) -> T:
        """Run a function that writes much in a transaction and a thread; return its result.

        Raises:
            StoreError: It cannot be written.
        """
        with _translate_errors("written", otherwise=CHECK_DISK_HINT):
            async with self._write_lock:
                # A thread cannot be stopped; the next writer waits for it, also where no one waits for this one.
                task = asyncio.ensure_future(asyncio.to_thread(self._run_in_transaction, write))
                try:
                    return await asyncio.shield(task)
                except asyncio.CancelledError:
                    await asyncio.wait([task])
                    raise

    def _run_in_transaction(self, write: Callable[[sa.Connection], T]) -> T:
        with self._sync_engine.connect() as connection:
            connection.execution_options(writes=True)
            with connection.begin():
                return write(connection)


def _prepare(path: Path) -> None:
    make_private_folder(path.parent)
    # Its owner's alone, as is what SQLite puts beside it: it holds what Rally shows to few, and what guesses at
    # passwords are tried on.
    make_private_file(path)
    if not _is_current(path):
        upgrade(f"sqlite:///{path}")


def _is_current(path: Path) -> bool:
    """Return whether the tables are up to date, without Alembic, whose import takes a tenth of a server's start."""
    newest = max(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            return connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest,)]
    except sqlite3.Error:
        # There are no tables yet, or something is wrong, which the migrations tell in words.
        return False


#: What SQLite says, and what an operator can do about it.
HINTS = {
    "full": "Free space on its disk.",
    "disk i/o": "Free space on its disk, and look whether the disk is sound.",
    "readonly": "Make the file and its folder writable for the user that the server runs as.",
    "unable to open": "Look whether the folder is still there, and writable for the user that the server runs as.",
    "locked": "Another program holds the file: end it, and try again.",
    "malformed": "The file is damaged: bring back your last backup of it, with its key file.",
    "not a database": "The file is damaged: bring back your last backup of it, with its key file.",
}


#: What to do about all else that keeps a writer away.
CHECK_DISK_HINT = "Look whether its disk is full, and its folder writable."


@contextmanager
def _translate_errors(done: str, *, otherwise: str = "") -> Iterator[None]:
    """Translate errors of the file or its disk to ``StoreError``; leave other errors unchanged.

    Args:
        done: What cannot be done with it.
        otherwise: The hint where SQLite says something unusual of its surroundings; without one, that is a fault.
    """
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except sa.exc.DatabaseError as error:
        messages = str(error.orig).lower()
        # A damaged file is no OperationalError: SQLite takes only what it depends on for such.
        usual = otherwise if isinstance(error, sa.exc.OperationalError) else ""
        hint = next((hint for words, hint in HINTS.items() if words in messages), usual)
        if not hint:
            raise
        raise StoreError(f"the database cannot be {done}: {error.orig}", hint=hint) from error


def upgrade(url: str, *, to: str = "head") -> None:
    """Bring the tables up to date, or to an earlier state; everything that an older version wrote is kept."""
    # Here, as the process beside the server, which begins often and must begin soon, never needs it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util.exc import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    try:
        command.upgrade(config, to)
    except CommandError as error:
        if "locate revision" not in str(error):
            raise
        raise StoreError(
            "the database was written by a newer version of this program; nothing was changed",
            hint="Update the program, or choose another file with --database.",
        ) from None
