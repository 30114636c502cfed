"""How results look on a terminal: reports, errors, progress."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from rally_accelerate.config.redaction import Redactor
from rally_accelerate.errors import ConfigError, RallyAccelerateError
from rally_accelerate.model.report import Outcome, SyncReport, Tally
from rally_accelerate.observe.run_summary import Follower, duration, histories, project_lines
from rally_accelerate.sync.ports import Watch

#: The exit code of a bug in the program itself.
OWN_FAULT = 1

#: Without a terminal, progress is a line every so many seconds.
SECONDS_BETWEEN_LINES = 5.0

#: How many skipped items are named on the terminal; the JSON report names more.
SKIPS_SHOWN = 10


#: Knows the secrets of what is running; set by the commands before they print anything.
_redactors: list[Redactor] = [Redactor(())]


def redact_with(redactor: Redactor) -> None:
    """From now on, print nothing that this redactor knows to be secret: servers may echo what they were sent."""
    _redactors.append(redactor)


def safe(text: str) -> str:
    """The text without secrets."""
    return _redactors[-1].redact(text)


def own_fault(error: Exception) -> str:
    """What a user reads of a bug in the program; its message may hold data, and is for --debug."""
    return (
        f"Internal error: {type(error).__name__}. Run again with --debug before the command name and report the output."
    )


def show_error(error: RallyAccelerateError) -> None:
    """An error for a person: what, where, what to do."""
    click.secho(safe(f"error: {error}"), fg="red", err=True)
    if isinstance(error, ConfigError):
        for problem in error.problems:
            # Few problems are often the error's own sentence.
            if str(problem) not in str(error):
                click.echo(safe(f"  - {problem}"), err=True)
    if error.hint:
        click.echo(safe(f"hint: {error.hint}"), err=True)


def show_report(report: SyncReport, *, name: str, uploaded: str = "uploaded") -> None:
    """A run's account in a few lines.

    Args:
        report: The account.
        name: What ran.
        uploaded: What became of news: a dry run only would have uploaded them.
    """
    tally = report.tally
    colour = {Outcome.COMPLETE: "green", Outcome.PARTIAL: "yellow", Outcome.FAILED: "red"}[report.outcome]
    click.secho(f"{name}: {report.outcome.value}", fg=colour, bold=True, nl=False)
    click.echo(
        f" in {duration(report.seconds) if report.seconds >= 1 else f'{report.seconds:.1f} s'}: {tally.read:,} read, "
        f"{tally.uploaded:,} {uploaded}, {tally.unchanged:,} unchanged, {tally.skipped:,} skipped; "
        f"requests: {report.rally.requests:,} to Rally, {report.accelerate.requests:,} to Accelerate"
        + (f", {retries:,} retries" if (retries := report.rally.retries + report.accelerate.retries) else "")
    )
    if told := histories(tally):
        click.echo(f"  histories: {told}")
    for line in project_lines(report.projects, uploaded=uploaded):
        click.echo(safe(f"  {line}"))
    if report.empty:
        click.secho(f"  {safe(report.empty)}", fg="yellow")
    if tally.removed:
        click.echo(f"  marked as removed: {tally.removed:,}")
    for notice in report.notices:
        click.echo(safe(f"  note: {notice}"))
    for skip in report.skipped[:SKIPS_SHOWN]:
        click.secho(safe(f"  skipped {skip.key}: {skip.reason}"), fg="yellow")
    if tally.skipped > SKIPS_SHOWN:
        click.secho(f"  and {tally.skipped - SKIPS_SHOWN:,} more; add --json to list them", fg="yellow")
    if report.failure is not None:
        show_error(report.failure)


@contextmanager
def progress(name: str, *, quiet: bool = False) -> Iterator[Watch]:
    """Show how a run goes: a bar on a terminal, a line now and then elsewhere; on the error stream.

    Args:
        name: The integration's name.
        quiet: Show nothing.
    """
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar(name) as watch:
            yield watch
    else:
        yield _lines(name)


@contextmanager
def _bar(name: str) -> Iterator[Watch]:
    started = time.monotonic()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task: TaskID = shown.add_task(name, total=None, said="connecting to Rally")
        follower = Follower()

        def watch(tally: Tally) -> None:
            seconds = time.monotonic() - started
            follower.update(tally, seconds=seconds)
            share = follower.measured(seconds=seconds).share
            said = follower.sentence(seconds=seconds)
            shown.update(task, total=None if share is None else 1.0, completed=share or 0.0, said=said)

        yield watch


def _lines(name: str) -> Watch:
    started = time.monotonic()
    last = started
    follower = Follower()

    def watch(tally: Tally) -> None:
        nonlocal last
        now = time.monotonic()
        follower.update(tally, seconds=now - started)
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            click.echo(f"{name}: {follower.sentence(seconds=now - started)}", err=True)

    return watch


def not_compared(fields: Sequence[str]) -> str:
    """Return the sentence about fields that were uploaded and that the server does not return."""
    return f"Accelerate does not return these fields, so they are not compared: {', '.join(fields)}."
