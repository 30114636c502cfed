"""Integrations: added, found, changed, removed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.errors import ConfigError, NotFound, Problem
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import integrations, sent
from rally_accelerate.host.store.values import instant, ms, new_id
from rally_accelerate.host.store.vault import MASK, Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIntegration:
    """One integration as the store knows it; secrets are in clear, so it never leaves the process."""

    id: str
    tenant_id: str
    name: str
    type: str
    display_name: str
    logging_level: str
    disabled: bool
    show_hidden: bool
    properties: Mapping[str, Any]
    state: Any
    event_states: Mapping[str, Any]
    created: datetime

    @property
    def raw(self) -> dict[str, Any]:
        """The integration in the form of the JSON file, for validation."""
        return {
            "_id": self.id,
            "name": self.name,
            "type": self.type,
            "tenant_id": self.tenant_id,
            "loggingLevel": self.logging_level,
            "disabled": self.disabled,
            "properties": dict(self.properties),
        }


class Integrations:
    """The integrations of one host."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def all(self) -> list[StoredIntegration]:
        """Every integration, by name."""
        return await self._found(sa.select(integrations).order_by(integrations.c.name))

    async def by_id(self, its_id: str) -> StoredIntegration | None:
        """One integration, or None."""
        return next(iter(await self._found(sa.select(integrations).where(integrations.c.id == its_id))), None)

    async def by_name(self, name: str, tenant_id: str) -> StoredIntegration | None:
        """One integration, or None."""
        wanted = (integrations.c.name == name) & (integrations.c.tenant_id == tenant_id)
        return next(iter(await self._found(sa.select(integrations).where(wanted))), None)

    async def add(self, raw: Mapping[str, Any]) -> str:
        """Add an integration in the form of the JSON file; its id.

        Raises:
            ConfigError: The name is taken.
        """
        if await self.by_name(raw["name"], raw["tenant_id"]):
            text = f"an integration named {raw['name']!r} exists already"
            raise ConfigError(text, problems=[Problem("name", "is taken")])
        its_id = new_id()
        async with self._database.writing() as connection:
            await self.insert(connection, its_id, raw)
        return its_id

    async def insert(self, connection: AsyncConnection, its_id: str, raw: Mapping[str, Any]) -> None:
        """Add an integration within a transaction that changes more than it."""
        values = {
            "id": its_id,
            "tenant_id": raw["tenant_id"],
            "name": raw["name"],
            "type": raw["type"],
            "display_name": raw.get("displayName") or raw["name"],
            "logging_level": raw.get("loggingLevel") or "INFO",
            "disabled": bool(raw.get("disabled")),
            "show_hidden": bool(raw.get("showHidden")),
            "properties": self._vault.sealed(raw["properties"]),
            "event_states": raw.get("eventStates") or {},
            "created": ms(datetime.now(UTC)),
        }
        await connection.execute(sa.insert(integrations).values(values))

    async def update(self, connection: AsyncConnection, its_id: str, changes: Mapping[str, Any]) -> bool:
        """Change columns within a transaction that changes more; properties are in clear. Whether it is there."""
        values = dict(changes)
        if "properties" in values:
            values["properties"] = self._vault.sealed(values["properties"])
        done = await connection.execute(sa.update(integrations).where(integrations.c.id == its_id).values(values))
        return bool(done.rowcount)

    async def change(self, its_id: str, changes: Mapping[str, Any]) -> StoredIntegration:
        """Change columns of an integration; a masked secret keeps its value.

        Raises:
            NotFound: There is no such integration.
        """
        known = await self.by_id(its_id)
        if known is None:
            raise NotFound(f"there is no integration {its_id}")
        values = dict(changes)
        if "properties" in values:
            given = {
                name: known.properties.get(name) if value == MASK else value
                for name, value in values["properties"].items()
            }
            values["properties"] = given
        if values:
            async with self._database.writing() as connection:
                await self.update(connection, its_id, values)
        found = await self.by_id(its_id)
        assert found is not None
        return found

    async def remove(self, its_id: str) -> bool:
        """Remove an integration; its issues stay. Whether there was one."""
        async with self._database.writing() as connection:
            done = await connection.execute(sa.delete(integrations).where(integrations.c.id == its_id))
        return bool(done.rowcount)

    async def forget(self, its_id: str) -> None:
        """Forget how far the work has come: the next run reads and uploads everything again."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(sent).where(sent.c.integration_id == its_id))
            where = integrations.c.id == its_id
            await connection.execute(sa.update(integrations).where(where).values(progress=sa.null()))

    async def _found(self, query: sa.Select[Any]) -> list[StoredIntegration]:
        async with self._database.reading() as connection:
            rows: Sequence[Any] = (await connection.execute(query)).all()
        return [
            StoredIntegration(
                id=row.id,
                tenant_id=row.tenant_id,
                name=row.name,
                type=row.type,
                display_name=row.display_name,
                logging_level=row.logging_level,
                disabled=row.disabled,
                show_hidden=row.show_hidden,
                properties=self._vault.opened(row.properties),
                state=row.state,
                event_states=row.event_states or {},
                created=instant(row.created),
            )
            for row in rows
        ]
