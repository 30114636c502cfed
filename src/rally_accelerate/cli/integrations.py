"""``rally-accelerate integrations``: a server's integrations from the terminal, for when its pages cannot be used."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rally_accelerate.cli.hosting import database_option, stores_alone
from rally_accelerate.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from rally_accelerate.host.store.integrations import StoredIntegration
    from rally_accelerate.host.stores import Stores

#: For the audit log.
ORIGIN = {"from": "the terminal"}


@click.group()
def integrations() -> None:
    """Manage integrations from the command line.

    Use this when an integration keeps the server from starting or responding. Stop the server first. NAME is the name
    or the ID of an integration.
    """


@integrations.command("list")
@database_option
def listed(*, database: Path | None) -> int:
    """List all integrations with their IDs and states."""
    asyncio.run(_list(database))
    return 0


@integrations.command()
@click.argument("name")
@database_option
def disable(*, name: str, database: Path | None) -> int:
    """Disable the integration NAME."""
    asyncio.run(_switch(name, database, on=False))
    return 0


@integrations.command()
@click.argument("name")
@database_option
def enable(*, name: str, database: Path | None) -> int:
    """Enable the integration NAME. It runs as soon as the server starts."""
    asyncio.run(_switch(name, database, on=True))
    return 0


@integrations.command()
@click.argument("name")
@click.option("--with-issues", is_flag=True, help="Also delete its issues and their history.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@database_option
def remove(*, name: str, with_issues: bool, yes: bool, database: Path | None) -> int:
    """Delete the integration NAME with its settings and runs.

    Its issues are kept unless you add --with-issues.
    """
    asyncio.run(_remove(name, database, with_issues=with_issues, ask=not yes))
    return 0


async def _list(database: Path | None) -> None:
    async with stores_alone(database) as (stores, _):
        found = await stores.integrations.all()
        for one in found:
            click.echo(f"{one.name}: {'disabled' if one.disabled else 'enabled'}, id {one.id}, tenant {one.tenant_id}")
        if not found:
            click.echo("no integrations")


async def _switch(name: str, database: Path | None, *, on: bool) -> None:
    async with stores_alone(database) as (stores, path):
        from rally_accelerate.host.access import HOST  # noqa: PLC0415 - an extra; ``stores_alone`` says how to get it
        from rally_accelerate.host.administration import write_switch  # noqa: PLC0415 - likewise

        known = await _known(stores, name, path)
        if known.disabled != on:
            click.echo(f"{known.name} is already {'enabled' if on else 'disabled'}")
            return
        await write_switch(stores, HOST, known, on=on, detail=ORIGIN)
        click.echo(f"{'enabled' if on else 'disabled'}: {known.name}")


async def _remove(name: str, database: Path | None, *, with_issues: bool, ask: bool) -> None:
    async with stores_alone(database) as (stores, path):
        from rally_accelerate.host.access import HOST  # noqa: PLC0415 - as above
        from rally_accelerate.host.administration import write_removal  # noqa: PLC0415 - likewise
        from rally_accelerate.host.store import removals  # noqa: PLC0415 - likewise

        known = await _known(stores, name, path)
        if ask:
            issues = "with all its issues" if with_issues else "and keep its issues"
            click.confirm(f"Delete the integration {known.name} {issues}?", abort=True)
        await write_removal(stores, HOST, known.id, name=known.name, with_issues=with_issues, detail=ORIGIN)
        if with_issues:
            await removals.finish(stores.database, known.id)
        click.echo(f"removed: {known.name}{' with its issues' if with_issues else ''}")


async def _known(stores: "Stores", name: str, path: Path) -> "StoredIntegration":
    """Return the integration of a name or ID.

    Raises:
        NotFound: There is none.
        ConfigError: Several tenants have one of this name.
    """
    everything = await stores.integrations.all()
    found = [one for one in everything if one.id == name] or [one for one in everything if one.name == name]
    if not found:
        known = ", ".join(one.name for one in everything) or "none"
        raise NotFound(f"there is no integration {name!r} in {path}", hint=f"Its integrations: {known}.")
    if len(found) > 1:
        ids = ", ".join(f"{one.id} (tenant {one.tenant_id})" for one in found)
        raise ConfigError(f"{len(found)} integrations are named {name!r}", hint=f"Use the ID of one: {ids}.")
    return found[0]
