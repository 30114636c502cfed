"""The audit log: who changed what, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from rally_accelerate.host.access import Actor
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import audit
from rally_accelerate.host.store.values import instant, ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change."""

    id: int
    at: datetime
    #: Who did it; the name of its day, as the user may be gone.
    actor_id: str
    actor: str
    #: What was done, as a verb in the past: ``edited``, ``removed``.
    action: str
    #: To what: ``integration``, ``value stream``, ``user``, ``access key``.
    kind: str
    object_id: str
    name: str
    detail: Mapping[str, Any]


class Audit:
    """The audit log of one host; it is only ever added to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(
        self,
        actor: Actor,
        action: str,
        *,
        kind: str,
        object_id: str = "",
        name: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an entry.

        Args:
            actor: Who did it.
            action: What was done, as a verb in the past.
            kind: To what kind of thing.
            object_id: Its id.
            name: What people call it.
            detail: What else is worth knowing, such as the names of changed settings. Never a secret.
        """
        values = {
            "instant": ms(datetime.now(UTC)),
            "actor_id": actor.id,
            "actor": actor.name,
            "action": action,
            "kind": kind,
            "object_id": object_id,
            "name": name,
            "detail": dict(detail or {}),
        }
        async with self._database.writing() as connection:
            await connection.execute(sa.insert(audit).values(values))

    async def latest(self, *, before: int | None = None, limit: int = 100) -> list[Entry]:
        """Entries, newest first.

        Args:
            before: Only those older than the entry of this id.
            limit: How many at most.
        """
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.id < before)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Entry(
                id=row.id,
                at=instant(row.instant),
                actor_id=row.actor_id,
                actor=row.actor,
                action=row.action,
                kind=row.kind,
                object_id=row.object_id,
                name=row.name,
                detail=row.detail,
            )
            for row in rows
        ]
