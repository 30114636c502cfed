"""``rally-accelerate secrets``: the key that encrypts the host's secrets."""

import asyncio
from pathlib import Path

import click

from rally_accelerate.cli.hosting import database_option, existing_database, stores_alone


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
    async with stores_alone(database) as (stores, path):
        from rally_accelerate.host.access import HOST  # noqa: PLC0415 - an extra; ``stores_alone`` says how to get it
        from rally_accelerate.host.store.rotation import rotate as encrypt_anew  # noqa: PLC0415 - likewise

        count = await encrypt_anew(path, stores.database)
        await stores.audit.note(HOST, "rotated", kind="secrets", detail={"secrets": count, "from": "the terminal"})
        click.echo(f"encrypted with a new key: {count} secret{'' if count == 1 else 's'} in {path}")
        click.echo(f"back up {path}.key anew, and destroy the old backups of it")


@secrets.command()
@database_option
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def forget(*, database: Path | None, yes: bool) -> int:
    """Delete secrets that can't be decrypted because the key file is lost.

    All other data is kept. Enter the secrets again in the integrations. Look for a backup of the key file first: with
    it, nothing needs to be deleted.
    """
    path = existing_database(database)
    if not yes:
        click.confirm(f"Take every secret out of {path} that no key in {path}.key can read?", abort=True)
    asyncio.run(_forget(path))
    return 0


async def _forget(path: Path) -> None:
    from rally_accelerate.host.access import HOST  # noqa: PLC0415 - an extra; ``existing_database`` says how to get it
    from rally_accelerate.host.stores import forget_secrets  # noqa: PLC0415 - likewise

    count = await forget_secrets(path)
    async with stores_alone(path) as (stores, _):
        await stores.audit.note(HOST, "forgot", kind="secrets", detail={"secrets": count, "from": "the terminal"})
    click.echo(f"taken out: {count} secret{'' if count == 1 else 's'} that no key could read in {path}")
