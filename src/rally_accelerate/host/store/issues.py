"""Issues: taken in whole uploads, found by key and in pages by key."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from rally_accelerate.dql.matches import matches
from rally_accelerate.dql.tree import Query
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import issue_contents, issue_history, issues
from rally_accelerate.host.store.uploads import KEYS_IN_A_QUERY, prepared, remove, write
from rally_accelerate.host.store.values import ms

#: A query is held against so many issues at once, and for one page against so many in all: a page must not take for
#: ever, however rare a match is.
LOOKED_AT_ONCE = 1_000
MOST_LOOKED_AT = 20_000

#: So many issues are removed in one transaction.
REMOVED_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIssue:
    """One issue as it was uploaded; ``content`` has the wire's names, history included."""

    tracker_id: str
    tenant_id: str
    source: str
    uploaded: int
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of issues begins: behind this one, in descending order."""

    last_update: int
    tracker_id: str
    external_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list of issues is restricted to; empty means everything."""

    tenant_id: str = ""
    tracker_id: str = ""
    type: str = ""
    status: str = ""
    text: str = ""
    project_key: str = ""


class Issues:
    """The issues of one host."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, *, source: str, tracker_id: str, tenant_id: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Store an upload, all of it or nothing; an issue that is known is replaced with its history.

        Args:
            source: The tool that the issues come from.
            tracker_id: The integration that they belong to.
            tenant_id: The tenant.
            items: ``IssueDataItemIn`` values with instants as epoch milliseconds.
        """
        if not items:
            return
        now = ms(datetime.now(UTC))
        upload = await asyncio.to_thread(
            prepared, items, source=source, tracker_id=tracker_id, tenant_id=tenant_id, uploaded=now
        )
        async with self._database.writing() as connection:
            await connection.run_sync(write, tracker_id, upload)

    async def one(self, tracker_id: str, external_id: str) -> StoredIssue | None:
        """One issue, or None."""
        where = (issues.c.tracker_id == tracker_id) & (issues.c.external_id == external_id)
        return next(iter(await self._found(_whole().where(where))), None)

    async def by_any_id(self, tenant_id: str, its_id: str) -> StoredIssue | None:
        """One issue by the id in its tool or the id that people know, or None."""
        for known in (issues.c.external_id == its_id, issues.c.display_id == its_id):
            found = await self._found(_whole().where(issues.c.tenant_id == tenant_id, known).limit(1))
            if found:
                return found[0]
        return None

    async def page(
        self, wanted: Wanted, *, after: Place | None = None, limit: int = 50, skip: int = 0, history: bool = True
    ) -> list[StoredIssue]:
        """Issues by last update, newest first, behind a place; without their history where nobody asks for it."""
        key = (issues.c.last_update, issues.c.tracker_id, issues.c.external_id)
        query = _whole().where(*_conditions(wanted)).order_by(*(column.desc() for column in key))
        if after is not None:
            query = query.where(sa.tuple_(*key) < (after.last_update, after.tracker_id, after.external_id))
        return await self._found(query.limit(limit).offset(skip), history=history)

    async def counts(self) -> dict[str, int]:
        """How many issues each tracker has."""
        query = sa.select(issues.c.tracker_id, sa.func.count().label("number")).group_by(issues.c.tracker_id)
        async with self._database.reading() as connection:
            return {row.tracker_id: row.number for row in (await connection.execute(query)).all()}

    async def distinct(self, column: str, *, tenant_id: str = "", tracker_id: str = "") -> list[str]:
        """Every value that a column has, sorted."""
        wanted = Wanted(tenant_id=tenant_id, tracker_id=tracker_id)
        query = sa.select(issues.c[column]).where(*_conditions(wanted)).distinct().order_by(issues.c[column])
        async with self._database.reading() as connection:
            return [value for (value,) in (await connection.execute(query)).all() if value]

    async def remove(self, tracker_id: str) -> None:
        """Remove everything that an integration brought; in parts, so that no other writer waits long."""
        more = True
        while more:
            async with self._database.writing() as connection:
                more = await connection.run_sync(remove, tracker_id, most=REMOVED_AT_ONCE)

    async def matching(
        self, wanted: Wanted, query: Query, *, now: datetime, after: Place | None = None, limit: int = 50
    ) -> tuple[list[StoredIssue], Place | None]:
        """Issues that match a query of the value stream language, and where to look on; None when all were looked at.

        Args:
            wanted: Other conditions.
            query: From ``dql.parse``.
            now: Ages in the query are counted from here.
            after: Where an earlier answer said to look on.
            limit: How many are wanted at most; fewer may be told when many had to be looked at.
        """
        found: list[StoredIssue] = []
        for _ in range(MOST_LOOKED_AT // LOOKED_AT_ONCE):
            some = await self.page(wanted, after=after, limit=LOOKED_AT_ONCE, history=False)
            for one in some:
                after = Place(one.content["lastUpdate"], one.tracker_id, one.content["_id"])
                if matches(query, one.content, now=now):
                    found.append(one)
                    if len(found) == limit:
                        return await self._with_history(found), after
            if len(some) < LOOKED_AT_ONCE:
                return await self._with_history(found), None
        return await self._with_history(found), after

    async def _with_history(self, found: Sequence[StoredIssue]) -> list[StoredIssue]:
        whole = [await self.one(each.tracker_id, each.content["_id"]) for each in found]
        return [each for each in whole if each is not None]

    async def _found(self, query: sa.Select[Any], *, history: bool = True) -> list[StoredIssue]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
            past: dict[int, list[dict[str, Any]]] = {row.number: [] for row in rows}
            numbers = list(past) if history else []
            for start in range(0, len(numbers), KEYS_IN_A_QUERY):
                its = issue_history.c.number.in_(numbers[start : start + KEYS_IN_A_QUERY])
                key = (issue_history.c.number, issue_history.c.position)
                for entry in (await connection.execute(sa.select(issue_history).where(its).order_by(*key))).all():
                    past[entry.number].append({"timestamp": entry.instant, "content": entry.content})
        return [
            StoredIssue(
                tracker_id=row.tracker_id,
                tenant_id=row.tenant_id,
                source=row.source,
                uploaded=row.uploaded,
                content={**row.content, "history": past[row.number]},
            )
            for row in rows
        ]


def _whole() -> sa.Select[Any]:
    return sa.select(
        issues.c.number,
        issues.c.tracker_id,
        issues.c.tenant_id,
        issues.c.source,
        issues.c.uploaded,
        issue_contents.c.content,
    ).join(issue_contents, issue_contents.c.number == issues.c.number)


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    columns = ("tenant_id", "tracker_id", "type", "status", "project_key")
    found = [issues.c[name] == value for name in columns if (value := getattr(wanted, name))]
    if wanted.text:
        found.append(
            issues.c.name.icontains(wanted.text, autoescape=True) | (issues.c.display_id == wanted.text.upper())
        )
    return found
