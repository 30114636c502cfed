"""The integrations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.errors import ConfigError, NotFoundError, Problem
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.encryption import MASK, Vault
from rally_accelerate.server.store.tables import from_ms, integrations, make_id, sent, to_ms


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
    """The integrations of a server."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def all(self) -> list[StoredIntegration]:
        """Return every integration, by name."""
        return await self._fetch(sa.select(integrations).order_by(integrations.c.name))

    async def by_id(self, integration_id: str) -> StoredIntegration | None:
        """Return one integration, or None."""
        return next(iter(await self._fetch(sa.select(integrations).where(integrations.c.id == integration_id))), None)

    async def by_name(self, name: str, tenant_id: str) -> StoredIntegration | None:
        """Return one integration, or None."""
        filters = (integrations.c.name == name) & (integrations.c.tenant_id == tenant_id)
        return next(iter(await self._fetch(sa.select(integrations).where(filters))), None)

    async def add(self, raw: Mapping[str, Any]) -> str:
        """Add an integration in the form of the JSON file; return its id.

        Raises:
            ConfigError: The name is taken.
        """
        integration_id = make_id()
        async with self._database.writing() as connection:
            await self.insert(connection, integration_id, raw)
        return integration_id

    async def insert(self, connection: AsyncConnection, integration_id: str, raw: Mapping[str, Any]) -> None:
        """Add an integration within a transaction that changes more than it.

        Raises:
            ConfigError: The name is taken.
        """
        values = {
            "id": integration_id,
            "tenant_id": raw["tenant_id"],
            "name": raw["name"],
            "type": raw["type"],
            "display_name": raw.get("displayName") or raw["name"],
            "logging_level": raw.get("loggingLevel") or "INFO",
            "disabled": bool(raw.get("disabled")),
            "show_hidden": bool(raw.get("showHidden")),
            "properties": self._vault.encrypt_secrets(raw["properties"]),
            "event_states": raw.get("eventStates") or {},
            "created": to_ms(datetime.now(UTC)),
        }
        with _translate_duplicate_name(raw["name"]):
            await connection.execute(sa.insert(integrations).values(values))

    async def update(self, connection: AsyncConnection, integration_id: str, changes: Mapping[str, Any]) -> bool:
        """Change columns within a transaction that changes more; properties are in clear. Return whether it exists.

        Raises:
            ConfigError: The name is taken.
        """
        values = dict(changes)
        if "properties" in values:
            values["properties"] = self._vault.encrypt_secrets(values["properties"])
        with _translate_duplicate_name(changes.get("name")):
            done = await connection.execute(
                sa.update(integrations).where(integrations.c.id == integration_id).values(values)
            )
        return bool(done.rowcount)

    async def change(self, integration_id: str, changes: Mapping[str, Any]) -> StoredIntegration:
        """Change columns of an integration; a masked secret keeps its value.

        Raises:
            NotFoundError: There is no such integration.
            ConfigError: The name is taken.
        """
        return (await self.rewrite(integration_id, lambda known: _restore_masked_secrets(known, changes)))[1]

    async def rewrite(
        self, integration_id: str, changes: Callable[[StoredIntegration], Mapping[str, Any]]
    ) -> tuple[StoredIntegration, StoredIntegration]:
        """Change columns of an integration by what they are, in one transaction: of two at once, none is lost.

        Args:
            integration_id: Which.
            changes: What to change, made of what is stored.

        Returns:
            The integration before and after.

        Raises:
            NotFoundError: There is no such integration.
            ConfigError: The name is taken.
        """
        query = sa.select(integrations).where(integrations.c.id == integration_id)
        async with self._database.writing() as connection:
            row = (await connection.execute(query)).one_or_none()
            if row is None:
                raise NotFoundError(f"there is no integration {integration_id}")
            before = self._to_integration(row)
            values = changes(before)
            if not values:
                return before, before
            await self.update(connection, integration_id, values)
            return before, self._to_integration((await connection.execute(query)).one())

    async def delete(self, connection: AsyncConnection, integration_id: str) -> bool:
        """Remove an integration with its runs, within a transaction that does more; return whether there was one."""
        done = await connection.execute(sa.delete(integrations).where(integrations.c.id == integration_id))
        return bool(done.rowcount)

    async def reset_progress(self, connection: AsyncConnection, integration_id: str) -> None:
        """Reset the progress within a transaction, so that the next run reads and uploads everything."""
        await connection.execute(sa.delete(sent).where(sent.c.integration_id == integration_id))
        where = integrations.c.id == integration_id
        await connection.execute(sa.update(integrations).where(where).values(progress=sa.null()))

    async def _fetch(self, query: sa.Select[Any]) -> list[StoredIntegration]:
        async with self._database.reading() as connection:
            rows: Sequence[Any] = (await connection.execute(query)).all()
        return [self._to_integration(row) for row in rows]

    def _to_integration(self, row: Any) -> StoredIntegration:
        return StoredIntegration(
            id=row.id,
            tenant_id=row.tenant_id,
            name=row.name,
            type=row.type,
            display_name=row.display_name,
            logging_level=row.logging_level,
            disabled=row.disabled,
            show_hidden=row.show_hidden,
            properties=self._vault.decrypt_secrets(row.properties),
            state=row.state,
            event_states=row.event_states or {},
            created=from_ms(row.created),
        )


@contextmanager
def _translate_duplicate_name(name: str | None) -> Iterator[None]:
    """Translate the violated unique constraint of a name to ``ConfigError``."""
    try:
        yield
    except IntegrityError:
        text = f"an integration named {name!r} exists already" if name else "an integration of this name exists already"
        raise ConfigError(text, problems=[Problem("name", "is taken")]) from None


def _restore_masked_secrets(known: StoredIntegration, changes: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(changes)
    if "properties" in values:
        values["properties"] = {
            name: known.properties.get(name) if value == MASK else value for name, value in values["properties"].items()
        }
    return values
