"""One run of one integration, recorded as an execution with its log."""

import asyncio
import contextvars
import json
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx2
from pydantic import SecretStr

from rally_accelerate.config.load import validated
from rally_accelerate.config.model import Integration
from rally_accelerate.config.redact import RedactingFormatter, Redactor, secrets_of
from rally_accelerate.errors import NotFound, RallyAccelerateError
from rally_accelerate.host.originals import HostOriginals
from rally_accelerate.host.state import HostState
from rally_accelerate.host.store.executions import INTERRUPTED
from rally_accelerate.host.store.integrations import StoredIntegration
from rally_accelerate.host.store.vault import SECURE
from rally_accelerate.host.stores import Stores
from rally_accelerate.model.report import SyncReport, Tally
from rally_accelerate.observe.logs import LEVELS
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.sync.engine import sync_once
from rally_accelerate.sync.learning import rules_for
from rally_accelerate.sync.ports import Watch
from rally_accelerate.sync.wiring import Target, links, plans_of

log = logging.getLogger(__name__)

#: The address of the host inside its own process: no socket is opened for it.
INSIDE = "http://host.invalid"

#: How many lines of a run's log are kept.
LINES_KEPT = 5000

#: Which run a log line belongs to: several go on in one process.
_current: contextvars.ContextVar[str] = contextvars.ContextVar("execution", default="")


class Runs:
    """Runs integrations, each at most once at a time, through the host's own GraphQL endpoint.

    Args:
        stores: Where integrations are read and executions recorded.
        inside_key: The endpoint's key for the host's own runs.
    """

    def __init__(self, stores: Stores, *, inside_key: str) -> None:
        self._stores = stores
        self._inside_key = SecretStr(inside_key)
        self._limiters = LimiterPool()
        self._locks: dict[str, asyncio.Lock] = {}
        self._tallies: dict[str, Tally] = {}
        #: Set by the application once it exists: uploads take the same path as everybody's.
        self.transport: httpx2.AsyncBaseTransport | None = None

    def tally(self, integration_id: str) -> Tally | None:
        """The counts of a run that goes on, or None."""
        return self._tallies.get(integration_id)

    async def run(self, integration_id: str, *, watch: Watch | None = None) -> SyncReport:
        """Run an integration to its end; waits while a run of it goes on.

        Raises:
            NotFound: There is no such integration.
        """
        async with self._locks.setdefault(integration_id, asyncio.Lock()):
            stored = await self._stores.integrations.by_id(integration_id)
            if stored is None:
                raise NotFound(f"there is no integration {integration_id}")
            execution = await self._stores.executions.begin(integration_id, job_name="syncRallyDataEvent")
            report, outcome, text = None, INTERRUPTED, ""
            self._tallies[integration_id] = Tally()
            try:
                integration = validated(stored.raw)
                with _recorded(execution, integration) as lines:
                    try:
                        report = await self._sync(integration, watch)
                        outcome = report.outcome.value
                        _tell(report)
                    except Exception:
                        outcome = "failed"
                        log.error("A fault in rally-accelerate itself; its details are in the log of the process.")  # noqa: TRY400 - the run's log is shown to people
                        raise
                    finally:
                        text = "\n".join(lines)
            except RallyAccelerateError as error:
                report = SyncReport(started_at=datetime.now(UTC), seconds=0.0, failure=error)
                outcome, text = report.outcome.value, f"{error} {error.hint}"
            finally:
                self._tallies.pop(integration_id, None)
                # Shielded: also a cancelled run is recorded.
                redactor = Redactor(_all_secrets(stored))
                account = json.loads(redactor.redact(json.dumps(report.as_dict()))) if report else {}
                text = redactor.redact(text)
                await asyncio.shield(self._stores.executions.end(execution, outcome=outcome, report=account, log=text))
            return report

    async def _sync(self, integration: Integration, watch: Watch | None) -> SyncReport:
        def counted(tally: Tally) -> None:
            self._tallies[integration.id] = tally
            if watch is not None:
                watch(tally)

        target = Target(INSIDE, self._inside_key, transport=self.transport)
        state = HostState(self._stores.database, integration.id)
        overlap = timedelta(minutes=integration.properties.overlap_minutes)
        async with links(integration, target=target, limiters=self._limiters) as connected:
            return await sync_once(
                connected.source,
                connected.sink,
                state,
                await rules_for(connected.source, integration.properties, state),
                lambda: datetime.now(UTC),
                overlap=overlap,
                plans=plans_of(integration.properties),
                originals=HostOriginals(self._stores.database, integration.id),
                watch=counted,
            )


def _all_secrets(stored: StoredIntegration) -> list[str]:
    """Every secret, also of settings that do not validate: what a server echoes must not be shown either."""
    try:
        return secrets_of(validated(stored.raw))
    except RallyAccelerateError:
        return [str(value) for name, value in stored.properties.items() if name in SECURE and value]


def _tell(report: SyncReport) -> None:
    for notice in report.notices:
        log.info("%s", notice)
    for skip in report.skipped:
        log.warning("skipped %s: %s", skip.key, skip.reason)
    if report.failure is not None:
        log.error("%s %s", report.failure, report.failure.hint)
    tally = report.tally
    log.info(
        "%s: %d read, %d uploaded, %d unchanged, %d skipped",
        report.outcome.value,
        tally.read,
        tally.uploaded,
        tally.unchanged,
        tally.skipped,
    )


@contextmanager
def _recorded(execution: str, integration: Integration) -> Iterator[deque[str]]:
    """Keep the log lines of one run, without secrets."""
    lines: deque[str] = deque(maxlen=LINES_KEPT)
    handler = _LineHandler(execution, lines)
    redactor = Redactor(secrets_of(integration))
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)-7s %(message)s", redactor=redactor))
    handler.setLevel(LEVELS[integration.logging_level])
    root = logging.getLogger("rally_accelerate")
    if root.level == logging.NOTSET or root.level > logging.INFO:
        # The process may log less than a run keeps.
        root.setLevel(logging.INFO)
    token = _current.set(execution)
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        _current.reset(token)


class _LineHandler(logging.Handler):
    def __init__(self, execution: str, lines: deque[str]) -> None:
        super().__init__()
        self._execution = execution
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line if it belongs to this run."""
        if _current.get() == self._execution:
            self._lines.append(self.format(record))
