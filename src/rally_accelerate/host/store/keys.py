"""User access keys: shown once, stored as a digest."""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import access_keys
from rally_accelerate.host.store.values import instant, ms, new_id

#: How stale "last used" may be: not every request needs to write.
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key, in clear for the only time."""

    id: str
    name: str
    key: str
    created: datetime


class AccessKeys:
    """The access keys of one host."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(self, name: str) -> MadeKey:
        """A new key in the vendor's form, a UUID (accelerate-host.md 6)."""
        key, its_id, now = str(uuid.uuid4()), new_id(), ms(datetime.now(UTC))
        values = {"id": its_id, "name": name, "digest": _digest(key), "created": now}
        async with self._database.writing() as connection:
            await connection.execute(sa.insert(access_keys).values(values))
        return MadeKey(its_id, name, key, instant(now))

    async def first(self) -> str | None:
        """The key that is made when there is none yet, else None."""
        async with self._database.reading() as connection:
            known = (await connection.execute(sa.select(sa.func.count()).select_from(access_keys))).scalar_one()
        return None if known else (await self.make("first")).key

    async def accepts(self, key: str) -> bool:
        """Whether this is a key of ours."""
        where = access_keys.c.digest == _digest(key)
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(access_keys).where(where))).one_or_none()
        if row is None:
            return False
        now = ms(datetime.now(UTC))
        if row.last_used is None or now - row.last_used > MINUTE_MS:
            async with self._database.writing() as connection:
                await connection.execute(sa.update(access_keys).where(where).values(last_used=now))
        return True


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
