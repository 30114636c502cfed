"""The log of a run, line by line: added to while the run goes on, searched and downloaded later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import execution_lines as lines
from rally_accelerate.host.store.tables import executions
from rally_accelerate.host.store.values import instant, ms

#: The levels of a log, mild ones first; each shows those behind it too.
SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log, without secrets."""

    at: datetime
    level: str
    text: str
    #: Its place in the log, from 1 on; 0 until it is stored.
    position: int = 0

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}.{self.at.microsecond // 1000:03} {self.level:<7} {self.text}"


class Lines:
    """The logs of one host's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, execution_id: str, fresh: Sequence[Line], *, after: int) -> None:
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
                "instant": ms(line.at),
                "level": line.level,
                "text": line.text,
            }
            for position, line in enumerate(fresh, start=after + 1)
        ]
        async with self._database.writing() as connection:
            known = sa.select(sa.func.count()).select_from(executions).where(executions.c.id == execution_id)
            if (await connection.execute(known)).scalar_one():
                await connection.execute(sa.insert(lines), rows)

    async def of(
        self,
        execution_id: str,
        *,
        level: str = "",
        text: str = "",
        after: int = 0,
        limit: int | None = None,
        latest: bool = False,
    ) -> list[Line]:
        """The lines of a run.

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
        found = [Line(instant(row.instant), row.level, row.text, row.position) for row in rows]
        return found[::-1] if latest else found

    async def counts(self, execution_id: str) -> dict[str, int]:
        """How many lines of each level a run's log has."""
        query = sa.select(lines.c.level, sa.func.count().label("number")).where(lines.c.execution_id == execution_id)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.group_by(lines.c.level))).all()
        found = {row.level: row.number for row in rows}
        return {level: found[level] for level in SEVERITIES if level in found}

    async def text(self, execution_id: str) -> str:
        """The whole log as text."""
        return "".join(f"{line}\n" for line in await self.of(execution_id))
