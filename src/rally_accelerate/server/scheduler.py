"""The scheduler, which runs each enabled integration at an interval."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from rally_accelerate.config.redaction import Redactor, redacting
from rally_accelerate.errors import ConfigError, NotFoundError, RallyAccelerateError, StoreError
from rally_accelerate.model.report import SyncReport
from rally_accelerate.observe.logs import log_context
from rally_accelerate.server.runner import Runner
from rally_accelerate.server.store import issue_writer
from rally_accelerate.server.store.encryption import list_secret_values
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.sync.ports import Watch

log = logging.getLogger(__name__)

#: How often the list of integrations is looked at.
POLL_SECONDS = 1.0

#: How often removals of issues that failed part way are gone on with.
RETRY_SECONDS = 60.0

#: So many runs the schedule has going at once: fifty that are due together, as after a start, would take the memory of
#: fifty and all end late. What people ask for begins at once.
MAX_CONCURRENT_RUNS = 8

#: A run that takes longer, as first ones do, holds up no one any more: otherwise eight of them could for hours.
LONG_RUN_SECONDS = 120.0


class Scheduler:
    """Starts runs when they are due or requested."""

    def __init__(self, stores: Stores, runs: Runner, *, interval: timedelta) -> None:
        self._stores = stores
        self._runner = runs
        #: Time from one run to the next.
        self.interval = interval
        #: When each is due, and when its run began, by a clock that no one sets.
        self._due: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[SyncReport | None]] = {}
        #: Runs that a user waits for; they take turns with those of the schedule.
        self._awaited: dict[str, set[asyncio.Task[SyncReport]]] = {}
        #: Integrations that this process does not run, whatever asks for it.
        self._excluded: frozenset[str] = frozenset()
        self._loop: asyncio.Task[None] | None = None
        self._retrying: asyncio.Task[None] | None = None

    def exclude(self, integration_ids: Iterable[str]) -> None:
        """Never run these integrations in this process; what is stored about them stays as it is."""
        self._excluded = frozenset(integration_ids)

    def is_excluded(self, integration_id: str) -> bool:
        """Return whether this process never runs an integration."""
        return integration_id in self._excluded

    def start(self) -> None:
        """Begin; the first runs are due at once, unless an integration has just been run."""
        if self._loop is None:
            self._loop = asyncio.create_task(self._run_loop())
            self._retrying = asyncio.create_task(self._finish_removals())

    async def close(self) -> None:
        """Stop the schedule and every run; each leaves a state from which the next one continues."""
        own = [task for task in (self._loop, self._retrying) if task is not None]
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)
        await asyncio.gather(*(self.stop(integration_id) for integration_id in {*self._tasks, *self._awaited}))

    def is_running(self, integration_id: str) -> bool:
        """Return whether a run of this integration is active."""
        return self._runner.get_active_run(integration_id) is not None

    def compute_next_run(self, integration_id: str) -> datetime | None:
        """Return when the next run is due, if that is known; what is due already waits for its turn."""
        if self._loop is None or integration_id in self._excluded:
            return None
        wait = self._due.get(integration_id, -math.inf) - time.monotonic()
        return datetime.now(UTC) + timedelta(seconds=max(0.0, wait))

    def start_run(self, integration_id: str) -> None:
        """Start a run now; one that continues is enough, and what is disabled never runs."""
        task = self._tasks.get(integration_id)
        if (task is None or task.done()) and integration_id not in self._excluded:
            self._started[integration_id] = time.monotonic()
            self.postpone(integration_id)
            self._tasks[integration_id] = asyncio.create_task(self._run(integration_id))

    def make_due(self, integration_id: str) -> None:
        """Make an integration due at the next poll."""
        self._due.pop(integration_id, None)

    def postpone(self, integration_id: str) -> None:
        """Postpone the next scheduled run by one interval."""
        self._due[integration_id] = time.monotonic() + self.interval.total_seconds()

    def forget(self, integration_id: str) -> None:
        """Drop the state of a removed integration; a run that just started does so itself."""
        task = self._tasks.get(integration_id)
        if task is None or task.done() or task is asyncio.current_task():
            for item in (self._due, self._started, self._tasks):
                item.pop(integration_id, None)

    async def run_now(self, integration_id: str, *, watch: Watch | None = None) -> SyncReport:
        """Run an integration and wait for its report.

        Raises:
            ConfigError: This process does not run it.
        """
        if integration_id in self._excluded:
            raise ConfigError("the server was started with --without for this integration, so it does not run")
        self.postpone(integration_id)
        task = asyncio.create_task(self._runner.run(integration_id, watch=watch))
        awaited = self._awaited.setdefault(integration_id, set())
        awaited.add(task)
        try:
            return await task
        except NotFoundError:
            self.forget(integration_id)
            raise
        finally:
            awaited.discard(task)
            if not awaited and self._awaited.get(integration_id) is awaited:
                del self._awaited[integration_id]

    async def stop(self, integration_id: str) -> None:
        """Stop every active or waiting run of an integration."""
        scheduled = self._tasks.pop(integration_id, None)
        tasks = [*self._awaited.get(integration_id, ()), *([scheduled] if scheduled else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def pause(self, integration_id: str) -> AsyncIterator[None]:
        """Stop every run of an integration, and let none begin for as long as the context lasts."""
        await self.stop(integration_id)
        async with self._runner.get_lock(integration_id):
            yield

    async def _run_loop(self) -> None:
        messages = ""
        while True:
            try:
                await self._start_due_runs()
                messages = ""
            except Exception as error:
                # A look that fails (a full disk, a lost key file) must not be the last one; told once, not each second.
                if str(error) != messages:
                    log.error("the schedule cannot see what is due: %s", error, exc_info=_keep_unexpected(error))  # noqa: TRY400 - what is known needs no traceback
                messages = str(error)
            await asyncio.sleep(POLL_SECONDS)

    async def _finish_removals(self) -> None:
        """Retry removals that were interrupted by a full disk or another program's lock."""
        messages = ""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                for tracker_id in await issue_writer.list_unfinished_removals(self._stores.database):
                    await issue_writer.finish_removal(self._stores.database, tracker_id)
                messages = ""
            except Exception as error:
                if str(error) != messages:
                    log.error(  # noqa: TRY400 - expected errors need no traceback
                        "issues that are to be removed are still there: %s", error, exc_info=_keep_unexpected(error)
                    )
                messages = str(error)

    async def _start_due_runs(self) -> None:
        # Here, as what was switched off has no next run. What still cannot be written was told when the run ended.
        with suppress(StoreError):
            await self._stores.executions.write_pending_ends()
        enabled = [
            item.id
            for item in await self._stores.integrations.all()
            if not item.disabled and item.id not in self._excluded
        ]
        now = time.monotonic()
        going = [item for item, task in self._tasks.items() if not task.done()]
        free = MAX_CONCURRENT_RUNS - sum(now - self._started[item] < LONG_RUN_SECONDS for item in going)
        waiting = {item: since for item in enabled if (since := self._due.get(item, -math.inf)) <= now}
        # The caller that has waited longest comes first; what continues still is due again when it ends.
        for item in sorted(waiting.keys() - set(going), key=waiting.__getitem__)[: max(0, free)]:
            self.start_run(item)

    async def _run(self, integration_id: str) -> SyncReport | None:
        secrets, name = list[str](), ""
        try:
            stored = await self._stores.integrations.by_id(integration_id)
            if stored is None:
                # Removed just as it was due.
                self.forget(integration_id)
            if stored is None or stored.disabled:
                return None
            secrets, name = list_secret_values(stored.properties), stored.name
            return await self._runner.run(integration_id)
        except NotFoundError:
            # Removed while it waited its turn.
            self.forget(integration_id)
        except RallyAccelerateError as error:
            with redacting(Redactor(secrets)), log_context(name):
                log.warning("%s", error)
        except Exception:
            # One integration's fault must not stop the others; it is recorded in its execution, too.
            with redacting(Redactor(secrets)), log_context(name):
                log.exception("a run failed by a fault of the program itself")
        return None


def _keep_unexpected(error: Exception) -> Exception | None:
    """Return an unexpected error, whose traceback is useful; None for expected errors."""
    return None if isinstance(error, RallyAccelerateError) else error
