"""The repositories of one database, opened together."""

import fcntl
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rally_accelerate.config.lock_files import LockFile
from rally_accelerate.config.private_files import make_private_folder
from rally_accelerate.config.sqlite_files import refuse_foreign
from rally_accelerate.errors import StoreError
from rally_accelerate.server.store import issue_writer
from rally_accelerate.server.store.audit_log import AuditLog
from rally_accelerate.server.store.credentials import AccessKeys, Sessions
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.encryption import (
    KeyState,
    Vault,
    count_unreadable,
    delete_unreadable,
    get_key_file,
    make_key_file,
    read_key_state,
)
from rally_accelerate.server.store.executions import ExecutionLogs, Executions, Retention
from rally_accelerate.server.store.integrations import Integrations
from rally_accelerate.server.store.issue_search import Search
from rally_accelerate.server.store.issues import Issues
from rally_accelerate.server.store.users import Users
from rally_accelerate.server.store.value_streams import ValueStreams

log = logging.getLogger(__name__)

#: Tables of every version.
REQUIRED_TABLES = frozenset({"alembic_version", "integrations", "issues", "executions"})

#: What a file with them is called.
DATABASE = "a database of the embedded server"

LOST_KEY_HINT = (
    "Bring back the key file that belongs to this database; when it is lost for good, "
    "rally-accelerate secrets forget takes out what nobody can read, to be entered again."
)


@dataclass(frozen=True, slots=True)
class Stores:
    """The parts of one database."""

    #: Its file.
    path: Path
    database: Database
    integrations: Integrations
    executions: Executions
    issues: Issues
    keys: AccessKeys
    audit: AuditLog
    search: Search
    users: Users
    sessions: Sessions
    lines: ExecutionLogs
    streams: ValueStreams


@asynccontextmanager
async def open_repositories(path: Path, *, retention: Retention | None = None) -> AsyncIterator[Stores]:
    """Open the repositories of a database and its key file; close them on leaving.

    Args:
        path: The SQLite file; made if it is missing.
        retention: For how long runs are kept.

    Raises:
        StoreError: They cannot be used, or another server uses them.
    """
    with lock_database(path):
        async with _open_unlocked(path, retention) as stores:
            yield stores


@contextmanager
def lock_database(path: Path) -> Iterator[None]:
    """Lock a database against a second server, which would run the same integrations.

    Raises:
        StoreError: Another server uses the database, or it belongs to another program.
    """
    refuse_foreign(path, REQUIRED_TABLES, what=DATABASE, option="--database", new=True)
    lock = _acquire_lock(path)
    try:
        yield
    except StoreError:
        # The lock is still held: no other server can have begun to use the database.
        lock.remove_new()
        raise
    finally:
        lock.close()


def _acquire_lock(path: Path) -> LockFile:
    while True:
        try:
            make_private_folder(path.parent)
            lock = LockFile(Path(f"{path}.lock"))
        except OSError as error:
            raise StoreError(
                f"the database {path} cannot be used: {error.strerror}",
                hint="Choose another file with --database, or repair its folder's rights.",
            ) from error
        try:
            fcntl.flock(lock.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise StoreError(
                f"another server is using the database {path}",
                hint="Stop it first, or give this one a file of its own with --database.",
            ) from None
        if lock.is_in_place():
            return lock
        # A server that was refused has just removed it.
        lock.close()


@asynccontextmanager
async def _open_unlocked(path: Path, retention: Retention | None) -> AsyncIterator[Stores]:
    database = await Database.open(path)
    try:
        vault = await _open_vault(path, database)
        stores = Stores(
            path,
            database,
            Integrations(database, vault),
            Executions(database, retention),
            Issues(database),
            AccessKeys(database),
            AuditLog(database),
            Search(database),
            Users(database),
            Sessions(database),
            ExecutionLogs(database),
            ValueStreams(database, vault),
        )
        await stores.executions.interrupt_all()
        for tracker_id in await issue_writer.list_unfinished_removals(database):
            log.warning("going on with the removal of the issues of %s", tracker_id)
            await issue_writer.finish_removal(database, tracker_id)
        yield stores
        await stores.search.close()
    finally:
        await database.close()


async def delete_unreadable_secrets(path: Path) -> int:
    """Delete the secrets that no key decrypts from an unused database; return their number.

    Raises:
        StoreError: The database cannot be used, or a server uses it.
    """
    with lock_database(path):
        database = await Database.open(path)
        try:
            return await delete_unreadable(database, Vault.open_for(path))
        finally:
            await database.close()


async def _open_vault(path: Path, database: Database) -> Vault:
    """Open the vault of a database; check that its keys decrypt every secret."""
    file = get_key_file(path)
    # Without its key, secrets in the database are lost: a new one would only hide that.
    state = read_key_state(file)
    vault = Vault.open_for(path) if state is KeyState.USABLE else None
    count = await count_unreadable(database, vault)
    if count:
        what = "1 secret" if count == 1 else f"{count} secrets"
        why = {
            KeyState.MISSING: f"the key file {file} is missing",
            KeyState.DAMAGED: f"the key file {file} is damaged: it holds no whole key",
            KeyState.USABLE: f"no key in {file} encrypted them",
        }[state]
        raise StoreError(f"{what} in the database {path} cannot be read: {why}", hint=LOST_KEY_HINT)
    if state is KeyState.DAMAGED:
        # A start that was interrupted while it wrote the file, before any secret was encrypted with it.
        log.warning("the key file %s held no whole key and was replaced; no secret needed it", file)
        make_key_file(file)
    return vault or Vault.open_for(path)
