"""User access keys: shown once, stored as a digest, as strong as their user is at that moment."""

import hashlib
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from rally_accelerate.errors import ConfigError, StoreError
from rally_accelerate.host.access import Actor, Role
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import access_keys, users
from rally_accelerate.host.store.values import instant, ms, new_id

#: How stale "last used" may be: not every request needs to write.
MINUTE_MS = 60_000

LONGEST_NAME = 100

#: What the host's own keys may do: what connectors need, and nothing about users.
OWN_ROLE = Role.EDITOR


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key, in clear for the only time."""

    id: str
    name: str
    key: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A key as it is listed."""

    id: str
    name: str
    created: datetime
    last_used: datetime | None
    #: Whose it is; empty for the host's own.
    user_id: str
    user: str


class AccessKeys:
    """The access keys of one host."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(self, name: str, *, user_id: str | None = None) -> MadeKey:
        """A new key in the vendor's form, a UUID (accelerate-api-notes.md#access-keys).

        Args:
            name: What the user calls it; empty, too long and taken names are refused.
            user_id: Whose it is; None makes one of the host's own.

        Raises:
            ConfigError: The name cannot be taken.
        """
        name = name.strip()
        if not name or len(name) > LONGEST_NAME:
            raise ConfigError(f"a key needs a name of 1 to {LONGEST_NAME} characters")
        key, its_id, now = str(uuid.uuid4()), new_id(), ms(datetime.now(UTC))
        values = {"id": its_id, "name": name, "digest": _digest(key), "created": now, "user_id": user_id}
        same = (access_keys.c.name == name) & access_keys.c.user_id.is_not_distinct_from(user_id)
        async with self._database.writing() as connection:
            taken = sa.select(sa.func.count()).select_from(access_keys).where(same)
            if (await connection.execute(taken)).scalar_one():
                raise ConfigError(f"there is a key {name} already", hint="Choose another name, or revoke that key.")
            await connection.execute(sa.insert(access_keys).values(values))
        return MadeKey(its_id, name, key, instant(now))

    async def first(self) -> str | None:
        """The host's own key, made when there is no key yet, else None."""
        async with self._database.reading() as connection:
            known = (await connection.execute(sa.select(sa.func.count()).select_from(access_keys))).scalar_one()
        return None if known else (await self.make("first")).key

    async def actor(self, key: str) -> tuple[Actor, str] | None:
        """Who asks with this key, and the key's id; None if it is none of ours or its user is disabled."""
        query = _listed().where(access_keys.c.digest == _digest(key))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None or row.disabled:
            return None
        now = ms(datetime.now(UTC))
        if row.last_used is None or abs(now - row.last_used) > MINUTE_MS:
            # On a full disk clients must still be able to read.
            with suppress(StoreError):
                async with self._database.writing() as connection:
                    this = access_keys.c.id == row.id
                    await connection.execute(sa.update(access_keys).where(this).values(last_used=now))
        if row.user_id is None:
            return Actor("", f"access key {row.name}", OWN_ROLE), row.id
        return Actor(row.user_id, row.user, Role.of(row.role)), row.id

    async def all(self, *, user_id: str | None = None) -> list[AccessKey]:
        """Keys by user and name: everybody's, or those of one user."""
        query = _listed().order_by(users.c.folded, access_keys.c.name)
        if user_id is not None:
            query = query.where(access_keys.c.user_id == user_id)
        async with self._database.reading() as connection:
            return [_key(row) for row in (await connection.execute(query)).all()]

    async def one(self, its_id: str) -> AccessKey | None:
        """One key, or None."""
        async with self._database.reading() as connection:
            row = (await connection.execute(_listed().where(access_keys.c.id == its_id))).one_or_none()
        return None if row is None else _key(row)

    async def revoke(self, its_id: str) -> bool:
        """Delete a key; whether there was one."""
        async with self._database.writing() as connection:
            done = await connection.execute(sa.delete(access_keys).where(access_keys.c.id == its_id))
        return done.rowcount > 0


def _listed() -> sa.Select[Any]:
    of_user = (users.c.name.label("user"), users.c.role, users.c.disabled)
    return sa.select(access_keys, *of_user).join(users, users.c.id == access_keys.c.user_id, isouter=True)


def _key(row: Any) -> AccessKey:
    return AccessKey(
        id=row.id,
        name=row.name,
        created=instant(row.created),
        last_used=None if row.last_used is None else instant(row.last_used),
        user_id=row.user_id or "",
        user=row.user or "",
    )


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
