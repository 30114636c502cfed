"""Sessions and access keys: random tokens, of which only digests are stored."""

import hashlib
import secrets
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from rally_accelerate.errors import ConfigError, OutdatedError, StoreError
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.tables import access_keys, from_ms, make_id, sessions, to_ms, users
from rally_accelerate.server.store.users import User, to_user

#: A session ends after so long without a request, and after so long in any case.
MAX_IDLE, MAX_AGE = timedelta(hours=12), timedelta(days=7)

#: How stale "last seen" may be: not every request needs to write.
MINUTE_MS = 60_000

#: So many sessions of one user are kept; the one unused for longest goes first.
MAX_SESSIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser that a user signed in with."""

    id: str
    user_id: str
    created: datetime
    last_seen: datetime
    address: str
    agent: str


class Sessions:
    """The sessions of a server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, user_id: str, *, address: str = "", agent: str = "", proof: str = "") -> str:
        """Create a session; return its token.

        Args:
            user_id: Who signed in.
            address: From which address.
            agent: With which program, as it calls itself.
            proof: What was kept of the password that was given; empty when it was none.

        Raises:
            OutdatedError: The password has become another one in the meantime, or the user was removed or disabled.
        """
        token, now = secrets.token_urlsafe(32), to_ms(datetime.now(UTC))
        values = {
            "id": make_id(),
            "digest": _compute_session_digest(token),
            "user_id": user_id,
            "created": now,
            "last_seen": now,
            "address": address[:100],
            "agent": agent[:300],
        }
        cached = (
            sa.select(sessions.c.id)
            .where(sessions.c.user_id == user_id)
            .order_by(sessions.c.last_seen.desc(), sessions.c.created.desc())
            .limit(MAX_SESSIONS)
        )
        able = (users.c.id == user_id) & users.c.disabled.is_(False)
        if proof:
            # Looking at a password takes a while: a change of it in the meantime has already ended the sessions.
            able &= users.c.password == proof
        async with self._database.writing() as connection:
            if (await connection.execute(sa.select(users.c.id).where(able))).first() is None:
                raise OutdatedError("what proved who signs in does not any more")
            await connection.execute(sa.delete(sessions).where(~_is_active(now)))
            await connection.execute(sa.insert(sessions).values(values))
            over = (sessions.c.user_id == user_id) & sessions.c.id.not_in(cached)
            await connection.execute(sa.delete(sessions).where(over))
            await connection.execute(sa.update(users).where(users.c.id == user_id).values(last_seen=now))
        return token

    async def find(self, token: str) -> tuple[Session, User] | None:
        """Return the session of a token and its user, or None when it has ended or the user is disabled."""
        now = to_ms(datetime.now(UTC))
        where = (sessions.c.digest == _compute_session_digest(token)) & _is_active(now) & users.c.disabled.is_(False)
        query = (
            sa.select(*(column.label(f"session_{column.name}") for column in sessions.c), *users.c)
            .join(users, users.c.id == sessions.c.user_id)
            .where(where)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        # Also when it was seen by a clock that was ahead: otherwise it would not end before that.
        if abs(now - row.session_last_seen) > MINUTE_MS:
            # On a full disk people must still see what is wrong.
            with suppress(StoreError):
                async with self._database.writing() as connection:
                    this = sessions.c.id == row.session_id
                    created = min(now, row.session_created)
                    seen = sa.update(sessions).where(this).values(last_seen=now, created=created)
                    await connection.execute(seen)
                    await connection.execute(sa.update(users).where(users.c.id == row.id).values(last_seen=now))
        return (
            Session(
                id=row.session_id,
                user_id=row.id,
                created=from_ms(row.session_created),
                last_seen=from_ms(row.session_last_seen),
                address=row.session_address,
                agent=row.session_agent,
            ),
            to_user(row),
        )

    async def list_for_user(self, user_id: str) -> list[Session]:
        """Return a user's sessions that have not ended, the latest used first."""
        query = (
            sa.select(sessions)
            .where(sessions.c.user_id == user_id, _is_active(to_ms(datetime.now(UTC))))
            .order_by(sessions.c.last_seen.desc(), sessions.c.id)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Session(
                id=row.id,
                user_id=row.user_id,
                created=from_ms(row.created),
                last_seen=from_ms(row.last_seen),
                address=row.address,
                agent=row.agent,
            )
            for row in rows
        ]

    async def end(self, session_id: str, *, user_id: str) -> bool:
        """End one session of a user; return whether there was one."""
        where = (sessions.c.id == session_id) & (sessions.c.user_id == user_id)
        async with self._database.writing() as connection:
            return (await connection.execute(sa.delete(sessions).where(where))).rowcount > 0

    async def end_token(self, token: str) -> None:
        """End the session of a token, if there is one."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(sessions).where(sessions.c.digest == _compute_session_digest(token)))

    async def end_all(self, user_id: str) -> None:
        """End every session of a user."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(sessions).where(sessions.c.user_id == user_id))


def _is_active(now: int) -> sa.ColumnElement[bool]:
    idle, longest = (int(span.total_seconds() * 1000) for span in (MAX_IDLE, MAX_AGE))
    # From a clock that was years ahead, a session would last for years.
    return (sessions.c.last_seen > now - idle) & sessions.c.created.between(now - longest, now + longest)


def _compute_session_digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


#: How stale "last used" may be: not every request needs to write.

MAX_NAME_LENGTH = 100

#: What the server's own keys may do: what connectors need, and nothing about users.
SYSTEM_KEY_ROLE = Role.EDITOR


@dataclass(frozen=True, slots=True)
class NewAccessKey:
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
    #: Whose it is; empty for the server's own.
    user_id: str
    user: str


class AccessKeys:
    """The access keys of a server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, *, user_id: str | None = None) -> NewAccessKey:
        """Create a key in the vendor's form, a UUID (accelerate-api-notes.md#access-keys).

        Args:
            name: What the user calls it; empty, too long and taken names are refused.
            user_id: Whose it is; None makes one of the server's own.

        Raises:
            ConfigError: The name cannot be taken.
        """
        name = name.strip()
        if not name or len(name) > MAX_NAME_LENGTH:
            raise ConfigError(f"a key needs a name of 1 to {MAX_NAME_LENGTH} characters")
        key, record_id, now = str(uuid.uuid4()), make_id(), to_ms(datetime.now(UTC))
        values = {"id": record_id, "name": name, "digest": _compute_key_digest(key), "created": now, "user_id": user_id}
        same = (access_keys.c.name == name) & access_keys.c.user_id.is_not_distinct_from(user_id)
        async with self._database.writing() as connection:
            existing = sa.select(sa.func.count()).select_from(access_keys).where(same)
            if (await connection.execute(existing)).scalar_one():
                raise ConfigError(f"there is a key {name} already", hint="Choose another name, or revoke that key.")
            await connection.execute(sa.insert(access_keys).values(values))
        return NewAccessKey(record_id, name, key, from_ms(now))

    async def create_first(self) -> str | None:
        """Create the first system key if there is no key yet; return it, else None."""
        async with self._database.reading() as connection:
            known = (await connection.execute(sa.select(sa.func.count()).select_from(access_keys))).scalar_one()
        return None if known else (await self.create("first")).key

    async def authenticate(self, key: str) -> tuple[Actor, str] | None:
        """Return the actor of a key and the key's ID; None if it is unknown or its user is disabled."""
        query = _select_keys().where(access_keys.c.digest == _compute_key_digest(key))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None or row.disabled:
            return None
        now = to_ms(datetime.now(UTC))
        if row.last_used is None or abs(now - row.last_used) > MINUTE_MS:
            # On a full disk clients must still be able to read.
            with suppress(StoreError):
                async with self._database.writing() as connection:
                    this = access_keys.c.id == row.id
                    await connection.execute(sa.update(access_keys).where(this).values(last_used=now))
        if row.user_id is None:
            return Actor("", f"access key {row.name}", SYSTEM_KEY_ROLE), row.id
        return Actor(row.user_id, row.user, Role.parse(row.role)), row.id

    async def list_keys(self, *, user_id: str | None = None) -> list[AccessKey]:
        """Return keys by user and name: everybody's, or those of one user."""
        query = _select_keys().order_by(users.c.folded, access_keys.c.name)
        if user_id is not None:
            query = query.where(access_keys.c.user_id == user_id)
        async with self._database.reading() as connection:
            return [_to_access_key(row) for row in (await connection.execute(query)).all()]

    async def get(self, key_id: str) -> AccessKey | None:
        """Return one key, or None."""
        async with self._database.reading() as connection:
            row = (await connection.execute(_select_keys().where(access_keys.c.id == key_id))).one_or_none()
        return None if row is None else _to_access_key(row)

    async def revoke(self, key_id: str) -> bool:
        """Delete a key; return whether there was one."""
        async with self._database.writing() as connection:
            done = await connection.execute(sa.delete(access_keys).where(access_keys.c.id == key_id))
        return done.rowcount > 0


def _select_keys() -> sa.Select[Any]:
    of_user = (users.c.name.label("user"), users.c.role, users.c.disabled)
    return sa.select(access_keys, *of_user).join(users, users.c.id == access_keys.c.user_id, isouter=True)


def _to_access_key(row: Any) -> AccessKey:
    return AccessKey(
        id=row.id,
        name=row.name,
        created=from_ms(row.created),
        last_used=None if row.last_used is None else from_ms(row.last_used),
        user_id=row.user_id or "",
        user=row.user or "",
    )


def _compute_key_digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
