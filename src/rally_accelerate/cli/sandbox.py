"""``rally-accelerate sandbox``: the Rally simulator."""

from datetime import timedelta

import click

from rally_accelerate.cli.options import Duration
from rally_accelerate.config.listen_errors import explain_listen_error

#: How many work items a sample company has, as the simulator itself says.
SMALLEST, LARGEST = 10, 1_000_000

#: The worlds that the simulator has, as it says itself.
WORLDS = ("sample", "hostile")


@click.command()
@click.option(
    "--port", default=8421, type=click.IntRange(0, 65535), show_default=True, help="The port; 0 selects a free one."
)
@click.option(
    "--seed", default=7, show_default=True, help="Seed of the generated data. The same seed generates the same data."
)
@click.option(
    "--items",
    default=500,
    type=click.IntRange(SMALLEST, LARGEST),
    show_default=True,
    help=f"Number of work items, {SMALLEST} to {LARGEST:,}.",
)
@click.option(
    "--world",
    default="sample",
    type=click.Choice(WORLDS),
    show_default=True,
    help="The sample data. With hostile, 1% of all texts are malformed: encodings, brackets, truncated revisions.",
)
@click.option("--live", is_flag=True, help="Keep generating changes while running.")
@click.option(
    "--every", type=Duration(), default="5s", show_default=True, help="Interval between changes, with --live."
)
@click.option(
    "--latency-ms",
    default=0,
    type=click.IntRange(0),
    show_default=True,
    help="Added latency per response, in milliseconds.",
)
def sandbox(*, port: int, seed: int, items: int, world: str, live: bool, every: timedelta, latency_ms: int) -> int:
    """Start a simulated Rally server with sample data on 127.0.0.1."""
    try:
        import rally_sandbox.server as server  # noqa: PLC0415, PLR0402 - an extra: the command says how to get it
    except ImportError as error:
        raise click.ClickException(
            "The simulator needs an extra. Run: pip install 'rally-accelerate[sandbox]'"
        ) from error

    def ready(url: str) -> None:
        click.echo(f"simulated Rally: {url}")
        click.echo(f"API key:         {server.SANDBOX_API_KEY}")
        click.echo("Press Ctrl-C to stop.")

    try:
        server.run(
            port=port,
            seed=seed,
            items=items,
            hostile_share=server.WORLDS[world],
            live=live,
            live_interval_seconds=every.total_seconds(),
            latency_ms=latency_ms,
            on_ready=ready,
        )
    except OSError as error:
        raise explain_listen_error(error, address=server.LOOPBACK, port=port) from error
    return 0
