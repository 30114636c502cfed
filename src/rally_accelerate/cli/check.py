"""``rally-accelerate check``: what holds, what is broken, what to do."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import SecretStr

from rally_accelerate.cli.options import (
    accelerate_url_option,
    file_argument,
    load,
    name_option,
    redactor_of,
    target_of,
    target_problems,
)
from rally_accelerate.cli.output import not_compared, redact_with, safe
from rally_accelerate.config.load import Loaded
from rally_accelerate.config.model import Integration
from rally_accelerate.errors import ConfigError
from rally_accelerate.mapping.coverage import Coverage
from rally_accelerate.mapping.history_check import Verdict
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.observe import logs
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync import dry_run
from rally_accelerate.sync.connection_check import Finding
from rally_accelerate.sync.connection_check import check as try_chain
from rally_accelerate.sync.removals import removal_of
from rally_accelerate.sync.wiring import Links, Target, links, rules_from


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
        _show_finding(finding)
        if finding.error is not None:
            code = max(code, 2 if isinstance(finding.error, ConfigError) else 3)
    return code


def _show_finding(finding: Finding) -> None:
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


T = TypeVar("T")

PARTIAL = 4

#: How many lines of one list are shown.
SHOWN = 50

NOWHERE = Target("https://accelerate.invalid", SecretStr("not-used"))


@click.command()
@file_argument
@click.argument("key")
@name_option
def explain(*, file: Path, key: str, name: str) -> int:
    """Explain how each field of a work item (such as US123) is mapped."""
    one = _one(load(file, name=name))
    found = _asked(one, lambda connected, rules: dry_run.explain(connected.source, rules, key.strip()))
    click.secho(safe(f"{found.issue.display_id}: {found.issue.name}"), bold=True)
    for target, outcome in found.outcomes.items():
        if target == "description":
            continue
        value = ", ".join(map(str, outcome.value)) if isinstance(outcome.value, tuple) else outcome.value
        shown = "(empty)" if value in (None, "") else value
        click.echo(safe(f"  {target}: {shown}"))
        click.echo(click.style(safe(f"      {outcome.reason}"), dim=True))
    history = found.judgement
    told = history.reason or "; ".join(map(str, history.gaps)) or "matches the current values"
    click.echo(safe(f"  history: {len(found.issue.history)} changes, {history.verdict.value}: {told}"))
    return 0


@click.command("coverage")
@file_argument
@name_option
def coverage_command(*, file: Path, name: str) -> int:
    """Count the states, types, priorities and other values that no mapping rule covers."""
    one = _one(load(file, name=name))
    _show_coverage(_asked(one, lambda connected, rules: dry_run.covered(connected.source, rules)))
    return 0


@click.command()
@file_argument
@name_option
@accelerate_url_option
def verify(*, file: Path, name: str, accelerate_url: str) -> int:
    """Check all histories for gaps and compare all issues with Accelerate.

    A history is pending, which is not an error, while Rally's Lookback lacks its latest changes. The exit code is 4 if
    a history is incomplete or an issue differs.
    """
    one = _one(load(file, name=name, accelerate_url=accelerate_url))
    compares = target_of(one.integration) is not None
    removal = removal_of(one.integration.properties)
    removed = frozenset((removal.statuses or {}).values())
    found = _asked(
        one,
        lambda connected, rules: dry_run.verify(
            connected.source, connected.sink if compares else None, rules, removed=removed
        ),
    )
    counts = ", ".join(f"{found.verdicts.get(verdict, 0):,} {verdict.value}" for verdict in Verdict)
    pending = f", {found.pending:,} pending (Rally's Lookback is behind)" if found.pending else ""
    click.secho(f"{one.integration.name}: histories: {counts}{pending}", bold=True)
    _list([f"{key}: {fault.verdict.value}: {fault.reason or _gaps(fault.gaps)}" for key, fault in found.faults.items()])
    if compares:
        its = found.compared
        click.secho(f"compared with Accelerate: {its.issues:,} issues, {len(its.differences):,} differences", bold=True)
        _list(its.differences)
        if its.unreadable:
            click.echo(not_compared(its.unreadable))
    else:
        missing = "; ".join(f"{each.path} {each.text}" for each in target_problems(one.integration))
        click.echo(f"not compared with Accelerate: {missing}")
    return PARTIAL if found.faults or found.compared.differences else 0


def _show_coverage(found: Coverage) -> None:
    for shown, items in found.items.items():
        click.secho(safe(f"{shown}: {items:,} items"), bold=True)
        for value in found.values:
            if value.type == shown:
                what = "no rule matches this value" if value.ruled else "unmapped, passed through"
                click.echo(safe(f"  {value.target} {value.value!r}: {value.items:,} items ({what})"))
        for unread in found.fields:
            if unread.type == shown:
                click.echo(safe(f"  {unread.name}: set in {unread.items:,} items, not mapped to anything"))


def _gaps(gaps: Sequence[Any]) -> str:
    return "; ".join(map(str, gaps))


def _list(lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        click.secho(safe(f"  {line}"), fg="yellow")
    if len(lines) > SHOWN:
        click.secho(f"  and {len(lines) - SHOWN:,} more", fg="yellow")


def _one(loaded: Sequence[Loaded]) -> Loaded:
    if len(loaded) != 1:
        names = ", ".join(one.integration.name for one in loaded)
        raise ConfigError(
            "this command needs exactly one integration", hint=f"Choose one with --name: {names}." if names else ""
        )
    return loaded[0]


def _asked(one: Loaded, ask: Callable[[Links, Rules], Awaitable[T]]) -> T:
    redact_with(redactor_of([one]))
    logs.set_up("ERROR", redactor=redactor_of([one]), stream=sys.stderr)

    async def asking() -> T:
        target = target_of(one.integration) or NOWHERE
        async with links(one.integration, target=target, limiters=LimiterPool()) as connected:
            # Somebody looks closely: what was learned yesterday is not enough.
            rules, _ = await rules_from(connected.source, one.integration.properties)
            return await ask(connected, rules)

    return asyncio.run(asking())
