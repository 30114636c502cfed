"""Work items as they were read, kept in the host's database: changed rules map them without asking Rally again."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import originals
from rally_accelerate.rally.kept import from_bytes, to_bytes
from rally_accelerate.rally.records import WorkItem

log = logging.getLogger(__name__)

#: How many items are in memory at once while all of them are mapped again.
AT_ONCE = 500


class HostOriginals:
    """An ``Originals`` of ``sync/ports.py``."""

    def __init__(self, database: Database, integration_id: str) -> None:
        self._database = database
        self._id = integration_id

    async def keep(self, items: Sequence[WorkItem]) -> None:
        """Remember the items in place of what was kept of them before."""
        contents = await asyncio.to_thread(lambda: [to_bytes(item) for item in items])
        rows = [
            {"integration_id": self._id, "external_id": str(item.record.object_id), "content": content}
            for item, content in zip(items, contents, strict=True)
        ]
        statement = insert(originals)
        statement = statement.on_conflict_do_update(
            index_elements=["integration_id", "external_id"], set_={"content": statement.excluded.content}
        )
        async with self._database.writing() as connection:
            await connection.execute(statement, rows)

    async def kept(self) -> AsyncIterator[Sequence[WorkItem]]:
        """Everything that is kept, some at a time; one that cannot be read is left out."""
        after = ""
        columns = (originals.c.external_id, originals.c.content)
        while True:
            where = (originals.c.integration_id == self._id) & (originals.c.external_id > after)
            query = sa.select(*columns).where(where).order_by(originals.c.external_id).limit(AT_ONCE)
            async with self._database.reading() as connection:
                rows = (await connection.execute(query)).all()
            if not rows:
                return
            yield [item for row in rows if (item := _read(row.external_id, row.content)) is not None]
            after = rows[-1].external_id


def _read(key: str, content: bytes) -> WorkItem | None:
    try:
        return from_bytes(content)
    except ValueError:
        # Kept by another version of this program: Rally is asked for it instead.
        log.info("what was kept of the item %s cannot be read", key)
        return None
