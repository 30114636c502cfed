"""The log of a run that goes on: lines are taken without waiting, and stored some at a time."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from rally_accelerate.config.redact import Redactor
from rally_accelerate.errors import StoreError
from rally_accelerate.host import current
from rally_accelerate.host.store.lines import Line, Lines

#: How long a line waits at most to be stored with others.
SECONDS = 1.0

#: So many lines of one run are kept; behind that, warnings and worse only, and of those as many again.
MOST_LINES = 20_000

TOO_MANY = "More lines than are kept follow: only warnings and errors are told from here on."


class RunLog(logging.Handler):
    """Takes the lines of one run.

    Args:
        lines: Where they are stored.
        execution_id: The run.
        redactor: Knows its secrets.
    """

    def __init__(self, lines: Lines, execution_id: str, redactor: Redactor) -> None:
        super().__init__()
        self._lines = lines
        self._execution = execution_id
        self._redactor = redactor
        self._waiting: list[Line] = []
        self._taken = 0
        self._stored = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Take the line if it belongs to this run."""
        if current.execution.get() == self._execution:
            self.tell(record.levelno, self.format(record))

    def tell(self, level: int, text: str) -> None:
        """Take a line."""
        if self._taken >= (2 if level >= logging.WARNING else 1) * MOST_LINES:
            return
        self._taken += 1
        now, name = datetime.now(UTC), logging.getLevelName(level)
        self._waiting.append(Line(now, name, self._redactor.redact(text)))
        if self._taken == MOST_LINES:
            self._waiting.append(Line(now, "WARNING", TOO_MANY))

    async def store(self) -> None:
        """Store what was taken since the last time; what cannot be stored now waits for the next time."""
        fresh, self._waiting = self._waiting, []
        if not fresh:
            return
        try:
            await self._lines.append(self._execution, fresh, after=self._stored)
        except StoreError:
            # A full disk is told by the run itself, which has to store more than its log.
            self._waiting = [*fresh, *self._waiting]
        else:
            self._stored += len(fresh)

    async def keep_storing(self, ended: asyncio.Event) -> None:
        """Store until the run has ended, and its last words then."""
        last = False
        while not last:
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), SECONDS)
            # Asked before: what is taken while storing is stored in another turn.
            last = ended.is_set()
            await self.store()


@asynccontextmanager
async def recorded(lines: Lines, execution_id: str, redactor: Redactor, *, level: int) -> AsyncIterator[RunLog]:
    """Keep the log lines of one run, without secrets, for as long as the context lasts.

    Args:
        lines: Where they are stored.
        execution_id: The run.
        redactor: Knows its secrets.
        level: From which level on.
    """
    run_log = RunLog(lines, execution_id, redactor)
    run_log.setLevel(level)
    root = logging.getLogger("rally_accelerate")
    if root.level == logging.NOTSET or root.level > min(level, logging.INFO):
        # The process may log less than a run keeps.
        root.setLevel(min(level, logging.INFO))
    token = current.execution.set(execution_id)
    root.addHandler(run_log)
    ended = asyncio.Event()
    storing = asyncio.create_task(run_log.keep_storing(ended))
    try:
        yield run_log
    finally:
        root.removeHandler(run_log)
        current.execution.reset(token)
        ended.set()
        # Shielded: also the last words of a run that is stopped.
        await asyncio.shield(storing)
