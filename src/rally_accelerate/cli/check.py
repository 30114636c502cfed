"""``rally-accelerate check``, ``explain``, ``coverage`` and ``verify``."""

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
from rally_accelerate.cli.output import redact, set_redactor, uncompared_fields_text
from rally_accelerate.config.load import Loaded
from rally_accelerate.config.model import Integration
from rally_accelerate.errors import ConfigError
from rally_accelerate.mapping.coverage import Coverage
from rally_accelerate.mapping.history_check import Verdict
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.observe import logs
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync import dry_run
from rally_accelerate.sync.connection_check import Finding, run_checks
from rally_accelerate.sync.removals import removal_settings
from rally_accelerate.sync.wiring import Links, Target, connect, load_rules


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
    loaded = load(file, name=name, accelerate_url=accelerate_url, properties={"query": query} if query else {})
    # Each finding is told once, by the check itself: retries and notices in the log would tell it again.
    set_redactor(redactor_of(loaded))
    logs.set_up("ERROR", redactor=redactor_of(loaded), stream=sys.stderr)
    codes = [asyncio.run(_check(one.integration, one.notices)) for one in loaded]
    return max(codes, default=0)


async def _check(integration: Integration, notices: tuple[str, ...]) -> int:
    click.secho(integration.name, bold=True)
    for notice in notices:
        click.secho(f"  ? settings: {notice}", fg="yellow")
    code = 0
    async for finding in run_checks(integration, target=target_of(integration), limiters=LimiterPool()):
        _show_finding(finding)
        if finding.error is not None:
            code = max(code, 2 if isinstance(finding.error, ConfigError) else 3)
    return code


def _show_finding(finding: Finding) -> None:
    if finding.error is not None:
        click.secho(f"  ✗ {finding.link.value}: {redact(finding.text)}", fg="red")
        if isinstance(finding.error, ConfigError):
            for problem in finding.error.problems:
                # The only problem is often the error's own sentence.
                if str(problem) not in finding.text:
                    click.echo(redact(f"      - {problem}"))
        if finding.error.hint:
            click.echo(f"      {finding.error.hint}")
    elif finding.doubtful:
        click.secho(f"  ? {finding.link.value}: {redact(finding.text)}", fg="yellow")
    else:
        click.echo(click.style("  ✓ ", fg="green") + f"{finding.link.value}: {redact(finding.text)}")


T = TypeVar("T")

PARTIAL = 4

#: How many lines of one list are shown.
MAX_LINES = 50

NOWHERE = Target("https://accelerate.invalid", SecretStr("not-used"))


@click.command()
@file_argument
@click.argument("key")
@name_option
def explain(*, file: Path, key: str, name: str) -> int:
    """Explain how each field of a work item (such as US123) is mapped."""
    one = _single(load(file, name=name))
    explanation = _query_source(one, lambda connected, rules: dry_run.explain(connected.source, rules, key.strip()))
    click.secho(redact(f"{explanation.issue.display_id}: {explanation.issue.name}"), bold=True)
    for target, outcome in explanation.outcomes.items():
        if target == "description":
            continue
        value = ", ".join(map(str, outcome.value)) if isinstance(outcome.value, tuple) else outcome.value
        text = "(empty)" if value in (None, "") else value
        click.echo(redact(f"  {target}: {text}"))
        click.echo(click.style(redact(f"      {outcome.reason}"), dim=True))
    history = explanation.judgement
    details = history.reason or "; ".join(map(str, history.gaps)) or "matches the current values"
    click.echo(redact(f"  history: {len(explanation.issue.history)} changes, {history.verdict.value}: {details}"))
    return 0


@click.command("coverage")
@file_argument
@name_option
def coverage_command(*, file: Path, name: str) -> int:
    """Count the states, types, priorities and other values that no mapping rule covers."""
    one = _single(load(file, name=name))
    _show_coverage(_query_source(one, lambda connected, rules: dry_run.count_unmapped(connected.source, rules)))
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
    one = _single(load(file, name=name, accelerate_url=accelerate_url))
    compares = target_of(one.integration) is not None
    removal = removal_settings(one.integration.properties)
    removed = frozenset((removal.statuses or {}).values())
    result = _query_source(
        one,
        lambda connected, rules: dry_run.verify(
            connected.source, connected.sink if compares else None, rules, removed=removed
        ),
    )
    counts = ", ".join(f"{result.verdicts.get(verdict, 0):,} {verdict.value}" for verdict in Verdict)
    pending = f", {result.pending:,} pending (Rally's Lookback is behind)" if result.pending else ""
    click.secho(f"{one.integration.name}: histories: {counts}{pending}", bold=True)
    _print_lines(
        [f"{key}: {fault.verdict.value}: {fault.reason or _gaps(fault.gaps)}" for key, fault in result.faults.items()]
    )
    if compares:
        comparison = result.compared
        click.secho(
            f"compared with Accelerate: {comparison.issues:,} issues, {len(comparison.differences):,} differences",
            bold=True,
        )
        _print_lines(comparison.differences)
        if comparison.unreadable:
            click.echo(uncompared_fields_text(comparison.unreadable))
    else:
        missing = "; ".join(f"{problem.path} {problem.text}" for problem in target_problems(one.integration))
        click.echo(f"not compared with Accelerate: {missing}")
    return PARTIAL if result.faults or result.compared.differences else 0


def _show_coverage(coverage: Coverage) -> None:
    for type_name, items in coverage.items.items():
        click.secho(redact(f"{type_name}: {items:,} items"), bold=True)
        for value in coverage.values:
            if value.type == type_name:
                what = "no rule matches this value" if value.ruled else "unmapped, passed through"
                click.echo(redact(f"  {value.target} {value.value!r}: {value.items:,} items ({what})"))
        for unread in coverage.fields:
            if unread.type == type_name:
                click.echo(redact(f"  {unread.name}: set in {unread.items:,} items, not mapped to anything"))


def _gaps(gaps: Sequence[Any]) -> str:
    return "; ".join(map(str, gaps))


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines[:MAX_LINES]:
        click.secho(redact(f"  {line}"), fg="yellow")
    if len(lines) > MAX_LINES:
        click.secho(f"  and {len(lines) - MAX_LINES:,} more", fg="yellow")


def _single(loaded: Sequence[Loaded]) -> Loaded:
    if len(loaded) != 1:
        names = ", ".join(one.integration.name for one in loaded)
        raise ConfigError(
            "this command needs exactly one integration", hint=f"Choose one with --name: {names}." if names else ""
        )
    return loaded[0]


def _query_source(one: Loaded, function: Callable[[Links, Rules], Awaitable[T]]) -> T:
    set_redactor(redactor_of([one]))
    logs.set_up("ERROR", redactor=redactor_of([one]), stream=sys.stderr)

    async def query() -> T:
        target = target_of(one.integration) or NOWHERE
        async with connect(one.integration, target=target, limiters=LimiterPool()) as connected:
            # Somebody looks closely: what was learned yesterday is not enough.
            rules, _ = await load_rules(connected.source, one.integration.properties)
            return await function(connected, rules)

    return asyncio.run(query())
