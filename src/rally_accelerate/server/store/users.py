"""The users. There is always an administrator who can sign in."""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.errors import ConfigError
from rally_accelerate.server import passwords
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.tables import from_ms, make_id, sessions, to_ms, users

INITIAL_USER_NAME = "admin"

#: Letters and digits of any language, as people and companies name their users.
NAME_PATTERN = re.compile(r"\w[\w.@+-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user who may sign in."""

    id: str
    name: str
    role: Role
    temporary: bool
    disabled: bool
    created: datetime
    last_seen: datetime | None

    @property
    def actor(self) -> Actor:
        """The user as the one who asks."""
        return Actor(self.id, self.name, self.role)


@dataclass(frozen=True, slots=True)
class VerifiedUser:
    """A user whose password was verified."""

    user: User
    #: What is kept of that password: once it is another one, this proves nothing any more.
    password_hash: str = field(repr=False)


def fold_name(name: str) -> str:
    """Return a name normalized for lookup."""
    return unicodedata.normalize("NFKC", name.strip()).casefold()


class Users:
    """The users of a server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_first(self) -> str | None:
        """Create the first administrator if there is no user yet; return the password, else None."""
        async with self._database.reading() as connection:
            known = (await connection.execute(sa.select(sa.func.count()).select_from(users))).scalar_one()
        if known:
            return None
        password = passwords.generate()
        await self._insert(INITIAL_USER_NAME, Role.ADMIN, password, temporary=False)
        return password

    async def add(self, name: str, role: Role) -> tuple[User, str]:
        """Add a user; return it with its generated password.

        Raises:
            ConfigError: The name is taken, or none that a user can have.
        """
        name = unicodedata.normalize("NFKC", name.strip())
        if not NAME_PATTERN.fullmatch(name):
            raise ConfigError(
                f"{name[:64]!r} cannot be a user's name",
                hint="Take up to 64 letters, digits and . _ @ + -, without spaces, beginning with a letter or digit.",
            )
        password = passwords.generate()
        try:
            user_id = await self._insert(name, role, password, temporary=True)
        except IntegrityError:
            raise ConfigError(f"there is a user {name} already", hint="Choose another name.") from None
        created = await self.by_id(user_id)
        assert created is not None
        return created, password

    async def _insert(self, name: str, role: Role, password: str, *, temporary: bool) -> str:
        user_id = make_id()
        values = {
            "id": user_id,
            "name": name,
            "folded": name.casefold(),
            "role": role.word,
            "password": await passwords.hash_password(password),
            "temporary": temporary,
            "disabled": False,
            "created": to_ms(datetime.now(UTC)),
        }
        async with self._database.writing() as connection:
            await connection.execute(sa.insert(users).values(values))
        return user_id

    async def all(self) -> list[User]:
        """Return every user, by name."""
        async with self._database.reading() as connection:
            return [to_user(row) for row in (await connection.execute(sa.select(users).order_by(users.c.folded))).all()]

    async def by_id(self, user_id: str) -> User | None:
        """Return one user, or None."""
        async with self._database.reading() as connection:
            row = (await connection.execute(sa.select(users).where(users.c.id == user_id))).one_or_none()
        return None if row is None else to_user(row)

    async def by_name(self, name: str) -> User | None:
        """Return one user by the name in whatever case, or None."""
        result = await self._load_row(name)
        return None if result is None else to_user(result)

    async def by_password(self, name: str, password: str) -> User | None:
        """Return the user of a name and password, or None; an unknown name takes as long."""
        result = await self.verify_password(name, password)
        return None if result is None else result.user

    async def verify_password(self, name: str, password: str) -> "VerifiedUser | None":
        """Return the user of a name and password with the password's hash, or None."""
        result = await self._load_row(name)
        if not await passwords.verify(password, "" if result is None else result.password) or result is None:
            return None
        cached: str = result.password
        if passwords.needs_rehash(cached):
            rehashed = await passwords.hash_password(password)
            async with self._database.writing() as connection:
                same = (users.c.id == result.id) & (users.c.password == cached)
                done = await connection.execute(sa.update(users).where(same).values(password=rehashed))
            cached = rehashed if done.rowcount else cached
        return VerifiedUser(to_user(result), cached)

    async def _load_row(self, name: str) -> Any:
        async with self._database.reading() as connection:
            return (await connection.execute(sa.select(users).where(users.c.folded == fold_name(name)))).one_or_none()

    async def set_password(self, user_id: str, password: str, *, temporary: bool) -> None:
        """Give a user another password, and end the user's sessions.

        Args:
            user_id: The user's.
            password: In clear; ``passwords.problem`` has been asked.
            temporary: Whether another user knows it.
        """
        await self._change(user_id, password=await passwords.hash_password(password), temporary=temporary)

    async def set_role(self, user_id: str, role: Role) -> None:
        """Give a user another role, and end the user's sessions.

        Raises:
            ConfigError: No one would be left to administer.
        """
        await self._change(user_id, role=role.word)

    async def disable(self, user_id: str) -> None:
        """Disable a user: no sign-in, no session, no access key.

        Raises:
            ConfigError: No one would be left to administer.
        """
        await self._change(user_id, disabled=True)

    async def enable(self, user_id: str) -> None:
        """Enable a disabled user and the user's access keys."""
        await self._change(user_id, disabled=False)

    async def remove(self, user_id: str) -> None:
        """Delete a user with the user's sessions and access keys.

        Raises:
            ConfigError: No one would be left to administer.
        """
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(users).where(users.c.id == user_id))
            await _require_administrator(connection)

    async def _change(self, user_id: str, **values: Any) -> None:
        async with self._database.writing() as connection:
            await connection.execute(sa.update(users).where(users.c.id == user_id).values(values))
            await connection.execute(sa.delete(sessions).where(sessions.c.user_id == user_id))
            await _require_administrator(connection)


async def _require_administrator(connection: AsyncConnection) -> None:
    """Roll back a change that would leave no enabled administrator."""
    able = (users.c.role == Role.ADMIN.word) & users.c.disabled.is_(False)
    if not (await connection.execute(sa.select(sa.func.count()).select_from(users).where(able))).scalar_one():
        raise ConfigError(
            "no one would be left to administer this server",
            hint="Make another user an administrator first.",
        )


def to_user(row: Any) -> User:
    """Return the user of a row of its table."""
    return User(
        id=row.id,
        name=row.name,
        role=Role.parse(row.role),
        temporary=row.temporary,
        disabled=row.disabled,
        created=from_ms(row.created),
        last_seen=None if row.last_seen is None else from_ms(row.last_seen),
    )
