"""``rally-accelerate check``: what holds, what is broken, what to do."""

import asyncio
import sys
from pathlib import Path

import click

from rally_accelerate.cli.options import (
    accelerate_url_option,
    file_argument,
    load,
    name_option,
    redactor_of,
    target_of,
)
from rally_accelerate.cli.output import redact_with, safe
from rally_accelerate.config.model import Integration
from rally_accelerate.errors import ConfigError
from rally_accelerate.observe import logs
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.check import Finding
from rally_accelerate.sync.check import check as try_chain


@click.command()
@file_argument
@name_option
@accelerate_url_option
@click.option(
    "--query",
    default="",
    help="Use this filter instead of the one in FILE: a query, or one per line such as 'Defect: (Priority = \"Low\")'.",
)
def check(*, file: Path, name: str, accelerate_url: str, query: str) -> int:
    """Test the connection to Rally and Accelerate and explain any problem."""
    loaded = load(file, name=name, accelerate_url=accelerate_url, given={"query": query} if query else {})
    # Each finding is told once, by the check itself: retries and notices in the log would tell it again.
    redact_with(redactor_of(loaded))
    logs.set_up("ERROR", redactor=redactor_of(loaded), stream=sys.stderr)
    codes = [asyncio.run(_check(one.integration, one.notices)) for one in loaded]
    return max(codes, default=0)


async def _check(integration: Integration, notices: tuple[str, ...]) -> int:
    click.secho(integration.name, bold=True)
    for notice in notices:
        click.secho(f"  ? settings: {notice}", fg="yellow")
    code = 0
    async for finding in try_chain(integration, target=target_of(integration), limiters=LimiterPool()):
        _show(finding)
        if finding.error is not None:
            code = max(code, 2 if isinstance(finding.error, ConfigError) else 3)
    return code


def _show(finding: Finding) -> None:
    if finding.error is not None:
        click.secho(f"  ✗ {finding.link.value}: {safe(finding.text)}", fg="red")
        if isinstance(finding.error, ConfigError):
            for problem in finding.error.problems:
                # The only problem is often the error's own sentence.
                if str(problem) not in finding.text:
                    click.echo(safe(f"      - {problem}"))
        if finding.error.hint:
            click.echo(f"      {finding.error.hint}")
    elif finding.doubtful:
        click.secho(f"  ? {finding.link.value}: {safe(finding.text)}", fg="yellow")
    else:
        click.echo(click.style("  ✓ ", fg="green") + f"{finding.link.value}: {safe(finding.text)}")
