"""Running the embedded host inside a command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rally_accelerate.host.app import Host

DEFAULT_PORT = 8420


@asynccontextmanager
async def hosting(database: Path, *, address: str, port: int, interval: timedelta) -> AsyncIterator[tuple["Host", str]]:
    """The embedded host, open and serving, and the address of its pages.

    Args:
        database: The SQLite file; made if it is missing.
        address: The address to listen on.
        port: 0 takes a free one.
        interval: Time from one run to the next, once the schedule is started.
    """
    try:
        from rally_accelerate.host.app import Host, listening, serving  # noqa: PLC0415 - an extra: the command says how to get it
    except ImportError as error:
        raise click.ClickException("the embedded host needs: pip install 'rally-accelerate[host]'") from error
    listener = listening(address, port)
    with listener:
        async with Host.open(database, interval=interval) as host, serving(host, listener) as url:
            yield host, url
