"""``rally-accelerate serve``: the built-in server."""

import asyncio
import re
import sys
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from rally_accelerate.cli.hosting import DEFAULT_PORT, database_option, default_database, run_server, stop_event
from rally_accelerate.cli.options import Duration, load, redactor_of
from rally_accelerate.cli.output import set_redactor
from rally_accelerate.config.load import Loaded, list_disabled, read_json
from rally_accelerate.config.response_limit import LEAST, get_default_limit, set_answer_limit
from rally_accelerate.observe import logs
from rally_accelerate.server.runtime import raise_descriptor_limit

#: The path of ``--outside-url``; without percent signs and dots at the beginning of a segment, as proxies read them
#: differently.
PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")

if TYPE_CHECKING:
    from rally_accelerate.server.app import Server


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--address", default="127.0.0.1", show_default=True, help="The network address to listen on.")
@click.option(
    "--port",
    default=DEFAULT_PORT,
    type=click.IntRange(0, 65535),
    show_default=True,
    help="The port; 0 selects a free one.",
)
@database_option
@click.option("--every", type=Duration(), default="5m", show_default=True, help="The sync interval.")
@click.option(
    "--outside-url",
    default="",
    help="The public URL of the server behind a TLS proxy, including its path if it has one.",
)
@click.option(
    "--trusted-proxy",
    default="",
    help="The IP address of the proxy. The server trusts X-Forwarded-For from this address only.",
)
@click.option(
    "--keep-runs",
    default=500,
    type=click.IntRange(1, 100_000),
    show_default=True,
    help="Number of runs to keep per integration, with their logs.",
)
@click.option(
    "--keep-days",
    default=90.0,
    type=click.FloatRange(0, 36_500),
    show_default=True,
    help="Maximum age of kept runs, in days.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="NAME",
    help="Start without running the integration NAME. Can be repeated.",
)
@click.option(
    "--answer-limit",
    type=click.IntRange(LEAST, 10_000_000_000),
    help="The largest value of answerMaxBytes that an integration can have.  [default: 1000000000, or less on machines "
    "with less than 16 GB of memory]",
)
def serve(
    *,
    file: Path | None,
    address: str,
    port: int,
    database: Path | None,
    every: timedelta,
    outside_url: str,
    trusted_proxy: str,
    keep_runs: int,
    keep_days: float,
    without: tuple[str, ...],
    answer_limit: int | None,
) -> int:
    """Start the server. With FILE, add the Rally integrations in it first."""
    # Before any settings are read.
    set_answer_limit(answer_limit or get_default_limit())
    loaded = load(file, name="") if file else []
    switched_off = list_disabled(read_json(file)) if file else []
    logs.set_up("INFO", redactor=redactor_of(loaded), stream=sys.stderr)
    set_redactor(redactor_of(loaded))
    for one in loaded:
        for notice in one.notices:
            click.echo(f"{one.integration.name}: note: {notice}", err=True)
    raise_descriptor_limit()
    where = database or default_database()
    outside, proxy = _check_outside_url(outside_url), _check_proxy_address(trusted_proxy)
    serving = run_server(
        where,
        address=address,
        port=port,
        interval=every,
        outside=outside,
        proxy=proxy,
        keep_runs=keep_runs,
        keep_days=keep_days,
    )
    # Raised only before it serves, and for the second time.
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(serving, loaded, switched_off, database=where, without=without))
    click.echo("stopped", err=True)
    return 0


def _check_outside_url(url: str) -> str:
    """Validate the public URL behind a proxy.

    Raises:
        BadParameter: The value is invalid.
    """
    try:
        parts = urlsplit(url.strip())
        path = parts.path.rstrip("/")
        fits = not url or (
            parts.scheme in {"http", "https"}
            and parts.hostname
            and not (parts.query or parts.fragment)
            and (not path or PREFIX.fullmatch(path))
        )
    except ValueError:
        fits = False
    if not fits:
        text = (
            f"{url!r} is not a valid URL; use for example https://accelerate.example.com or https://example.com/rally/"
        )
        raise click.BadParameter(text, param_hint="--outside-url")
    return url.strip()


def _check_proxy_address(address: str) -> str:
    """Validate the proxy's IP address; host names and wildcards would trust every client.

    Raises:
        BadParameter: The value is invalid.
    """
    if not address.strip():
        return ""
    try:
        return str(ip_address(address.strip()))
    except ValueError:
        text = f"{address!r} is not an IP address; use for example 127.0.0.1"
        raise click.BadParameter(text, param_hint="--trusted-proxy") from None


async def _serve(
    serving: AbstractAsyncContextManager[tuple["Server", str]],
    loaded: Sequence[Loaded],
    switched_off: Sequence[tuple[str, str]],
    *,
    database: Path,
    without: Collection[str],
) -> None:
    async with serving as (host, url):
        with stop_event() as stopped:
            click.echo(f"host: {url}")
            click.echo(f"data: {database}")
            if host.first_password:
                click.echo(f"sign in: admin / {host.first_password}   (shown only now)")
            if host.first_access_key:
                click.echo(f"key:  {host.first_access_key}   (for the GraphQL endpoint; shown only now)")
            for one in loaded:
                await host.add_integration(one.integration)
            for name, tenant_id in switched_off:
                if await host.disable_integration(name, tenant_id):
                    click.echo(f"{name}: disabled in the file", err=True)
            # Here, as FILE may bring an integration that is to be left out.
            await host.exclude_integrations(without)
            for name in without:
                click.echo(f"{name}: does not run (--without)", err=True)
            host.start_scheduler()
            await stopped.wait()
