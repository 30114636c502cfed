"""``rally-accelerate secrets``, ``users`` and ``integrations``: administration of a stopped server."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rally_accelerate.cli.hosting import database_option, open_unused_stores, require_database
from rally_accelerate.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from rally_accelerate.server.store.integrations import StoredIntegration
    from rally_accelerate.server.store.repositories import Stores


@click.group()
def secrets() -> None:
    """Manage the encryption key of the server's secrets.

    Stop the server first.
    """


@secrets.command()
@database_option
def rotate(*, database: Path | None) -> int:
    """Generate a new key and re-encrypt every secret with it.

    You can interrupt this command and run it again: the old key is removed only when no secret needs it.
    """
    asyncio.run(_rotate(database))
    return 0


async def _rotate(database: Path | None) -> None:
    async with open_unused_stores(database) as (stores, path):
        from rally_accelerate.server.permissions import SYSTEM_ACTOR  # noqa: PLC0415 - an extra; ``stores_alone`` says how to get it
        from rally_accelerate.server.store.encryption import rotate as rotate_key  # noqa: PLC0415 - likewise

        count = await rotate_key(path, stores.database)
        await stores.audit.record(
            SYSTEM_ACTOR, "rotated", kind="secrets", detail={"secrets": count, "from": "the terminal"}
        )
        click.echo(f"re-encrypted {count} secret{'' if count == 1 else 's'} in {path} with a new key")
        click.echo(f"Back up {path}.key now and destroy its old backups.")


@secrets.command()
@database_option
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def forget(*, database: Path | None, yes: bool) -> int:
    """Delete secrets that can't be decrypted because the key file is lost.

    All other data is kept. Enter the secrets again in the integrations. Look for a backup of the key file first: with
    it, nothing needs to be deleted.
    """
    path = require_database(database)
    if not yes:
        click.confirm(f"Delete every secret in {path} that no key in {path}.key can decrypt?", abort=True)
    asyncio.run(_forget(path))
    return 0


async def _forget(path: Path) -> None:
    from rally_accelerate.server.permissions import SYSTEM_ACTOR  # noqa: PLC0415 - an extra; ``existing_database`` says how to get it
    from rally_accelerate.server.store.repositories import delete_unreadable_secrets  # noqa: PLC0415 - likewise

    count = await delete_unreadable_secrets(path)
    async with open_unused_stores(path) as (stores, _):
        await stores.audit.record(
            SYSTEM_ACTOR, "forgot", kind="secrets", detail={"secrets": count, "from": "the terminal"}
        )
    click.echo(f"deleted {count} secret{'' if count == 1 else 's'} that no key can decrypt from {path}")


@click.group()
def users() -> None:
    """Manage users from the command line (account recovery).

    Stop the server first.
    """


@users.command("list")
@database_option
def list_users(*, database: Path | None) -> int:
    """List all users with their roles and states."""
    asyncio.run(_list_users(database))
    return 0


@users.command()
@click.argument("name")
@database_option
def reset(*, name: str, database: Path | None) -> int:
    """Generate a new password for the user NAME and show it once.

    All sessions of the user end. Access keys stay valid.
    """
    asyncio.run(_reset(name, database))
    return 0


async def _list_users(database: Path | None) -> None:
    async with open_unused_stores(database) as (stores, _):
        for user in await stores.users.all():
            seen = f"last seen {user.last_seen:%Y-%m-%d %H:%M} UTC" if user.last_seen else "never seen"
            click.echo(f"{user.name}: {user.role.word}{', disabled' if user.disabled else ''}, {seen}")


async def _reset(name: str, database: Path | None) -> None:
    from rally_accelerate.server import passwords  # noqa: PLC0415 - an extra; ``stores_alone`` says how to get it
    from rally_accelerate.server.permissions import SYSTEM_ACTOR  # noqa: PLC0415 - likewise

    async with open_unused_stores(database) as (stores, path):
        user = await stores.users.by_name(name)
        if user is None:
            known = ", ".join(one.name for one in await stores.users.all()) or "none"
            raise NotFoundError(f"no user named {name!r} in {path}", hint=f"Users in this database: {known}.")
        password = passwords.generate()
        await stores.users.set_password(user.id, password, temporary=True)
        await stores.audit.record(
            SYSTEM_ACTOR,
            "reset the password",
            kind="user",
            object_id=user.id,
            name=user.name,
            detail={"from": "the terminal"},
        )
        click.echo(f"sign in: {user.name} / {password}   (shown only now)")
        if user.disabled:
            click.echo(f"{user.name} is disabled. An administrator must enable the user first.", err=True)


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
def list_integrations(*, database: Path | None) -> int:
    """List all integrations with their IDs and states."""
    asyncio.run(_list_integrations(database))
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


async def _list_integrations(database: Path | None) -> None:
    async with open_unused_stores(database) as (stores, _):
        stored = await stores.integrations.all()
        for one in stored:
            click.echo(f"{one.name}: {'disabled' if one.disabled else 'enabled'}, id {one.id}, tenant {one.tenant_id}")
        if not stored:
            click.echo("no integrations")


async def _switch(name: str, database: Path | None, *, on: bool) -> None:
    async with open_unused_stores(database) as (stores, path):
        from rally_accelerate.server.integrations import write_enabled  # noqa: PLC0415 - likewise
        from rally_accelerate.server.permissions import SYSTEM_ACTOR  # noqa: PLC0415 - an extra; ``stores_alone`` says how to get it

        known = await _find_integration(stores, name, path)
        if known.disabled != on:
            click.echo(f"{known.name} is already {'enabled' if on else 'disabled'}")
            return
        await write_enabled(stores, SYSTEM_ACTOR, known, on=on, detail=ORIGIN)
        click.echo(f"{'enabled' if on else 'disabled'}: {known.name}")


async def _remove(name: str, database: Path | None, *, with_issues: bool, ask: bool) -> None:
    async with open_unused_stores(database) as (stores, path):
        from rally_accelerate.server.integrations import write_removal  # noqa: PLC0415 - likewise
        from rally_accelerate.server.permissions import SYSTEM_ACTOR  # noqa: PLC0415 - as above
        from rally_accelerate.server.store import issue_writer  # noqa: PLC0415 - likewise

        known = await _find_integration(stores, name, path)
        if ask:
            issues = "with all its issues" if with_issues else "and keep its issues"
            click.confirm(f"Delete the integration {known.name} {issues}?", abort=True)
        await write_removal(stores, SYSTEM_ACTOR, known.id, name=known.name, with_issues=with_issues, detail=ORIGIN)
        if with_issues:
            await issue_writer.finish_removal(stores.database, known.id)
        click.echo(f"removed: {known.name}{' with its issues' if with_issues else ''}")


async def _find_integration(stores: "Stores", name: str, path: Path) -> "StoredIntegration":
    """Return the integration of a name or ID.

    Raises:
        NotFoundError: No integration has it.
        ConfigError: Several tenants have one of this name.
    """
    everything = await stores.integrations.all()
    matches = [one for one in everything if one.id == name] or [one for one in everything if one.name == name]
    if not matches:
        known = ", ".join(one.name for one in everything) or "none"
        raise NotFoundError(f"no integration named {name!r} in {path}", hint=f"Integrations in this database: {known}.")
    if len(matches) > 1:
        ids = ", ".join(f"{one.id} (tenant {one.tenant_id})" for one in matches)
        raise ConfigError(f"{len(matches)} integrations are named {name!r}", hint=f"Use the ID of one: {ids}.")
    return matches[0]
