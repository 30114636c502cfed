"""Everything the host keeps, opened together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.executions import Executions
from rally_accelerate.host.store.integrations import Integrations
from rally_accelerate.host.store.issues import Issues
from rally_accelerate.host.store.keys import AccessKeys
from rally_accelerate.host.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Stores:
    """The parts of one database."""

    database: Database
    integrations: Integrations
    executions: Executions
    issues: Issues
    keys: AccessKeys


@asynccontextmanager
async def open_stores(path: Path) -> AsyncIterator[Stores]:
    """The database of a host and the key beside it; closed on leaving.

    Raises:
        StoreError: They cannot be used.
    """
    vault = Vault.beside(path)
    database = await Database.open(path)
    try:
        stores = Stores(
            database, Integrations(database, vault), Executions(database), Issues(database), AccessKeys(database)
        )
        await stores.executions.interrupt_all()
        yield stores
    finally:
        await database.close()
