"""The uploaded issues. Searches are in ``issue_search``."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from rally_accelerate.server.store import issue_writer
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.issue_writer import KEYS_IN_A_QUERY, prepare_issues, write_issues
from rally_accelerate.server.store.tables import issue_contents, issue_history, issues, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIssue:
    """One issue as it was uploaded; ``content`` has the wire's names, history included."""

    number: int
    tracker_id: str
    tenant_id: str
    source: str
    uploaded: int
    #: The run of this server that wrote it last; empty when it was uploaded from elsewhere.
    execution_id: str
    content: Mapping[str, Any]


class Issues:
    """The issues of a server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store_upload(
        self,
        *,
        source: str,
        tracker_id: str,
        tenant_id: str,
        items: Sequence[Mapping[str, Any]],
        execution_id: str = "",
    ) -> None:
        """Store an upload, all of it or nothing; an issue that is known is replaced with its history.

        Args:
            source: The tool that the issues come from.
            tracker_id: The integration that they belong to.
            tenant_id: The tenant.
            items: ``IssueDataItemIn`` values with instants as epoch milliseconds.
            execution_id: The server's own run that sends them, if it is one.
        """
        if not items:
            return
        now = to_ms(datetime.now(UTC))
        upload = await asyncio.to_thread(
            prepare_issues,
            items,
            source=source,
            tracker_id=tracker_id,
            tenant_id=tenant_id,
            execution_id=execution_id or None,
            uploaded=now,
        )
        await self._database.run_in_transaction(lambda connection: write_issues(connection, tracker_id, upload))

    async def get(self, tracker_id: str, external_id: str) -> StoredIssue | None:
        """Return one issue, or None."""
        where = (issues.c.tracker_id == tracker_id) & (issues.c.external_id == external_id)
        return next(iter(await self._fetch(_select_issues().where(where))), None)

    async def get_many(self, keys: Sequence[tuple[str, str]]) -> list[StoredIssue]:
        """Return issues by tracker and id in their tool, in this order; those that are not there are left out.

        Args:
            keys: Pairs of both.
        """
        result: dict[tuple[str, str], StoredIssue] = {}
        for tracker_id in dict.fromkeys(tracker for tracker, _ in keys):
            condition = [external_id for tracker, external_id in keys if tracker == tracker_id]
            for start in range(0, len(condition), KEYS_IN_A_QUERY):
                where = (issues.c.tracker_id == tracker_id) & issues.c.external_id.in_(
                    condition[start : start + KEYS_IN_A_QUERY]
                )
                for one in await self._fetch(_select_issues().where(where)):
                    result[tracker_id, one.content["_id"]] = one
        return [result[key] for key in keys if key in result]

    async def by_any_id(self, tenant_id: str, issue_id: str) -> StoredIssue | None:
        """Return one issue by the id in its tool, the id that people know, or its own ``_id`` here; or None."""
        return next(iter(await self.all_by_any_id(tenant_id, issue_id, limit=1)), None)

    async def all_by_any_id(self, tenant_id: str, issue_id: str, *, limit: int = 50) -> list[StoredIssue]:
        """Return the issues of every tracker that have an id, by the first kind of id that leads to any.

        Args:
            tenant_id: The tenant; empty means every one.
            issue_id: The id in its tool, the id that people know, or ``_id``: the tracker and the id in its tool.
            limit: How many at most.
        """
        tracker_id, _, external_id = issue_id.rpartition(":")
        for known in (
            issues.c.external_id == issue_id,
            issues.c.display_id == issue_id,
            (issues.c.tracker_id == tracker_id) & (issues.c.external_id == external_id),
        ):
            filters = _select_issues().where(known, *_make_conditions(tenant_id=tenant_id)).order_by(issues.c.number)
            if result := await self._fetch(filters.limit(limit)):
                return result
        return []

    async def list_page(self, *, tenant_id: str = "", limit: int = 50, skip: int = 0) -> list[StoredIssue]:
        """Return issues by last update, newest first; an empty tenant means all."""
        order = (issues.c.last_update.desc(), issues.c.number.desc())
        return await self._fetch(
            _select_issues().where(*_make_conditions(tenant_id=tenant_id)).order_by(*order).limit(limit).offset(skip)
        )

    async def list_by_project(
        self, tenant_id: str, project_key: str, *, before: int | None = None, limit: int = 50
    ) -> list[StoredIssue]:
        """Return the issues of a project, those that came last first.

        The order does not change when issues do: pages that are read one after the other have each issue once.

        Args:
            tenant_id: The tenant.
            project_key: The project's key, as it was uploaded.
            before: Only issues with a smaller number, which is that of the last one of the page before.
            limit: How many at most.
        """
        filters = (issues.c.tenant_id == tenant_id, issues.c.project_key == project_key)
        older = () if before is None else (issues.c.number < before,)
        # Numbers first, from an index alone: a large project's contents must not be sorted for one page of it.
        page = sa.select(issues.c.number).where(*filters, *older).order_by(issues.c.number.desc()).limit(limit)
        return await self._fetch(_select_issues().where(issues.c.number.in_(page)).order_by(issues.c.number.desc()))

    async def count_by_tracker(self, *, tenant_id: str = "") -> dict[str, int]:
        """Return how many issues each tracker has; of one tenant if it is named."""
        query = sa.select(issues.c.tracker_id, sa.func.count().label("number")).group_by(issues.c.tracker_id)
        if tenant_id:
            query = query.where(issues.c.tenant_id == tenant_id)
        async with self._database.reading() as connection:
            return {row.tracker_id: row.number for row in (await connection.execute(query)).all()}

    async def list_statuses(self, tenant_id: str, *, tracker_id: str = "") -> list[str]:
        """Return every status that issues have, sorted; of one tracker if it is named."""
        filters = _make_conditions(tenant_id=tenant_id, tracker_id=tracker_id)
        query = sa.select(issues.c.status).where(*filters).distinct().order_by(issues.c.status)
        async with self._database.reading() as connection:
            return [value for (value,) in (await connection.execute(query)).all() if value]

    async def remove(self, tracker_id: str) -> None:
        """Remove all issues of an integration."""
        await self._database.run_in_transaction(lambda connection: issue_writer.request_removal(connection, tracker_id))
        await issue_writer.finish_removal(self._database, tracker_id)

    async def _fetch(self, query: sa.Select[Any]) -> list[StoredIssue]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
            past: dict[int, list[dict[str, Any]]] = {row.number: [] for row in rows}
            numbers = list(past)
            for start in range(0, len(numbers), KEYS_IN_A_QUERY):
                condition = issue_history.c.number.in_(numbers[start : start + KEYS_IN_A_QUERY])
                key = (issue_history.c.number, issue_history.c.position)
                for entry in (await connection.execute(sa.select(issue_history).where(condition).order_by(*key))).all():
                    past[entry.number].append({"timestamp": entry.instant, "content": entry.content})
        return [
            StoredIssue(
                number=row.number,
                tracker_id=row.tracker_id,
                tenant_id=row.tenant_id,
                source=row.source,
                uploaded=row.uploaded,
                execution_id=row.execution_id or "",
                content={**row.content, "history": past[row.number]},
            )
            for row in rows
        ]


def _select_issues() -> sa.Select[Any]:
    return sa.select(
        issues.c.number,
        issues.c.tracker_id,
        issues.c.tenant_id,
        issues.c.source,
        issues.c.uploaded,
        issues.c.execution_id,
        issue_contents.c.content,
    ).join(issue_contents, issue_contents.c.number == issues.c.number)


def _make_conditions(**values: str) -> list[sa.ColumnElement[bool]]:
    """Return conditions on columns; skip empty values."""
    return [issues.c[name] == value for name, value in values.items() if value]


class IssueUpdater:
    """Updates stored issues.

    Args:
        database: Where the issues are.
        known: Finds them.
    """

    def __init__(self, database: Database, known: Issues) -> None:
        self._database = database
        self._issues = known

    async def update(self, tenant_id: str, values: Mapping[str, Mapping[str, Any]]) -> list[StoredIssue]:
        """Update fields of issues by their ID in Rally; none if one of them is unknown.

        Args:
            tenant_id: The tenant.
            values: Fields under the wire's names, by the issue's id.

        Returns:
            The issues as they were found, each of at least one id unless nothing was changed.
        """
        async with self._database.writing() as connection:
            # No one else writes in the meantime: what is read here is what is changed.
            result = [one for key in values for one in await self._find(tenant_id, key)]
            if {one.content["_id"] for one in result} == set(values):
                for one in result:
                    item = {**one.content, **values[one.content["_id"]]}
                    upload = prepare_issues(
                        [item],
                        source=one.source,
                        tracker_id=one.tracker_id,
                        tenant_id=one.tenant_id,
                        execution_id=one.execution_id or None,
                        uploaded=one.uploaded,
                    )
                    await connection.run_sync(write_issues, one.tracker_id, upload)
        return result

    async def _find(self, tenant_id: str, external_id: str) -> list[StoredIssue]:
        """Return issues of this id: two trackers may have one, then it is the same one."""
        where = (issues.c.tenant_id == tenant_id) & (issues.c.external_id == external_id)
        async with self._database.reading() as connection:
            trackers = (await connection.execute(sa.select(issues.c.tracker_id).where(where))).scalars().all()
        result = [await self._issues.get(tracker, external_id) for tracker in trackers]
        return [one for one in result if one is not None]
