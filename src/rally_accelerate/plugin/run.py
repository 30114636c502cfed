"""One run of the event, from the two arguments to the exit code."""

import asyncio
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Collection, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rally_accelerate import __version__
from rally_accelerate.accelerate.integration_state import Platform, Recalled
from rally_accelerate.config.load import Loaded
from rally_accelerate.config.model import Properties
from rally_accelerate.config.redaction import list_secrets
from rally_accelerate.errors import ConfigError, RallyAccelerateError, RejectedError
from rally_accelerate.model.progress import Progress, Window
from rally_accelerate.model.report import Outcome, SyncReport, Tally
from rally_accelerate.observe.run_summary import ProgressTracker, describe_histories, format_duration, project_lines
from rally_accelerate.plugin import arguments, log_output, platform_state
from rally_accelerate.plugin.protocol import DONE, EVENT, FAILED, STOPPED
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.transport import connection_notices
from rally_accelerate.sync import side_jobs
from rally_accelerate.sync.engine import Plans, sync_once
from rally_accelerate.sync.plan import former_projects
from rally_accelerate.sync.ports import Watch
from rally_accelerate.sync.removals import project_keys, removal_settings
from rally_accelerate.sync.wiring import Links, Target, connect, load_rules

log = logging.getLogger(__name__)

#: The key of encrypted arguments lies here (accelerate-api-notes.md#encrypted-arguments).
KEY_FILE = Path("encryptKey")

#: How long a failed run waits for the server to store its progress.
FAILED_KEEP_SECONDS = 5.0

NAMES_NOT_STORED = (
    "The names of projects, tags and people exceed the storage limit of the server. After a rename in Rally, an issue "
    "gets the new name when its work item changes, or with a resync."
)

#: A run that is told to end has two seconds: so long it may try to have its progress kept.
LAST_WORDS_SECONDS = 1.2

#: Then the process ends, finished or not.
LAST_SECONDS = 1.6

#: A line about how far a run is, every so often.
SECONDS_BETWEEN_LINES = 5.0


def run_event(process: str, velocity: str) -> int:
    """Run the event and return its exit code.

    Args:
        process: ``processProps`` as handed over.
        velocity: ``velocityProps`` as handed over.
    """
    log_output.set_up("INFO", ())
    try:
        passphrase = _passphrase()
        raw = arguments.read(process, velocity, passphrase=passphrase)
        log_output.set_up(raw.level, (*raw.secrets, passphrase))
        log.info("Found decryption key file" if passphrase else "No Decryption Key Found")
        understood = arguments.validate(raw)
        log_output.set_up(raw.level, (*raw.secrets, passphrase, *list_secrets(understood.loaded.integration)))
        return asyncio.run(stoppable(_Event(understood).run()))
    except RallyAccelerateError as error:
        log_output.log_error(log, error)
        return FAILED
    except Exception as error:
        # Its traceback is for whoever sets the level to debug; the message may hold data.
        log.fatal(
            "Internal error: %s. Set the logging level to DEBUG, run again and report the log.", type(error).__name__
        )
        log.debug("traceback:", exc_info=True)
        return FAILED
    finally:
        with suppress(OSError):
            sys.stdout.flush()


def _passphrase() -> str:
    """Read the key file; empty without such a file. The file belongs to the platform and is not changed."""
    try:
        text = KEY_FILE.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the file is not text"
        raise ConfigError(f"the key file encryptKey cannot be read: {reason}") from None
    if not text:
        raise ConfigError(
            "the key file encryptKey is empty", hint="It must contain the key of the encrypted arguments."
        )
    return text


async def stoppable(work: Coroutine[Any, Any, int]) -> int:
    """Run work to its exit code; SIGTERM and SIGINT cancel it and end the process soon.

    Args:
        work: What to do; it may say some last words when it is cancelled.
    """
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    last = threading.Timer(LAST_SECONDS, _end, [task])
    last.daemon = True

    def stop(*_: object) -> None:
        # Not a handler of the loop's: those wait until a long page is mapped.
        loop.call_soon_threadsafe(task.cancel)
        if last.ident is None:
            last.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        log.warning("stopped; the next run continues where this one ended.")
        return STOPPED


def _end(task: asyncio.Task[int]) -> None:
    """End the process at once; a DNS lookup, for example, cannot be canceled."""
    if not task.done():
        log.warning("stopped early; the next run continues from the last saved progress")
    os._exit(STOPPED)


class _Event:
    """One run of the event."""

    def __init__(self, parsed: arguments.Arguments) -> None:
        self._arguments = parsed

    async def run(self) -> int:
        """Run and return the exit code."""
        parsed = self._arguments
        log.info("rally-accelerate %s, integration %s", __version__, _name(parsed.loaded))
        for notice in parsed.loaded.notices:
            log.debug("%s", notice)
        integration = parsed.loaded.integration
        address = parsed.state.api_server_url or integration.properties.accelerate_url
        target = Target(address, parsed.access_key)
        async with connect(integration, target=target, limiters=LimiterPool()) as connected:
            platform = Platform(connected.sink, integration_id=parsed.state.tracker_id, tenant_id=integration.tenant_id)
            return await self._sync(connected, platform)

    async def _sync(self, connected: Links, platform: Platform) -> int:
        recalled = await platform.recall()
        handed = Recalled(known=True, state=self._arguments.handed)
        if platform.refusal:
            log.info("The server does not return what an earlier run stored: %s", platform.refusal)
        before = platform_state.parse_state(recalled, EVENT) or platform_state.parse_state(handed, EVENT)
        now = datetime.now(UTC)
        if before is not None and before.running and abs(now - before.at) < platform_state.SILENT:
            log.info("Another run of this integration is in progress. Nothing to do.")
            return DONE
        restarts = before is not None and self._arguments.state.last_run is None
        if before is not None and restarts and before.finished:
            # Before anything can fail: the time of the last run may move although this run dies, and the next one
            # would go on from the progress of the issues that the server no longer has.
            before = await _restart(platform, before)
        scope = await connected.source.open_early()
        properties = self._arguments.loaded.integration.properties
        rules, learned = await load_rules(
            connected.source, properties, before.progress.learned if before is not None else None
        )
        if before is not None and restarts and platform_state.is_finished(before, scope):
            before = await _restart(platform, before)
        overlap = timedelta(minutes=properties.overlap_minutes)
        removal = removal_settings(properties)
        state = platform_state.PlatformState(
            platform=platform,
            event=EVENT,
            run=secrets.token_hex(6),
            clock=lambda: datetime.now(UTC),
            rules_version=rules.version,
            projects=project_keys(scope, former_projects(before.progress, scope) if before is not None else ()),
            removed_statuses=frozenset((removal.statuses or {}).values()) if removal else frozenset(),
            overlap=overlap,
            before=before,
        )
        if before is not None:
            state.begin(replace(before.progress, learned=learned), uploads_all=before.rules_version != rules.version)
        else:
            last_run = self._arguments.state.last_run
            cursor = platform_state.cursor_of(recalled, last_run)
            if cursor is not None and recalled.known and await _can_store(state):
                # Whatever ran before was another plug-in: what it left is not what this one makes of the items.
                cursor = None
            begun = platform_state.progress_at(cursor, scope, rules_version=rules.version, reads=rules.needed_data)
            state.begin(replace(begun, learned=learned))
            log.info(
                "Syncing everything from the beginning." if cursor is None else "Syncing changes since %s.",
                *([cursor] if cursor else []),
            )
        progress = state.progress
        beat = asyncio.create_task(state.beat())
        try:
            report = await sync_once(
                connected.source,
                connected.sink,
                state,
                rules,
                lambda: datetime.now(UTC),
                overlap=overlap,
                plans=_plans(properties, progress, self._arguments.state.delta_time),
                watch=_progress_logger(),
            )
        except asyncio.CancelledError:
            with suppress(RallyAccelerateError, TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await state.keep(running=False)
            raise
        finally:
            beat.cancel()
        _log_report(report, logged=connection_notices(properties))
        return await self._finish(report, state, platform, now=scope.now)

    async def _finish(
        self, report: SyncReport, state: platform_state.PlatformState, platform: Platform, *, now: datetime
    ) -> int:
        """Store what the next run needs; a server that refuses that does not make the run fail."""
        if report.failure is None:
            state.progress = await self._clear_resync(state.progress, platform, now=now)
        refusal = ""
        try:
            # After a failure the time may be used up: one short attempt, and the next run begins a little earlier.
            async with asyncio.timeout(None if report.failure is None else FAILED_KEEP_SECONDS):
                await state.keep(running=False, finished=report.failure is None)
        except RallyAccelerateError as error:
            refusal = str(error)
        except TimeoutError:
            refusal = f"no answer within {FAILED_KEEP_SECONDS:g} s"
        refusal = refusal or (platform.refusal if state.keeps is False else "")
        if refusal:
            _log_storage_refusal(refusal, state.before)
        elif state.size is platform_state.Size.BARE:
            log.info(NAMES_NOT_STORED)
        if report.failure is not None:
            return FAILED
        if report.outcome is Outcome.PARTIAL and not state.keeps and state.progress.owed:
            log.error(
                "This server does not store pending retries, so the run is reported as failed. The next run then "
                "starts from the same position."
            )
            return FAILED
        return DONE

    async def _clear_resync(self, progress: Progress, platform: Platform, *, now: datetime) -> Progress:
        """Clear the request for a resync after success only, and remember that it is done.

        See accelerate-api-notes.md#resync.
        """
        requested = self._arguments.state.delta_time
        if requested is None:
            return replace(side_jobs.mark_done(progress, side_jobs.RESYNC), resynced=None)
        progress = replace(progress, resynced=requested)
        if side_jobs.is_deferred(progress, side_jobs.RESYNC, now=now):
            return progress
        try:
            done = await platform.resync_done(EVENT)
            error: RallyAccelerateError = RejectedError(platform.refusal)
        except RallyAccelerateError as failure:
            done, error = False, failure
        if done:
            log.info("Resync completed.")
            return side_jobs.mark_done(progress, side_jobs.RESYNC)
        progress = side_jobs.defer(progress, side_jobs.RESYNC, error, now=now)
        for notice in side_jobs.deferral_notices(
            replace(progress, deferred={side_jobs.RESYNC: progress.deferred[side_jobs.RESYNC]})
        ):
            log.info("%s", notice)
        return progress


async def _restart(platform: Platform, before: platform_state.StoredState) -> platform_state.StoredState:
    """Return and store the start of a sync from the beginning.

    A finished sync and no earlier run: the server keeps the integration's state, not necessarily its issues.
    """
    log.info("The server has no record of an earlier run of this integration. Uploading everything again.")
    begun = platform_state.restart(before)
    try:
        await platform.keep(EVENT, platform_state.serialize(begun))
    except RallyAccelerateError as error:
        log.info("The server does not store the progress of this run: %s", error)
    return begun


async def _can_store(state: platform_state.PlatformState) -> bool:
    """Return whether the server stores a state; True when it fails at this moment, so that everything is read."""
    try:
        return await state.can_store()
    except RallyAccelerateError as error:
        log.info("The server does not store the progress of this run: %s", error)
        return True


def _log_storage_refusal(refusal: str, before: platform_state.StoredState | None) -> None:
    """Tell that the progress is not stored, and what that means for the next runs."""
    if before is None:
        log.info("The server does not store the progress of this run: %s", refusal)
        return
    since = platform_state.lagging_cursor(before.progress)
    what = f"what changed since {since:%Y-%m-%d %H:%M} UTC" if since else "everything"
    log.warning(
        "The server no longer stores the progress of a run: %s. Until it does, every run reads %s again. Check the "
        "server's log and its request size limit.",
        refusal.rstrip("."),
        what,
    )


def _plans(properties: Properties, progress: Progress, delta_time: datetime | None) -> Plans:
    """Return what the run does in addition to syncing changes.

    ``deltaTime`` is the initial sync date in a first run, and the wish for a resync later
    (accelerate-api-notes.md#resync).
    """
    everything = datetime.fromtimestamp(0, UTC)
    first = not progress.cursors and not progress.unfinished
    since = properties.initial_sync_date or progress.since
    again = None
    if delta_time is not None and first:
        since = delta_time if delta_time > everything else since
    elif delta_time is not None and delta_time not in (progress.since, progress.resynced):
        again = Window(delta_time if delta_time > everything else None)
    return Plans(since=since, removal=removal_settings(properties), again=again)


def _name(loaded: Loaded) -> str:
    integration = loaded.integration
    return integration.name if integration.name != integration.type else integration.id


def _progress_logger() -> Watch:
    started = last = time.monotonic()
    follower = ProgressTracker()

    def watch(tally: Tally) -> None:
        nonlocal last
        now = time.monotonic()
        follower.update(tally, seconds=now - started)
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            log.info("%s", follower.sentence(seconds=now - started))

    return watch


def _log_report(report: SyncReport, *, logged: Collection[str]) -> None:
    tally = report.tally
    for notice in report.notices:
        if notice not in logged:
            log.info("%s", notice)
    for skip in report.skipped:
        log.warning("skipped %s: %s", skip.key, skip.reason)
    if tally.skipped > len(report.skipped):
        log.warning("and %d more were skipped", tally.skipped - len(report.skipped))
    if history_text := describe_histories(tally):
        log.info("histories: %s", history_text)
    for line in project_lines(report.projects):
        log.info("%s", line)
    if tally.removed:
        log.info("marked as removed: %d", tally.removed)
    seconds = format_duration(report.seconds) if report.seconds >= 1 else f"{report.seconds:.1f} s"
    log.info(
        "%s in %s: %d read, %d uploaded, %d unchanged, %d skipped; requests: %d to Rally, %d to Accelerate",
        report.outcome.value,
        seconds,
        tally.read,
        tally.uploaded,
        tally.unchanged,
        tally.skipped,
        report.rally.requests,
        report.accelerate.requests,
    )
    if report.failure is not None:
        log_output.log_error(log, report.failure)
