"""``rally-accelerate secrets``: the key that encrypts the host's secrets."""

import asyncio
from pathlib import Path

import click

from rally_accelerate.cli.hosting import database_option, stores_alone


@click.group()
def secrets() -> None:
    """Look after the key that encrypts the embedded host's secrets.

    The host must not be running meanwhile.
    """


@secrets.command()
@database_option
def rotate(*, database: Path | None) -> int:
    """Make a new key, encrypt every secret with it, and drop the old one.

    It can be stopped at any moment and run again: the old key goes when no secret needs it any more.
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
