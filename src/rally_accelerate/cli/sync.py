"""``rally-accelerate sync``: syncs the integrations of a file, once or on an interval."""

import asyncio
import gc
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr

from rally_accelerate.accelerate.responses import graphql_address
from rally_accelerate.cli.options import (
    Duration,
    ResyncWindow,
    accelerate_url_option,
    file_argument,
    load,
    name_option,
    redactor_of,
    require_target,
    target_of,
)
from rally_accelerate.cli.output import (
    INTERNAL_ERROR,
    internal_error_text,
    progress,
    redact,
    set_redactor,
    show_report,
    uncompared_fields_text,
)
from rally_accelerate.config.load import Loaded, get_state_folder
from rally_accelerate.config.model import Integration
from rally_accelerate.errors import ConfigError, RallyAccelerateError
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Window
from rally_accelerate.model.report import Outcome, SyncReport
from rally_accelerate.observe import logs
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.dry_run import Compared, PreviewSink, UnwrittenState, compare
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.ports import Sink, State
from rally_accelerate.sync.state import MemoryState, StateFile
from rally_accelerate.sync.wiring import Target, connect, plans_of, rules_with_cache

#: Exit codes when several integrations end differently: the one that most needs somebody.
WORST_FIRST = (INTERNAL_ERROR, 2, 3, 4, 0)

#: So many more objects than before make the interpreter look for cycles: rows by the hundred thousand are made and
#: dropped all the time, and hold none. Looking at them took a twelfth of a first sync.
OBJECTS_BETWEEN_COLLECTIONS = 1_000_000

#: How many issues a dry run shows on the terminal, and how many differences the preview of a resync.
MAX_PREVIEWED_ISSUES = 20
MAX_DIFFERENCES = 50


@click.command()
@file_argument
@name_option
@accelerate_url_option
@click.option("--once", is_flag=True, help="Run one sync and exit instead of syncing every five minutes.")
@click.option("--every", type=Duration(), default="5m", show_default=True, help="The sync interval.")
@click.option("--dry-run", is_flag=True, help="Preview the upload without sending or saving anything.")
@click.option(
    "--resync",
    type=ResyncWindow(),
    help="Upload everything (full) or all changes since a date again. With --dry-run, preview the changes.",
)
@click.option(
    "--approve-removal", is_flag=True, help="Mark items as removed even if they exceed removalCap, in this sync only."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report of each sync as one line of JSON.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="The state file, a SQLite database.  [default: sync.sqlite in the user's state folder]",
)
def sync(
    *,
    file: Path,
    name: str,
    accelerate_url: str,
    once: bool,
    every: timedelta,
    dry_run: bool,
    resync: Window | None,
    approve_removal: bool,
    as_json: bool,
    state: Path | None,
) -> int:
    """Sync the integrations in FILE to Accelerate.

    FILE is the JSON file of a value stream, or its integrations section.
    """
    properties = {"approveRemoval": True} if approve_removal else {}
    loaded = load(file, name=name, accelerate_url=accelerate_url, properties=properties)
    if not loaded:
        click.echo("All integrations in this file are disabled.", err=True)
        return 0
    logs.set_up(loaded[0].integration.logging_level, redactor=redactor_of(loaded), stream=sys.stderr)
    set_redactor(redactor_of(loaded))
    for one in loaded:
        for notice in one.notices:
            click.echo(f"{one.integration.name}: note: {notice}", err=True)
    if not dry_run:
        for one in loaded:
            require_target(one.integration)
    path = state or get_state_folder() / "sync.sqlite"
    with ExitStack() as stack:
        # A dry run leaves no trace, not even an empty state.
        file_of_states = (
            None if dry_run and not path.exists() else stack.enter_context(StateFile(path, read_only=dry_run))
        )
        debug = bool(click.get_current_context().find_root().params.get("debug"))
        runner = _Runner(loaded, file_of_states, dry_run=dry_run, again=resync, as_json=as_json, debug=debug)
        if once or dry_run or resync:
            return asyncio.run(runner.run_once())
        try:
            return asyncio.run(runner.run_forever(every))
        except KeyboardInterrupt:
            click.echo("Stopped. The next run continues where this one ended.", err=True)
            return 0


class _Runner:
    def __init__(
        self,
        loaded: Sequence[Loaded],
        states: StateFile | None,
        *,
        dry_run: bool,
        again: Window | None,
        as_json: bool,
        debug: bool,
    ) -> None:
        self._loaded = loaded
        self._states = states
        self._dry_run = dry_run
        self._again = again
        self._as_json = as_json
        self._debug = debug
        self._limiters = LimiterPool()
        self._by_hand = True

    async def run_forever(self, interval: timedelta) -> int:
        """Sync forever; a failed sync is reported, and the next one tries again."""
        self._by_hand = False
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self.run_once()
            # From start to start: a long run does not push the schedule.
            await asyncio.sleep(max(0.0, began + interval.total_seconds() - loop.time()))

    async def run_once(self) -> int:
        """Sync every integration once, in order, and return the worst exit code."""
        usual = gc.get_threshold()
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *usual[1:])
        try:
            codes = [await self._run(one.integration) for one in self._loaded]
        finally:
            # A service that waits for its next run does not grow.
            gc.set_threshold(*usual)
        return min(codes, key=WORST_FIRST.index)

    async def _run(self, integration: Integration) -> int:
        target = target_of(integration) or Target("https://dry-run.invalid", SecretStr(""))
        difference: Compared | None = None
        try:
            connecting = connect(integration, target=target, limiters=self._limiters, by_hand=self._by_hand)
            async with connecting as connected:
                if target_of(integration) is not None:
                    # Whose issues these are is part of what the state belongs to.
                    await connected.sink.open()
                state = self._state(integration, tracker_id=connected.sink.tracker_id)
                preview = PreviewSink(keep=MAX_PREVIEWED_ISSUES)
                sink: Sink = preview if self._dry_run else connected.sink
                run_state: State = UnwrittenState(state) if self._dry_run else state
                rules = await rules_with_cache(connected.source, integration.properties, run_state)
                with progress(integration.name, quiet=self._as_json) as watch:
                    report = await sync_once(
                        connected.source,
                        sink,
                        run_state,
                        rules,
                        lambda: datetime.now(UTC),
                        overlap=timedelta(minutes=integration.properties.overlap_minutes),
                        plans=plans_of(integration.properties, again=self._again),
                        watch=watch,
                    )
                if self._dry_run and self._again and report.failure is None and target_of(integration):
                    difference = await compare(connected.sink, preview.expected, complete=False)
        except RallyAccelerateError as error:
            report = SyncReport(started_at=datetime.now(UTC), seconds=0.0, failure=error)
        except Exception as error:
            # Our own fault in one integration must stop neither the others nor the service.
            if self._debug:
                raise
            click.echo(f"{integration.name}: {internal_error_text(error)}", err=True)
            return INTERNAL_ERROR
        self._print_report(
            integration, report, preview.issues if self._dry_run and report.failure is None else [], difference
        )
        return exit_code(report)

    def _state(self, integration: Integration, *, tracker_id: str) -> State:
        return MemoryState() if self._states is None else self._states.of(owner_of(integration, tracker_id=tracker_id))

    def _print_report(
        self,
        integration: Integration,
        report: SyncReport,
        previewed: Sequence[Issue],
        difference: Compared | None,
    ) -> None:
        if self._as_json:
            wouldbe = [_line(issue) for issue in previewed]
            extra: dict[str, Any] = {"dryRun": True, "wouldUpload": wouldbe} if self._dry_run else {}
            if difference is not None:
                extra["differences"] = difference.differences
                extra["notCompared"] = list(difference.unreadable)
            account = {"integration": integration.name, **report.as_dict(), **extra}
            click.echo(redact(json.dumps(account, ensure_ascii=False)))
            return
        for issue in previewed if difference is None else ():
            click.echo("  " + "  ".join(f"{value}" for value in _line(issue).values()))
        if difference is not None:
            for line in difference.differences[:MAX_DIFFERENCES]:
                click.echo(redact(f"  {line}"))
            click.echo(f"  {len(difference.differences):,} issues differ from Accelerate; the others are up to date")
            if difference.unreadable:
                click.echo(f"  {uncompared_fields_text(difference.unreadable)}")
        elif self._dry_run and report.tally.uploaded > len(previewed):
            click.echo(f"  and {report.tally.uploaded - len(previewed):,} more")
        if self._dry_run:
            show_report(report, name=f"{integration.name} (dry run, nothing was sent)", uploaded="would be uploaded")
        else:
            show_report(report, name=integration.name)


def owner_of(integration: Integration, *, tracker_id: str) -> str:
    """Return the key of a stored state: the integration, its Rally server and its upload target."""
    properties = integration.properties
    # One server has many spellings.
    address = graphql_address(properties.accelerate_url) if properties.accelerate_url else ""
    where_to = f"{address} {tracker_id}"
    return f"{integration.tenant_id} {integration.name} from {properties.base_url} to {where_to}"


def exit_code(report: SyncReport) -> int:
    """Return the exit code of a sync: 0 complete, 2 invalid settings, 3 refused or unreachable, 4 partial."""
    match report.outcome:
        case Outcome.COMPLETE:
            return 0
        case Outcome.PARTIAL:
            return 4
        case Outcome.FAILED:
            return 2 if isinstance(report.failure, ConfigError) else 3


def _line(issue: Issue) -> dict[str, str]:
    return {"id": issue.display_id, "type": issue.type, "status": issue.status, "name": issue.name}
