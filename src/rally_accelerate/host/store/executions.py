"""Executions: every run with its account and its log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import executions
from rally_accelerate.host.store.values import instant, ms, new_id

INTERRUPTED = "interrupted"

#: So many runs of each integration are kept.
KEPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run."""

    id: str
    integration_id: str
    job_name: str
    started: datetime
    completed: datetime | None
    #: complete, partial, failed, interrupted; empty while the run goes on.
    outcome: str
    report: Mapping[str, Any]
    log: str


class Executions:
    """The executions of one host."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, integration_id: str, *, job_name: str) -> str:
        """Note that a run begins; its id."""
        its_id = new_id()
        values = {"id": its_id, "integration_id": integration_id, "job_name": job_name, "log": ""}
        async with self._database.writing() as connection:
            await connection.execute(sa.insert(executions).values(**values, started=ms(datetime.now(UTC))))
        return its_id

    async def end(self, its_id: str, *, outcome: str, report: Mapping[str, Any], log: str) -> None:
        """Note how a run ended, and let go of the oldest ones."""
        values = {"completed": ms(datetime.now(UTC)), "outcome": outcome, "report": dict(report), "log": log}
        async with self._database.writing() as connection:
            await connection.execute(sa.update(executions).where(executions.c.id == its_id).values(values))
            owner = sa.select(executions.c.integration_id).where(executions.c.id == its_id).scalar_subquery()
            kept = (
                sa.select(executions.c.id)
                .where(executions.c.integration_id == owner)
                .order_by(executions.c.started.desc())
                .limit(KEPT)
            )
            old = (executions.c.integration_id == owner) & executions.c.id.not_in(kept)
            await connection.execute(sa.delete(executions).where(old))

    async def interrupt_all(self) -> None:
        """Note that runs which an earlier process left open were interrupted."""
        open_ones = executions.c.completed.is_(None)
        values = {"completed": ms(datetime.now(UTC)), "outcome": INTERRUPTED}
        async with self._database.writing() as connection:
            await connection.execute(sa.update(executions).where(open_ones).values(values))

    async def of(self, integration_id: str, *, limit: int = 10) -> list[Execution]:
        """The latest runs of an integration, newest first."""
        query = sa.select(executions).where(executions.c.integration_id == integration_id)
        return await self._found(query.order_by(executions.c.started.desc()).limit(limit))

    async def one(self, its_id: str) -> Execution | None:
        """One run, or None."""
        return next(iter(await self._found(sa.select(executions).where(executions.c.id == its_id))), None)

    async def _found(self, query: sa.Select[Any]) -> list[Execution]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Execution(
                id=row.id,
                integration_id=row.integration_id,
                job_name=row.job_name,
                started=instant(row.started),
                completed=None if row.completed is None else instant(row.completed),
                outcome=row.outcome or "",
                report=row.report or {},
                log=row.log,
            )
            for row in rows
        ]
