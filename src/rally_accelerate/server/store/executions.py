"""Executions and their logs, within the retention limits."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.errors import StoreError
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.tables import execution_lines as lines
from rally_accelerate.server.store.tables import executions, from_ms, integrations, make_id, to_ms

log = logging.getLogger(__name__)

COMPLETE = "complete"

INTERRUPTED = "interrupted"

#: How a run may have ended, in the order in which a list offers them; a run that continues has no outcome.
OUTCOMES = (COMPLETE, "partial", "failed", INTERRUPTED)

#: How a run ended that carried everything, or what it could and named the rest.
SYNCED = (COMPLETE, "partial")

RUNNING = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long runs are kept: an older one, and one too many of its integration, is let go.

    The last successful ones are always kept, to show how long the integration has not synced.
    """

    runs: int = 500
    days: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run."""

    id: str
    integration_id: str
    job_name: str
    started: datetime
    completed: datetime | None
    #: complete, partial, failed, interrupted; empty while the run continues.
    outcome: str
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """What a list of runs is restricted to; empty means everything."""

    integration_id: str = ""
    #: One of ``OUTCOMES``, or ``RUNNING``.
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


class Executions:
    """The executions of a server.

    Args:
        database: Where they are kept.
        retention: For how long.
    """

    def __init__(self, database: Database, retention: Retention | None = None) -> None:
        self._database = database
        self.retention = retention or Retention()
        #: How runs ended where that is not written yet, by their ids.
        self._pending_ends: dict[str, dict[str, Any]] = {}

    async def start(self, integration_id: str, *, job_name: str) -> str:
        """Record the start of a run; return its ID."""
        execution_id = make_id()
        now = to_ms(datetime.now(UTC))
        values = {"id": execution_id, "integration_id": integration_id, "job_name": job_name, "started": now}
        await self.write_pending_ends()
        # Of an integration, one run continues at a time: one still open was cut off before its end could be noted.
        condition = executions.c.integration_id == integration_id
        async with self._database.writing() as connection:
            await _interrupt(connection, condition, now=now)
            await _correct_future_starts(connection, integration_id, now=now)
            await connection.execute(sa.insert(executions).values(values))
        return execution_id

    async def finish(self, execution_id: str, *, outcome: str, report: Mapping[str, Any]) -> None:
        """Record the end of a run and delete old runs; ``write_pending_ends`` retries if that fails."""
        values = {"completed": to_ms(datetime.now(UTC)), "outcome": outcome, "report": dict(report)}
        self._pending_ends[execution_id] = values
        try:
            await self.write_pending_ends()
        except StoreError as error:
            # What the run did is done, and who stopped it has stopped it.
            log.warning("the end of a run is noted later: %s", error)

    async def write_pending_ends(self) -> None:
        """Write the ends of runs that could not be written before, as on a full disk.

        Raises:
            StoreError: It still cannot be written.
        """
        for execution_id, values in list(self._pending_ends.items()):
            async with self._database.writing() as connection:
                await self._write_end(connection, execution_id, values)
            self._pending_ends.pop(execution_id, None)

    async def _write_end(self, connection: AsyncConnection, execution_id: str, values: Mapping[str, Any]) -> None:
        ended = {**values, "completed": _clamp_to_start(values["completed"])}
        await connection.execute(sa.update(executions).where(executions.c.id == execution_id).values(ended))
        owner = sa.select(executions.c.integration_id).where(executions.c.id == execution_id).scalar_subquery()
        cached = (
            sa.select(executions.c.id)
            .where(executions.c.integration_id == owner)
            .order_by(executions.c.started.desc(), executions.c.id.desc())
            .limit(self.retention.runs)
        )
        too_many = (executions.c.integration_id == owner) & executions.c.id.not_in(cached)
        too_old = executions.c.started < to_ms(datetime.now(UTC) - timedelta(days=self.retention.days))
        let_go = executions.c.completed.is_not(None) & (executions.c.id != execution_id)
        lasts = _is_latest(SYNCED) | _is_latest((COMPLETE,))
        await connection.execute(sa.delete(executions).where(let_go, too_many | too_old, ~lasts))

    async def interrupt_all(self) -> None:
        """Mark runs that an earlier process left open as interrupted."""
        async with self._database.writing() as connection:
            await _interrupt(connection, sa.true(), now=to_ms(datetime.now(UTC)))

    async def list_latest(self, integration_id: str, *, limit: int = 10) -> list[Execution]:
        """Return the latest runs of an integration, newest first."""
        return await self.list_page(ExecutionFilter(integration_id=integration_id), limit=limit)

    async def find_latest(self) -> dict[str, Execution]:
        """Return the latest run of every integration, by the integration's id."""
        newest = sa.select(sa.func.max(executions.c.started)).group_by(executions.c.integration_id)
        result = await self._fetch(sa.select(executions).where(executions.c.started.in_(newest)).order_by("started"))
        return {item.integration_id: item for item in result}

    async def find_last(self, integration_id: str, outcomes: Collection[str]) -> Execution | None:
        """Return the newest run of an integration that ended in one of these ways, or None."""
        condition = (executions.c.integration_id == integration_id) & executions.c.outcome.in_(outcomes)
        query = sa.select(executions).where(condition).order_by(executions.c.started.desc(), executions.c.id.desc())
        return next(iter(await self._fetch(query.limit(1))), None)

    async def find_last_synced(self) -> dict[str, datetime]:
        """Return when the newest run of every integration ended that synced, by the integration's id."""
        one = executions.alias()
        # Asked for each integration, the index leads to it at once; all runs of all of them would be many.
        newest = (
            sa.select(one.c.id)
            .where(one.c.integration_id == integrations.c.id, one.c.outcome.in_(SYNCED))
            .order_by(one.c.started.desc(), one.c.id.desc())
            .limit(1)
            .correlate(integrations)
            .scalar_subquery()
        )
        query = sa.select(integrations.c.id, executions.c.completed)
        query = query.join_from(integrations, executions, executions.c.id == newest)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {row.id: from_ms(row.completed) for row in rows}

    async def list_page(
        self, filters: ExecutionFilter, *, after: tuple[int, str] | None = None, limit: int = 50
    ) -> list[Execution]:
        """Return runs, newest first, behind a place.

        Args:
            filters: Which ones.
            after: Start in milliseconds and id of the one before.
            limit: How many at most.
        """
        key = (executions.c.started, executions.c.id)
        query = sa.select(executions).where(*_make_conditions(filters)).order_by(*(column.desc() for column in key))
        if after is not None:
            query = query.where(sa.tuple_(*key) < after)
        return await self._fetch(query.limit(limit))

    async def count_by_integration(self) -> dict[str, int]:
        """Return how many runs are kept of each integration."""
        query = sa.select(executions.c.integration_id, sa.func.count().label("number"))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.group_by(executions.c.integration_id))).all()
        return {row.integration_id: row.number for row in rows}

    async def get(self, execution_id: str) -> Execution | None:
        """Return one run, or None."""
        return next(iter(await self._fetch(sa.select(executions).where(executions.c.id == execution_id))), None)

    async def _fetch(self, query: sa.Select[Any]) -> list[Execution]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [self._to_execution(row) for row in rows]

    def _to_execution(self, row: Any) -> Execution:
        unwritten = self._pending_ends.get(row.id, {}) if row.completed is None else {}
        completed = max(unwritten["completed"], row.started) if unwritten else row.completed
        return Execution(
            id=row.id,
            integration_id=row.integration_id,
            job_name=row.job_name,
            started=from_ms(row.started),
            completed=None if completed is None else from_ms(completed),
            outcome=unwritten.get("outcome") or row.outcome or "",
            report=unwritten.get("report") or row.report or {},
        )


async def _interrupt(connection: AsyncConnection, which: sa.ColumnElement[bool], *, now: int) -> None:
    values = {"completed": _clamp_to_start(now), "outcome": INTERRUPTED}
    await connection.execute(sa.update(executions).where(which, executions.c.completed.is_(None)).values(values))


def _is_latest(outcomes: Collection[str]) -> sa.ColumnElement[bool]:
    """Return whether a run is the newest of its integration that ended in one of these ways."""
    newer = executions.alias()
    later = sa.tuple_(newer.c.started, newer.c.id) > sa.tuple_(executions.c.started, executions.c.id)
    same = newer.c.integration_id == executions.c.integration_id
    return executions.c.outcome.in_(outcomes) & ~sa.exists().where(same, newer.c.outcome.in_(outcomes), later)


async def _correct_future_starts(connection: AsyncConnection, integration_id: str, *, now: int) -> None:
    """Correct the times of runs recorded while the clock was ahead.

    Otherwise the last of them would pass for the latest run until then, whatever came of those behind it.
    """
    condition = executions.c.integration_id == integration_id
    ahead = (await connection.execute(sa.select(sa.func.max(executions.c.started)).where(condition))).scalar_one()
    if ahead is not None and ahead >= now:
        by = ahead - now + 1
        values = {"started": executions.c.started - by, "completed": executions.c.completed - by}
        await connection.execute(sa.update(executions).where(condition, executions.c.started >= now).values(values))


def _clamp_to_start(now: int) -> sa.ColumnElement[int]:
    """Return now, but never an instant before the start of the run."""
    return sa.case((executions.c.started > now, executions.c.started), else_=now)


def _make_conditions(filters: ExecutionFilter) -> list[sa.ColumnElement[bool]]:
    result: list[sa.ColumnElement[bool]] = []
    if filters.integration_id:
        result.append(executions.c.integration_id == filters.integration_id)
    if filters.outcome == RUNNING:
        result.append(executions.c.completed.is_(None))
    elif filters.outcome:
        result.append(executions.c.outcome == filters.outcome)
    if filters.since is not None:
        result.append(executions.c.started >= to_ms(filters.since))
    if filters.until is not None:
        result.append(executions.c.started < to_ms(filters.until))
    return result


#: The levels of a log, mild ones first; each shows those behind it too.
SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log, without secrets."""

    at: datetime
    level: str
    text: str
    #: Its place in the log, from 1 on; 0 until it is stored.
    position: int = 0

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}.{self.at.microsecond // 1000:03} {self.level:<7} {self.text}"


class ExecutionLogs:
    """The logs of a server's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, execution_id: str, fresh: Sequence[LogLine], *, after: int) -> None:
        """Add lines to a run's log; nothing happens when the run is gone.

        Args:
            execution_id: The run.
            fresh: The lines.
            after: How many it has already.
        """
        rows = [
            {
                "execution_id": execution_id,
                "position": position,
                "instant": to_ms(line.at),
                "level": line.level,
                "text": line.text,
            }
            for position, line in enumerate(fresh, start=after + 1)
        ]
        async with self._database.writing() as connection:
            known = sa.select(sa.func.count()).select_from(executions).where(executions.c.id == execution_id)
            if (await connection.execute(known)).scalar_one():
                await connection.execute(sa.insert(lines), rows)

    async def list_lines(
        self,
        execution_id: str,
        *,
        level: str = "",
        text: str = "",
        after: int = 0,
        limit: int | None = None,
        latest: bool = False,
    ) -> list[LogLine]:
        """Return log lines of a run.

        Args:
            execution_id: The run.
            level: Only lines of this level or a graver one.
            text: Only lines that contain this, in any case.
            after: Only lines behind this position.
            limit: How many at most.
            latest: The last ones instead of the first ones.
        """
        query = sa.select(lines).where(lines.c.execution_id == execution_id, lines.c.position > after)
        if level in SEVERITIES:
            query = query.where(lines.c.level.in_(SEVERITIES[SEVERITIES.index(level) :]))
        if text:
            query = query.where(lines.c.text.icontains(text, autoescape=True))
        order = lines.c.position.desc() if latest else lines.c.position
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.order_by(order).limit(limit))).all()
        result = [LogLine(from_ms(row.instant), row.level, row.text, row.position) for row in rows]
        return result[::-1] if latest else result

    async def count_levels(self, execution_id: str) -> dict[str, int]:
        """Return how many lines of each level a run's log has."""
        query = sa.select(lines.c.level, sa.func.count().label("number")).where(lines.c.execution_id == execution_id)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.group_by(lines.c.level))).all()
        result = {row.level: row.number for row in rows}
        return {level: result[level] for level in SEVERITIES if level in result}

    async def read_text(self, execution_id: str) -> str:
        """Return the whole log as text."""
        return "".join(f"{line}\n" for line in await self.list_lines(execution_id))
