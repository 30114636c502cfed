"""``rally-accelerate demo``: the server with sample data, or with a real Rally."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rally_accelerate.cli.hosting import DEFAULT_PORT, run_server, stop_event
from rally_accelerate.cli.options import Duration
from rally_accelerate.cli.output import progress, show_report
from rally_accelerate.config.listen_errors import PORT_OPTION
from rally_accelerate.config.load import get_state_folder, read_environment
from rally_accelerate.config.redaction import Redactor
from rally_accelerate.model.report import Outcome
from rally_accelerate.observe import logs

if TYPE_CHECKING:
    from rally_accelerate.server.app import Server

#: The sample company is small enough to be read in seconds and large enough to look alive.
SAMPLE_ITEMS = 600
SAMPLE_SEED = 7

#: A company that changes every few seconds teaches more when it is read more often than every five minutes.
SAMPLE_INTERVAL = timedelta(seconds=20)
SECONDS_BETWEEN_CHANGES = 4.0

#: How many changes the sample company makes between the two runs of ``--once``.
CHANGES_BETWEEN_RUNS = 12

#: How the port is chosen where the command is run by ``make``, which takes no options.
UNDER_MAKE = "with make demo PORT=8500 (PORT=0 selects a free one)"

REAL_INTERVAL = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Rally:
    """The Rally that the demo reads."""

    properties: Mapping[str, Any]
    name: str
    interval: timedelta
    database: Path
    #: The simulator, or None for a real Rally.
    simulator: Any = None


@click.command()
@click.option(
    "--port",
    default=DEFAULT_PORT,
    type=click.IntRange(0, 65535),
    show_default=True,
    help="The port of the server; 0 selects a free one.",
)
@click.option("--once", is_flag=True, help="Run two syncs and exit.")
@click.option("--every", type=Duration(), help="The sync interval.  [default: 20s; a real Rally: 5m]")
@click.option("--under-make", is_flag=True, hidden=True, help="Name make's variables in hints.")
def demo(*, port: int, once: bool, every: timedelta | None, under_make: bool) -> int:
    """Start the server with sample data and keep syncing it.

    Set RALLY_API_KEY (or RALLY_USERNAME and RALLY_PASSWORD), RALLY_URL, RALLY_WORKSPACE and RALLY_PROJECTS to read
    your own Rally instead.
    """
    logs.set_up("WARN", redactor=Redactor(read_environment().values()), stream=sys.stderr)
    code: int | None = None
    # Raised only before it serves, and for the second time.
    with suppress(KeyboardInterrupt), _rally() as rally:
        choose = UNDER_MAKE if under_make else PORT_OPTION
        code = asyncio.run(_demo(rally, port=port, once=once, interval=every or rally.interval, choose=choose))
    if code is None:
        click.echo("stopped", err=True)
    return code or 0


@contextmanager
def _rally() -> Iterator[Rally]:
    real = read_environment()
    # Credentials decide: an Accelerate key or an address alone does not ask for a real Rally.
    if real.get("apiKey") or (real.get("username") and real.get("password")):
        database = get_state_folder() / "demo.sqlite"
        yield Rally(real, "rally-from-the-environment", REAL_INTERVAL, database)
        return
    try:
        from rally_sandbox import server, world  # noqa: PLC0415 - an extra: the command says how to get it
    except ImportError as error:
        raise click.ClickException(
            "The sample data needs an extra. Run: pip install 'rally-accelerate[sandbox]'"
        ) from error
    with tempfile.TemporaryDirectory(prefix="rally-accelerate-demo-") as folder:
        # Each demo has a sample company of its own, so what an earlier one synced would only confuse.
        company = world.World.create(seed=SAMPLE_SEED, items=SAMPLE_ITEMS)
        with server.serve(company) as simulator:
            properties = {"baseUrl": simulator.url, "apiKey": server.SANDBOX_API_KEY}
            yield Rally(properties, "sample-company", SAMPLE_INTERVAL, Path(folder) / "host.sqlite", simulator)


async def _demo(rally: Rally, *, port: int, once: bool, interval: timedelta, choose: str) -> int | None:
    """Run the demo and return its exit code, or None if it was stopped."""
    hosted = run_server(rally.database, address="127.0.0.1", port=port, interval=interval, choose=choose)
    async with hosted as (host, url):
        work = asyncio.create_task(_keep_syncing(rally, host, url, once=once, interval=interval))
        try:
            with stop_event() as stopped:
                stop_requested = asyncio.create_task(stopped.wait())
                await asyncio.wait({work, stop_requested}, return_when=asyncio.FIRST_COMPLETED)
                stop_requested.cancel()
            return work.result() if work.done() else None
        finally:
            # Whatever it was at, a first sync as well: the next one goes on where it ended.
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


async def _keep_syncing(rally: Rally, host: "Server", url: str, *, once: bool, interval: timedelta) -> int:
    where = f"simulated Rally at {rally.properties['baseUrl']}" if rally.simulator else "Rally"
    click.echo(f"source:  {where}")
    click.echo(f"host:    {url}")
    if host.first_password:
        click.echo(f"sign in: admin / {host.first_password}   (shown only now)")
    if host.first_access_key:
        click.echo(f"key:     {host.first_access_key}   (for the GraphQL endpoint; shown only now)")
    identity = await host.add_integration(
        {"type": "ucv-ext-rally", "name": rally.name, "properties": dict(rally.properties)}
    )
    with progress(rally.name) as watch:
        report = await host.run_integration(identity, watch=watch)
    show_report(report, name="first sync")
    if (drawn := await host.create_first_value_stream(identity)) is not None:
        click.echo(f"map:     created value stream {drawn}")
    if once:
        if rally.simulator:
            rally.simulator.world.work(CHANGES_BETWEEN_RUNS)
        following = await host.run_integration(identity)
        show_report(following, name="second sync")
        return max(_exit_code(report.outcome), _exit_code(following.outcome))
    click.secho(f"\nopen {url}{await host.create_sign_in_link()}", bold=True)
    click.echo("One-time sign-in link, valid for 10 minutes.")
    every = f"every {interval.total_seconds():g} s" if interval < timedelta(minutes=1) else "every 5 minutes"
    click.echo(f"Syncing {every}. Press Ctrl-C to stop.")
    host.start_scheduler()
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_CHANGES)
        if rally.simulator:
            rally.simulator.world.work(1)


def _exit_code(outcome: Outcome) -> int:
    return {Outcome.COMPLETE: 0, Outcome.PARTIAL: 4, Outcome.FAILED: 3}[outcome]
