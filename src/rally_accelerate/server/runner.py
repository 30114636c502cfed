"""Runs of integrations, each recorded as an execution with its log."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

import httpx2
from pydantic import SecretStr

from rally_accelerate import __version__
from rally_accelerate.config.load import validate_integration
from rally_accelerate.config.model import EVENT, Integration
from rally_accelerate.config.redaction import Redactor, redacting
from rally_accelerate.errors import ConfigError, NotFoundError, RallyAccelerateError, StoreError
from rally_accelerate.model.progress import Window
from rally_accelerate.model.report import RetriedFailures, SyncReport, Tally, track_failures
from rally_accelerate.observe.logs import LEVELS, log_context
from rally_accelerate.observe.run_summary import (
    ProgressTracker,
    describe_histories,
    describe_retry,
    progress_of,
    project_lines,
)
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.server import runtime
from rally_accelerate.server.store.encryption import list_secret_values
from rally_accelerate.server.store.executions import INTERRUPTED, ExecutionLogs, LogLine
from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.sync_state import ServerOriginals, ServerState
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.ports import Watch
from rally_accelerate.sync.wiring import Target, connect, plans_of, rules_with_cache

#: The end of the year 9999 in epoch milliseconds: no calendar shows later ones.
LATEST_MS = 253_402_300_799_999

#: What a plug-in writes over a date when it has done what it asked for.
NO_RESYNC = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What is requested of the next run."""

    #: Upload everything in this window again.
    resync_window: Window | None = None
    #: Mark items as removed, however many they are.
    approve_removal: bool = False

    def __bool__(self) -> bool:
        return self.resync_window is not None or self.approve_removal


def read_run_request(event_states: Mapping[str, Any]) -> RunRequest:
    """Return what an integration's event states request of the next run."""
    state = event_states.get(EVENT) or {}
    since = state.get("deltaTime")
    again = None
    if isinstance(since, int | float) and 0 <= since <= LATEST_MS:
        again = Window(datetime.fromtimestamp(since / 1000, UTC) if since else None)
    return RunRequest(resync_window=again, approve_removal=bool(state.get("approveRemoval")))


def add_resync_request(event_states: Mapping[str, Any], since: datetime | None) -> dict[str, Any]:
    """Return the event states with a requested resync since an instant; None means a full resync."""
    return _update_event_state(event_states, deltaTime=0 if since is None else max(1, round(since.timestamp() * 1000)))


def add_removal_approval(event_states: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event states with the approval of withheld removals."""
    return _update_event_state(event_states, approveRemoval=True)


def clear_run_request(event_states: Mapping[str, Any], done: RunRequest) -> dict[str, Any]:
    """Return the event states without the requests that a run completed; keep newer ones."""
    now = read_run_request(event_states)
    changes: dict[str, Any] = {}
    if done.resync_window is not None and now.resync_window == done.resync_window:
        changes["deltaTime"] = NO_RESYNC
    if done.approve_removal:
        changes["approveRemoval"] = False
    return _update_event_state(event_states, **changes)


def _update_event_state(event_states: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    states = {name: dict(state) for name, state in event_states.items()}
    return {**states, EVENT: {**states.get(EVENT, {}), **changes}}


#: How long a line waits at most to be stored with others.
FLUSH_SECONDS = 1.0

#: So many lines of one run are kept; behind that, warnings and worse only, and of those as many again.
MAX_LINES = 20_000

LINES_DROPPED = "More lines than are kept follow: only warnings and errors are told from here on."


class RunLogHandler(logging.Handler):
    """Takes the lines of one run.

    Args:
        lines: Where they are stored.
        execution_id: The run.
        redactor: Knows its secrets.
    """

    def __init__(self, lines: ExecutionLogs, execution_id: str, redactor: Redactor) -> None:
        super().__init__()
        self._lines = lines
        self._execution = execution_id
        self._redactor = redactor
        self._pending: list[LogLine] = []
        self._line_count = 0
        self._stored_count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Take the line if it belongs to this run."""
        if runtime.current_execution_id.get() == self._execution:
            self.add_line(record.levelno, self.format(record))

    def add_line(self, level: int, text: str) -> None:
        """Take a line."""
        if self._line_count >= (2 if level >= logging.WARNING else 1) * MAX_LINES:
            return
        self._line_count += 1
        now, name = datetime.now(UTC), logging.getLevelName(level)
        self._pending.append(LogLine(now, name, self._redactor.redact(text)))
        if self._line_count == MAX_LINES:
            self._pending.append(LogLine(now, "WARNING", LINES_DROPPED))

    async def store(self) -> None:
        """Store the pending lines; if that fails, keep them for the next time."""
        fresh, self._pending = self._pending, []
        if not fresh:
            return
        try:
            await self._lines.append(self._execution, fresh, after=self._stored_count)
        except StoreError:
            # The run itself reports a full disk, because it stores more than its log.
            self._pending = [*fresh, *self._pending]
        else:
            self._stored_count += len(fresh)

    async def store_until(self, ended: asyncio.Event) -> None:
        """Store pending lines until the run has ended, then the last ones."""
        last = False
        while not last:
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), FLUSH_SECONDS)
            # Asked before: what is taken while storing is stored in another turn.
            last = ended.is_set()
            await self.store()


@asynccontextmanager
async def record_log(
    lines: ExecutionLogs, execution_id: str, redactor: Redactor, *, level: int
) -> AsyncIterator[RunLogHandler]:
    """Store the log lines of one run, without secrets, for as long as the context lasts.

    Args:
        lines: Where they are stored.
        execution_id: The run.
        redactor: Knows its secrets.
        level: From which level on.
    """
    run_log = RunLogHandler(lines, execution_id, redactor)
    run_log.setLevel(level)
    root = logging.getLogger("rally_accelerate")
    if root.level == logging.NOTSET or root.level > min(level, logging.INFO):
        # The process may log less than a run keeps.
        root.setLevel(min(level, logging.INFO))
    token = runtime.current_execution_id.set(execution_id)
    root.addHandler(run_log)
    ended = asyncio.Event()
    storing = asyncio.create_task(run_log.store_until(ended))
    try:
        yield run_log
    finally:
        root.removeHandler(run_log)
        runtime.current_execution_id.reset(token)
        ended.set()
        # Shielded: also the last words of a run that is stopped.
        await asyncio.shield(storing)


log = logging.getLogger(__name__)

#: The address of the server inside its own process: no socket is opened for it.
INTERNAL_URL = "http://host.invalid"


#: A long run says in its log how far it has come.
PROGRESS_LOG_SECONDS = 15.0


@dataclass(slots=True)
class ActiveRun:
    """A run in progress."""

    execution_id: str
    follower: ProgressTracker = field(default_factory=ProgressTracker)
    started: float = field(default_factory=time.monotonic)
    #: After how many seconds its log told how far it was.
    logged_at: float = 0.0
    #: What it tries again, without its secrets.
    troubles: RetriedFailures = field(default_factory=RetriedFailures)
    redactor: Redactor = field(default_factory=lambda: Redactor(()))

    @property
    def trouble(self) -> str:
        """In words, what it is trying again and why; empty while all goes well."""
        worst = self.troubles.worst
        return self.redactor.redact(describe_retry(worst)) if worst else ""

    @property
    def seconds(self) -> float:
        """For how long."""
        return time.monotonic() - self.started

    def describe_progress(self) -> dict[str, Any]:
        """Return how far it is, for pages and their JSON."""
        seconds = self.seconds
        measure = self.follower.measure(seconds=seconds)
        return {
            "text": self.follower.sentence(seconds=seconds),
            **progress_of(measure),
            "trouble": self.trouble,
        }


class Runner:
    """Runs integrations, each at most once at a time, through the server's own GraphQL endpoint.

    Args:
        stores: Where integrations are read and executions recorded.
        inside_key: The endpoint's key for the server's own runs.
    """

    def __init__(self, stores: Stores, *, inside_key: str) -> None:
        self._stores = stores
        self._inside_key = SecretStr(inside_key)
        #: Shared by everything in this server that asks Rally.
        self.limiters = LimiterPool()
        #: Each is there for as long as a user holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._active_runs: dict[str, ActiveRun] = {}
        #: Set by the application once it exists: uploads take the same path as everybody's.
        self.transport: httpx2.AsyncBaseTransport | None = None

    @property
    def target(self) -> Target:
        """This server, as its own runs reach it."""
        return Target(INTERNAL_URL, self._inside_key, transport=self.transport)

    def get_active_run(self, integration_id: str) -> ActiveRun | None:
        """Return the active run of an integration, or None."""
        return self._active_runs.get(integration_id)

    def get_lock(self, integration_id: str) -> asyncio.Lock:
        """Return the lock that excludes runs of an integration."""
        return self._locks.setdefault(integration_id, asyncio.Lock())

    async def run(self, integration_id: str, *, watch: Watch | None = None) -> SyncReport:
        """Run an integration to its end, after any active run of it.

        Raises:
            NotFoundError: There is no such integration.
        """
        async with self.get_lock(integration_id):
            stored = await self._stores.integrations.by_id(integration_id)
            if stored is None:
                raise NotFoundError(f"there is no integration {integration_id}")
            execution = await self._stores.executions.start(integration_id, job_name=EVENT)
            report, outcome = None, INTERRUPTED
            redactor = Redactor(list_secret_values(stored.properties))
            running = self._active_runs[integration_id] = ActiveRun(execution, redactor=redactor)
            level = LEVELS[stored.logging_level]
            try:
                async with record_log(self._stores.lines, execution, redactor, level=level):
                    # The log of the process, too, tells what happens here, and was set up before this was known.
                    with redacting(redactor), log_context(stored.name), track_failures() as running.troubles:
                        report = await self._run_and_report(stored, running, watch)
                outcome = report.outcome.value
            except Exception:
                outcome = "failed"
                raise
            finally:
                self._active_runs.pop(integration_id, None)
                runtime.release_memory()
                account = redactor.redact_values(report.as_dict()) if report else {}
                # Shielded: also a cancelled run is recorded.
                await asyncio.shield(self._stores.executions.finish(execution, outcome=outcome, report=account))
            return report

    async def _run_and_report(self, stored: StoredIntegration, running: ActiveRun, watch: Watch | None) -> SyncReport:
        """Run and write everything that happens to the run's log."""
        run_request = read_run_request(stored.event_states)
        log.info("begins, by rally-accelerate %s", __version__)
        try:
            report = await self._sync(validate_integration(stored.raw), running, run_request, watch)
        except RallyAccelerateError as error:
            report = SyncReport(started_at=datetime.now(UTC), seconds=running.seconds, failure=error)
        except asyncio.CancelledError:
            log.warning("stopped; the next run goes on where this one ended")
            raise
        except Exception:
            log.error("A fault in rally-accelerate itself; its details are in the log of the process.")  # noqa: TRY400 - the run's log is shown to people
            raise
        _log_report(report)
        if run_request and report.failure is None:
            await self._clear_run_request(stored.id, run_request)
        return report

    async def _sync(
        self, integration: Integration, running: ActiveRun, run_request: RunRequest, watch: Watch | None
    ) -> SyncReport:
        def report_progress(tally: Tally) -> None:
            running.follower.update(tally, seconds=running.seconds)
            if running.seconds - running.logged_at >= PROGRESS_LOG_SECONDS:
                running.logged_at = running.seconds
                log.info("%s", running.follower.sentence(seconds=running.seconds))
            if watch is not None:
                watch(tally)

        properties = integration.properties
        if run_request.approve_removal:
            properties = properties.model_copy(update={"approve_removal": True})
        if run_request.resync_window is not None:
            since = run_request.resync_window.since
            what = "everything" if since is None else f"what changed since {since:%Y-%m-%d %H:%M}"
            log.info("resync: %s is sent again", what)
        state = ServerState(self._stores.database, integration.id)
        async with connect(integration, target=self.target, limiters=self.limiters) as connected:
            return await sync_once(
                connected.source,
                connected.sink,
                state,
                await rules_with_cache(connected.source, properties, state),
                lambda: datetime.now(UTC),
                overlap=timedelta(minutes=properties.overlap_minutes),
                plans=plans_of(properties, again=run_request.resync_window),
                originals=ServerOriginals(self._stores.database, integration.id),
                watch=report_progress,
            )

    async def _clear_run_request(self, integration_id: str, run_request: RunRequest) -> None:
        # In one step, as a user may request something else now. A removed integration has no requests.
        with suppress(NotFoundError):
            await self._stores.integrations.rewrite(
                integration_id, lambda now: {"event_states": clear_run_request(now.event_states, run_request)}
            )


def _log_report(report: SyncReport) -> None:
    for notice in report.notices:
        log.info("%s", notice)
    if report.empty:
        log.warning("%s", report.empty)
    for skip in report.skipped:
        log.warning("skipped %s: %s", skip.key, skip.reason)
    if report.failure is not None:
        hint = report.failure.hint
        log.error("%s", f"{str(report.failure).removesuffix('.')}. {hint}" if hint else report.failure)
        for problem in report.failure.problems if isinstance(report.failure, ConfigError) else ():
            log.error("%s", problem)
    tally = report.tally
    if message := describe_histories(tally):
        log.info("histories: %s", message)
    for line in project_lines(report.projects):
        log.info("%s", line)
    log.info(
        "%s: %d read, %d uploaded, %d unchanged, %d skipped",
        report.outcome.value,
        tally.read,
        tally.uploaded,
        tally.unchanged,
        tally.skipped,
    )
