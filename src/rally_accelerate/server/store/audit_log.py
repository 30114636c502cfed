"""The audit log: who changed what, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.server.permissions import Actor
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.tables import audit, from_ms, to_ms

#: So many values are offered in each filter.
MAX_CHOICES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries; empty means all."""

    actor: str = ""
    action: str = ""
    kind: str = ""
    object_id: str = ""
    #: In the name of what was changed.
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None


class AuditLog:
    """The audit log of a server; it is only ever added to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self,
        actor: Actor,
        action: str,
        *,
        kind: str,
        object_id: str = "",
        name: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an entry in a separate transaction.

        Args:
            actor: Who did it.
            action: What was done, as a verb in the past.
            kind: To what kind of thing.
            object_id: Its id.
            name: What people call it.
            detail: What else is worth knowing, such as the names of changed settings. Never a secret.
        """
        async with self._database.writing() as connection:
            await self.add(connection, actor, action, kind=kind, object_id=object_id, name=name, detail=detail)

    async def add(
        self,
        connection: AsyncConnection,
        actor: Actor,
        action: str,
        *,
        kind: str,
        object_id: str = "",
        name: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an entry within the transaction that it tells of, so that there is never one without the other."""
        values = {
            "instant": to_ms(datetime.now(UTC)),
            "actor_id": actor.id,
            "actor": actor.name,
            "action": action,
            "kind": kind,
            "object_id": object_id,
            "name": name,
            "detail": dict(detail or {}),
        }
        await connection.execute(sa.insert(audit).values(values))

    async def list_entries(
        self, filters: AuditFilter | None = None, *, before: int | None = None, limit: int = 100
    ) -> list[AuditEntry]:
        """Return entries, newest first.

        Args:
            filters: Which ones; None for all.
            before: Only those older than the entry of this id.
            limit: How many at most.
        """
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        query = query.where(*_make_conditions(filters or AuditFilter()))
        if before is not None:
            query = query.where(audit.c.id < before)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [
            AuditEntry(
                id=row.id,
                at=from_ms(row.instant),
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

    async def list_choices(self) -> dict[str, list[str]]:
        """Return the actors, actions and kinds that there are, for filters."""
        result = {}
        async with self._database.reading() as connection:
            for name in ("actor", "action", "kind"):
                query = sa.select(audit.c[name]).distinct().order_by(audit.c[name]).limit(MAX_CHOICES)
                result[name] = list((await connection.execute(query)).scalars())
        return result


def _make_conditions(filters: AuditFilter) -> list[sa.ColumnElement[bool]]:
    equal = {"actor": filters.actor, "action": filters.action, "kind": filters.kind}
    conditions = [audit.c[name] == value for name, value in equal.items() if value]
    if filters.object_id:
        # What a user did, and what was done to it.
        conditions.append((audit.c.object_id == filters.object_id) | (audit.c.actor_id == filters.object_id))
    if filters.text:
        conditions.append(audit.c.name.icontains(filters.text, autoescape=True))
    if filters.since is not None:
        conditions.append(audit.c.instant >= to_ms(filters.since))
    if filters.until is not None:
        conditions.append(audit.c.instant < to_ms(filters.until))
    return conditions
