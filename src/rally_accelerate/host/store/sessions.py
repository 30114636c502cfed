"""Sessions: a random token in the browser, its digest here, and an end by itself."""

import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from rally_accelerate.errors import Outdated, StoreError
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import sessions, users
from rally_accelerate.host.store.users import User, user_of
from rally_accelerate.host.store.values import instant, ms, new_id

#: A session ends after so long without a request, and after so long in any case.
IDLE, LONGEST = timedelta(hours=12), timedelta(days=7)

#: How stale "last seen" may be: not every request needs to write.
MINUTE_MS = 60_000

#: So many sessions of one user are kept; the one unused for longest goes first.
MOST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser that somebody signed in with."""

    id: str
    user_id: str
    created: datetime
    last_seen: datetime
    address: str
    agent: str


class Sessions:
    """The sessions of one host."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, user_id: str, *, address: str = "", agent: str = "", proof: str = "") -> str:
        """A new session's token, in clear for the only time.

        Args:
            user_id: Who signed in.
            address: From which address.
            agent: With which program, as it calls itself.
            proof: What was kept of the password that was given; empty when it was none.

        Raises:
            Outdated: The password has become another one meanwhile, or the user was removed or disabled.
        """
        token, now = secrets.token_urlsafe(32), ms(datetime.now(UTC))
        values = {
            "id": new_id(),
            "digest": _digest(token),
            "user_id": user_id,
            "created": now,
            "last_seen": now,
            "address": address[:100],
            "agent": agent[:300],
        }
        kept = (
            sa.select(sessions.c.id)
            .where(sessions.c.user_id == user_id)
            .order_by(sessions.c.last_seen.desc(), sessions.c.created.desc())
            .limit(MOST)
        )
        able = (users.c.id == user_id) & users.c.disabled.is_(False)
        if proof:
            # Looking at a password takes a while: a change of it meanwhile has already ended the sessions.
            able &= users.c.password == proof
        async with self._database.writing() as connection:
            if (await connection.execute(sa.select(users.c.id).where(able))).first() is None:
                raise Outdated("what proved who signs in does not any more")
            await connection.execute(sa.delete(sessions).where(~_alive(now)))
            await connection.execute(sa.insert(sessions).values(values))
            over = (sessions.c.user_id == user_id) & sessions.c.id.not_in(kept)
            await connection.execute(sa.delete(sessions).where(over))
            await connection.execute(sa.update(users).where(users.c.id == user_id).values(last_seen=now))
        return token

    async def find(self, token: str) -> tuple[Session, User] | None:
        """The session of a token and its user, or None when it has ended or the user is disabled."""
        now = ms(datetime.now(UTC))
        where = (sessions.c.digest == _digest(token)) & _alive(now) & users.c.disabled.is_(False)
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
                created=instant(row.session_created),
                last_seen=instant(row.session_last_seen),
                address=row.session_address,
                agent=row.session_agent,
            ),
            user_of(row),
        )

    async def of(self, user_id: str) -> list[Session]:
        """A user's sessions that have not ended, the latest used first."""
        query = (
            sa.select(sessions)
            .where(sessions.c.user_id == user_id, _alive(ms(datetime.now(UTC))))
            .order_by(sessions.c.last_seen.desc(), sessions.c.id)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Session(
                id=row.id,
                user_id=row.user_id,
                created=instant(row.created),
                last_seen=instant(row.last_seen),
                address=row.address,
                agent=row.agent,
            )
            for row in rows
        ]

    async def end(self, its_id: str, *, user_id: str) -> bool:
        """End one session of a user; whether there was one."""
        where = (sessions.c.id == its_id) & (sessions.c.user_id == user_id)
        async with self._database.writing() as connection:
            return (await connection.execute(sa.delete(sessions).where(where))).rowcount > 0

    async def end_token(self, token: str) -> None:
        """End the session of a token, if there is one."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(sessions).where(sessions.c.digest == _digest(token)))

    async def end_all(self, user_id: str) -> None:
        """End every session of a user."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(sessions).where(sessions.c.user_id == user_id))


def _alive(now: int) -> sa.ColumnElement[bool]:
    idle, longest = (int(span.total_seconds() * 1000) for span in (IDLE, LONGEST))
    # From a clock that was years ahead, a session would last for years.
    return (sessions.c.last_seen > now - idle) & sessions.c.created.between(now - longest, now + longest)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
