"""Terminal output: reports, errors, progress."""

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
from rally_accelerate.observe.run_summary import ProgressTracker, describe_histories, format_duration, project_lines
from rally_accelerate.sync.ports import Watch

#: The exit code of a bug in the program itself.
INTERNAL_ERROR = 1

#: Without a terminal, progress is a line every so many seconds.
SECONDS_BETWEEN_LINES = 5.0

#: How many skipped items are named on the terminal; the JSON report names more.
MAX_SKIPS = 10


#: Knows the secrets of what is running; set by the commands before they print anything.
_redactors: list[Redactor] = [Redactor(())]


def set_redactor(redactor: Redactor) -> None:
    """Set the redactor for all output, because servers may echo secrets that they received."""
    _redactors.append(redactor)


def redact(text: str) -> str:
    """Return the text with secrets masked."""
    return _redactors[-1].redact(text)


def internal_error_text(error: Exception) -> str:
    """Return the message for an unexpected exception, without its text, which may contain data."""
    return (
        f"Internal error: {type(error).__name__}. Run again with --debug before the command name and report the output."
    )


def show_error(error: RallyAccelerateError) -> None:
    """Print an error with its problems and hint."""
    click.secho(redact(f"error: {error}"), fg="red", err=True)
    if isinstance(error, ConfigError):
        for problem in error.problems:
            # Few problems are often the error's own sentence.
            if str(problem) not in str(error):
                click.echo(redact(f"  - {problem}"), err=True)
    if error.hint:
        click.echo(redact(f"hint: {error.hint}"), err=True)


def show_report(report: SyncReport, *, name: str, uploaded: str = "uploaded") -> None:
    """Print the report of a sync in a few lines.

    Args:
        report: The report.
        name: The integration's name.
        uploaded: The verb for uploaded items; a dry run uses another one.
    """
    tally = report.tally
    colour = {Outcome.COMPLETE: "green", Outcome.PARTIAL: "yellow", Outcome.FAILED: "red"}[report.outcome]
    click.secho(f"{name}: {report.outcome.value}", fg=colour, bold=True, nl=False)
    seconds = format_duration(report.seconds) if report.seconds >= 1 else f"{report.seconds:.1f} s"
    click.echo(
        f" in {seconds}: {tally.read:,} read, "
        f"{tally.uploaded:,} {uploaded}, {tally.unchanged:,} unchanged, {tally.skipped:,} skipped; "
        f"requests: {report.rally.requests:,} to Rally, {report.accelerate.requests:,} to Accelerate"
        + (f", {retries:,} retries" if (retries := report.rally.retries + report.accelerate.retries) else "")
    )
    if history_text := describe_histories(tally):
        click.echo(f"  histories: {history_text}")
    for line in project_lines(report.projects, uploaded=uploaded):
        click.echo(redact(f"  {line}"))
    if report.empty:
        click.secho(f"  {redact(report.empty)}", fg="yellow")
    if tally.removed:
        click.echo(f"  marked as removed: {tally.removed:,}")
    for notice in report.notices:
        click.echo(redact(f"  note: {notice}"))
    for skip in report.skipped[:MAX_SKIPS]:
        click.secho(redact(f"  skipped {skip.key}: {skip.reason}"), fg="yellow")
    if tally.skipped > MAX_SKIPS:
        click.secho(f"  and {tally.skipped - MAX_SKIPS:,} more; add --json to list them", fg="yellow")
    if report.failure is not None:
        show_error(report.failure)


@contextmanager
def progress(name: str, *, quiet: bool = False) -> Iterator[Watch]:
    """Show progress on the error stream: a bar on a terminal, otherwise a line every few seconds.

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
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task: TaskID = display.add_task(name, total=None, said="connecting to Rally")
        follower = ProgressTracker()

        def watch(tally: Tally) -> None:
            seconds = time.monotonic() - started
            follower.update(tally, seconds=seconds)
            share = follower.measure(seconds=seconds).share
            text = follower.sentence(seconds=seconds)
            display.update(task, total=None if share is None else 1.0, completed=share or 0.0, said=text)

        yield watch


def _lines(name: str) -> Watch:
    started = time.monotonic()
    last = started
    follower = ProgressTracker()

    def watch(tally: Tally) -> None:
        nonlocal last
        now = time.monotonic()
        follower.update(tally, seconds=now - started)
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            click.echo(f"{name}: {follower.sentence(seconds=now - started)}", err=True)

    return watch


def uncompared_fields_text(fields: Sequence[str]) -> str:
    """Return the sentence about fields that were uploaded and that the server does not return."""
    return f"Accelerate does not return these fields, so they are not compared: {', '.join(fields)}."
