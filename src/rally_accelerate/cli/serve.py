"""``rally-accelerate serve``: the embedded host."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from rally_accelerate.cli.hosting import DEFAULT_PORT, hosting
from rally_accelerate.cli.options import Duration, load, redactor_of
from rally_accelerate.cli.output import redact_with
from rally_accelerate.config.load import Loaded, disabled_names, read_json, state_folder
from rally_accelerate.observe import logs


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--address", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=DEFAULT_PORT, type=click.IntRange(0, 65535), show_default=True, help="0 takes a free one."
)
@click.option(
    "--database",
    type=click.Path(path_type=Path),
    help="The SQLite file.  [default: host.sqlite in the user's state folder]",
)
@click.option("--every", type=Duration(), default="5m", show_default=True, help="Time from one run to the next.")
def serve(*, file: Path | None, address: str, port: int, database: Path | None, every: timedelta) -> int:
    """Serve the embedded host; with FILE, its Rally integrations are added first."""
    loaded = load(file, name="") if file else []
    switched_off = disabled_names(read_json(file)) if file else []
    logs.set_up("INFO", redactor=redactor_of(loaded), stream=sys.stderr)
    redact_with(redactor_of(loaded))
    for one in loaded:
        for notice in one.notices:
            click.echo(f"{one.integration.name}: note: {notice}", err=True)
    where = database or state_folder() / "host.sqlite"
    try:
        asyncio.run(_serve(loaded, switched_off, address=address, port=port, database=where, every=every))
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    return 0


async def _serve(
    loaded: Sequence[Loaded],
    switched_off: Sequence[tuple[str, str]],
    *,
    address: str,
    port: int,
    database: Path,
    every: timedelta,
) -> None:
    async with hosting(database, address=address, port=port, interval=every) as (host, url):
        click.echo(f"host: {url}")
        click.echo(f"data: {database}")
        if host.first_password:
            click.echo(f"sign in: admin / {host.first_password}   (shown only now)")
        if host.first_access_key:
            click.echo(f"key:  {host.first_access_key}   (for the GraphQL endpoint; shown only now, keep it)")
        for one in loaded:
            await host.add_integration(one.integration)
        for name, tenant_id in switched_off:
            if await host.switch_off(name, tenant_id):
                click.echo(f"{name}: disabled, as the file says", err=True)
        host.start_schedule()
        # Until Ctrl-C or SIGTERM cancels it.
        await asyncio.Event().wait()
