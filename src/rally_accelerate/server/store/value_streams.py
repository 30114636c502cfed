"""Value streams: every version of each, one of them valid; a change names the version that it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.errors import ConfigError, NotFoundError, OutdatedError, Problem
from rally_accelerate.server.permissions import Actor
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.encryption import Vault, transform_settings
from rally_accelerate.server.store.tables import from_ms, make_id, to_ms, value_streams
from rally_accelerate.server.store.tables import value_stream_versions as versions

MAX_NAME_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredValueStream:
    """One value stream; secrets of its document are in clear, so it never leaves the process."""

    id: str
    pipeline_id: str
    tenant_id: str
    name: str
    team: Mapping[str, Any] | None
    version: int
    created: datetime
    last_update: datetime
    #: Of the valid version.
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueStreamVersion:
    """One version of a value stream."""

    number: int
    at: datetime
    actor: str
    #: What was done, such as ``imported``.
    why: str
    document: Mapping[str, Any]


class ValueStreams:
    """The value streams of a server."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def all(self, tenant_id: str = "") -> list[StoredValueStream]:
        """Return every value stream, by name."""
        query = _select_streams().order_by(value_streams.c.folded_name)
        return await self._fetch(query.where(value_streams.c.tenant_id == tenant_id) if tenant_id else query)

    async def exists(self, tenant_id: str = "") -> bool:
        """Return whether there is one, in a tenant or at all."""
        query = sa.select(value_streams.c.id).limit(1)
        async with self._database.reading() as connection:
            filters = query.where(value_streams.c.tenant_id == tenant_id) if tenant_id else query
            return (await connection.execute(filters)).first() is not None

    async def by_id(self, stream_id: str) -> StoredValueStream | None:
        """Return one value stream, or None."""
        return next(iter(await self._fetch(_select_streams().where(value_streams.c.id == stream_id))), None)

    async def by_pipeline(self, pipeline_id: str) -> StoredValueStream | None:
        """Return the value stream of a pipeline, or None."""
        return next(iter(await self._fetch(_select_streams().where(value_streams.c.pipeline_id == pipeline_id))), None)

    async def list_versions(self, stream_id: str, *, skip: int = 0, limit: int = 50) -> list[ValueStreamVersion]:
        """Return the versions of a value stream, newest first."""
        query = sa.select(versions).where(versions.c.stream_id == stream_id)
        return await self._fetch_versions(query.order_by(versions.c.version.desc()).offset(skip).limit(limit))

    async def count_versions(self, stream_id: str) -> int:
        """Return how many versions a value stream has."""
        query = sa.select(sa.func.count()).select_from(versions).where(versions.c.stream_id == stream_id)
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def get_version(self, stream_id: str, number: int) -> ValueStreamVersion | None:
        """Return one version, or None."""
        filters = (versions.c.stream_id == stream_id) & (versions.c.version == number)
        return next(iter(await self._fetch_versions(sa.select(versions).where(filters))), None)

    async def insert(
        self,
        connection: AsyncConnection,
        *,
        name: str,
        tenant_id: str,
        team: Mapping[str, Any] | None,
        document: Mapping[str, Any],
        actor: Actor,
        why: str,
    ) -> str:
        """Add a value stream within a transaction that changes more than it; return its id.

        Raises:
            ConfigError: The name is taken, or none.
        """
        name = await self._check_name(connection, name, tenant_id=tenant_id)
        stream_id, now = make_id(), to_ms(datetime.now(UTC))
        values = {
            "id": stream_id,
            "pipeline_id": make_id(),
            "tenant_id": tenant_id,
            "name": name,
            "folded_name": name.casefold(),
            "team": dict(team) if team else None,
            "version": 1,
            "created": now,
            "last_update": now,
        }
        await connection.execute(sa.insert(value_streams).values(values))
        await self._insert_version(connection, stream_id, 1, document=document, actor=actor, why=why)
        return stream_id

    async def replace(
        self,
        connection: AsyncConnection,
        stream_id: str,
        *,
        based_on: int,
        document: Mapping[str, Any],
        actor: Actor,
        why: str,
    ) -> int:
        """Make a document the next version, within a transaction; return the number of that version.

        Raises:
            NotFoundError: There is no such value stream.
            OutdatedError: It has another version than the one that the document was made from.
        """
        query = sa.select(value_streams.c.version).where(value_streams.c.id == stream_id)
        valid = (await connection.execute(query)).scalar_one_or_none()
        if valid is None:
            raise NotFoundError(f"there is no value stream {stream_id}")
        if valid != based_on:
            raise OutdatedError(f"the value stream has version {valid} by now; this was made from version {based_on}")
        changes = {"version": valid + 1, "last_update": to_ms(datetime.now(UTC))}
        await connection.execute(sa.update(value_streams).where(value_streams.c.id == stream_id).values(changes))
        await self._insert_version(connection, stream_id, valid + 1, document=document, actor=actor, why=why)
        return int(valid + 1)

    async def rename(self, stream_id: str, name: str) -> None:
        """Give a value stream another name.

        Raises:
            ConfigError: The name is taken, or none.
            NotFoundError: There is no such value stream.
        """
        async with self._database.writing() as connection:
            query = sa.select(value_streams.c.tenant_id).where(value_streams.c.id == stream_id)
            tenant_id = (await connection.execute(query)).scalar_one_or_none()
            if tenant_id is None:
                raise NotFoundError(f"there is no value stream {stream_id}")
            name = await self._check_name(connection, name, tenant_id=tenant_id, but=stream_id)
            values = {"name": name, "folded_name": name.casefold(), "last_update": to_ms(datetime.now(UTC))}
            await connection.execute(sa.update(value_streams).where(value_streams.c.id == stream_id).values(values))

    async def set_team(self, stream_id: str, team: Mapping[str, Any]) -> None:
        """Assign a value stream to another team."""
        values = {"team": dict(team), "last_update": to_ms(datetime.now(UTC))}
        async with self._database.writing() as connection:
            await connection.execute(sa.update(value_streams).where(value_streams.c.id == stream_id).values(values))

    async def remove(self, stream_id: str) -> bool:
        """Remove a value stream with its versions; its integrations and issues stay. Return whether it existed."""
        async with self._database.writing() as connection:
            done = await connection.execute(sa.delete(value_streams).where(value_streams.c.id == stream_id))
        return bool(done.rowcount)

    async def _check_name(self, connection: AsyncConnection, name: str, *, tenant_id: str, but: str = "") -> str:
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME_LENGTH:
            text = f"must have from 1 to {MAX_NAME_LENGTH} characters"
            raise ConfigError(f"the name {text}", problems=[Problem("name", text)])
        existing = sa.select(value_streams.c.id).where(
            value_streams.c.tenant_id == tenant_id,
            value_streams.c.folded_name == name.casefold(),
            value_streams.c.id != but,
        )
        if (await connection.execute(existing)).first() is not None:
            raise ConfigError(
                f"there is a value stream named {name!r} already", problems=[Problem("name", f"{name!r} is taken")]
            )
        return name

    async def _insert_version(
        self,
        connection: AsyncConnection,
        stream_id: str,
        number: int,
        *,
        document: Mapping[str, Any],
        actor: Actor,
        why: str,
    ) -> None:
        values = {
            "stream_id": stream_id,
            "version": number,
            "instant": to_ms(datetime.now(UTC)),
            "actor_id": actor.id,
            "actor": actor.name,
            "why": why,
            "document": transform_settings(document, self._vault.encrypt_secrets),
        }
        await connection.execute(sa.insert(versions).values(values))

    async def _fetch(self, query: sa.Select[Any]) -> list[StoredValueStream]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            StoredValueStream(
                id=row.id,
                pipeline_id=row.pipeline_id,
                tenant_id=row.tenant_id,
                name=row.name,
                team=row.team,
                version=row.version,
                created=from_ms(row.created),
                last_update=from_ms(row.last_update),
                document=transform_settings(row.document, self._vault.decrypt_secrets),
            )
            for row in rows
        ]

    async def _fetch_versions(self, query: sa.Select[Any]) -> list[ValueStreamVersion]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            ValueStreamVersion(
                number=row.version,
                at=from_ms(row.instant),
                actor=row.actor,
                why=row.why,
                document=transform_settings(row.document, self._vault.decrypt_secrets),
            )
            for row in rows
        ]


def _select_streams() -> sa.Select[Any]:
    valid = (versions.c.stream_id == value_streams.c.id) & (versions.c.version == value_streams.c.version)
    return sa.select(value_streams, versions.c.document).join(versions, valid)
