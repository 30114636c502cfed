"""``rally-accelerate users``: the host's users from the terminal, for whoever cannot sign in any more."""

import asyncio
from pathlib import Path

import click

from rally_accelerate.cli.hosting import database_option, stores_alone
from rally_accelerate.errors import NotFound


@click.group()
def users() -> None:
    """Manage users from the command line (account recovery).

    Stop the server first.
    """


@users.command("list")
@database_option
def listed(*, database: Path | None) -> int:
    """List all users with their roles and states."""
    asyncio.run(_list(database))
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


async def _list(database: Path | None) -> None:
    async with stores_alone(database) as (stores, _):
        for user in await stores.users.all():
            seen = f"last seen {user.last_seen:%Y-%m-%d %H:%M} UTC" if user.last_seen else "never seen"
            click.echo(f"{user.name}: {user.role.word}{', disabled' if user.disabled else ''}, {seen}")


async def _reset(name: str, database: Path | None) -> None:
    from rally_accelerate.host import passwords  # noqa: PLC0415 - an extra; ``stores_alone`` says how to get it
    from rally_accelerate.host.access import HOST  # noqa: PLC0415 - likewise

    async with stores_alone(database) as (stores, path):
        user = await stores.users.by_name(name)
        if user is None:
            known = ", ".join(one.name for one in await stores.users.all()) or "none"
            raise NotFound(f"there is no user {name} in {path}", hint=f"Its users: {known}.")
        password = passwords.made()
        await stores.users.set_password(user.id, password, temporary=True)
        await stores.audit.note(
            HOST, "reset the password", kind="user", object_id=user.id, name=user.name, detail={"from": "the terminal"}
        )
        click.echo(f"sign in: {user.name} / {password}   (shown only now)")
        if user.disabled:
            click.echo(f"{user.name} is disabled: an administrator has to enable the user first", err=True)
