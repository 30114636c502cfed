"""Where in the tables encrypted values lie: found, and changed, wherever they are and nowhere else.

What people write into a value stream may look like an encrypted value. Only where the vault encrypts is it one: there,
whatever only looks so has been encrypted itself.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import InvalidToken
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import integrations, value_stream_versions
from rally_accelerate.host.store.vault import MARK, Vault, is_sealed, is_stray, strays

#: What is done with the settings of an integration.
Treat = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def each_setting(document: Mapping[str, Any], treat: Treat) -> dict[str, Any]:
    """A value stream's document with what its integrations hold treated: sealed, or opened."""
    entries = [_treated(entry, treat) for entry in document.get("integrations") or ()]
    return {**document, "integrations": entries} if "integrations" in document else dict(document)


def _treated(entry: Mapping[str, Any], treat: Treat) -> dict[str, Any]:
    beside = treat(strays(entry))
    found = {name: beside.get(name, value) for name, value in entry.items() if name in beside or not is_stray(name)}
    return {**found, "properties": treat(entry["properties"])} if entry.get("properties") else found


async def every_secret(connection: AsyncConnection, change: Callable[[str], str | None]) -> int:
    """Change every encrypted value of every table, or take it out for None; how many there are."""
    count = 0

    def changed(properties: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal count
        found = dict(properties)
        for name, value in properties.items():
            if is_sealed(value):
                count += 1
                after = change(value[MARK])
                if after is None:
                    del found[name]
                else:
                    found[name] = {MARK: after}
        return found

    places: list[tuple[sa.Column[Any], Treat]] = [
        (integrations.c.properties, changed),
        (value_stream_versions.c.document, lambda document: each_setting(document, changed)),
    ]
    for column, treated in places:
        table = column.table
        assert isinstance(table, sa.Table)
        holds = sa.cast(column, sa.Text).contains(f'"{MARK}"')
        found = (await connection.execute(sa.select(*table.primary_key.columns, column).where(holds))).all()
        for *identity, value in found:
            after = treated(value)
            if json.dumps(after) != json.dumps(value):
                pairs = zip(table.primary_key.columns, identity, strict=True)
                this = sa.and_(*(key == part for key, part in pairs))
                await connection.execute(sa.update(table).where(this).values({column: after}))
    return count


async def unreadable(database: Database, vault: Vault | None) -> int:
    """How many secrets a vault cannot read; without a vault, how many there are."""
    async with database.reading() as connection:
        return await _unreadable(connection, vault)


async def forget(database: Database, vault: Vault) -> int:
    """Take out every secret that a vault cannot read, to be entered again; how many they were."""
    async with database.writing() as connection:
        return await _unreadable(connection, vault, drop=True)


async def _unreadable(connection: AsyncConnection, vault: Vault | None, *, drop: bool = False) -> int:
    count = 0

    def tried(token: str) -> str | None:
        nonlocal count
        try:
            if vault is not None:
                vault.read(token)
                return token
        except InvalidToken:
            pass
        count += 1
        return None if drop else token

    await every_secret(connection, tried)
    return count
