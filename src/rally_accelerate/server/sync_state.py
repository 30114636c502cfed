"""The sync state of one integration in the server's database."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from rally_accelerate.model.issue import Issue, SourceRevision
from rally_accelerate.model.progress import Progress, Sent
from rally_accelerate.rally.records import WorkItem, from_bytes, to_bytes
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.tables import integrations, issue_contents, issue_history, issues, originals, sent
from rally_accelerate.sync.progress_json import progress_from_json, progress_to_json
from rally_accelerate.sync.state import KEYS_IN_A_QUERY


class ServerState:
    """A ``State`` of ``sync/ports.py``."""

    def __init__(self, database: Database, integration_id: str) -> None:
        self._database = database
        self._id = integration_id

    async def load(self) -> Progress:
        """Return the progress of earlier runs, or an empty one."""
        query = sa.select(integrations.c.progress).where(integrations.c.id == self._id)
        async with self._database.reading() as connection:
            result = (await connection.execute(query)).scalar_one_or_none()
        return progress_from_json(result) if result else Progress()

    async def load_sent(self, external_ids: Sequence[str]) -> Mapping[str, Sent]:
        """Return the ledger's entries for these items."""
        result: dict[str, Sent] = {}
        async with self._database.reading() as connection:
            for start in range(0, len(external_ids), KEYS_IN_A_QUERY):
                keys = external_ids[start : start + KEYS_IN_A_QUERY]
                query = sa.select(sent).where(sent.c.integration_id == self._id, sent.c.external_id.in_(keys))
                for row in (await connection.execute(query)).all():
                    result[row.external_id] = Sent(SourceRevision.parse(row.revision), row.rules_version)
        return result

    async def list_versions(self, ids: AbstractSet[int] | None = None) -> Mapping[str, str]:
        """Return the rules version under which each item was uploaded, for all items."""
        del ids
        query = sa.select(sent.c.external_id, sent.c.rules_version).where(sent.c.integration_id == self._id)
        async with self._database.reading() as connection:
            return {row.external_id: row.rules_version for row in (await connection.execute(query)).all()}

    async def documents(self, external_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the last upload of each item: the issue as it is stored, with its whole history."""
        result: dict[str, Mapping[str, Any]] = {}
        async with self._database.reading() as connection:
            for key in external_ids:
                condition = (issues.c.tracker_id == self._id) & (issues.c.external_id == key)
                number = (await connection.execute(sa.select(issues.c.number).where(condition))).scalar_one_or_none()
                if number is None:
                    continue
                stored = sa.select(issue_contents.c.content).where(issue_contents.c.number == number)
                changes = sa.select(issue_history.c.instant, issue_history.c.content)
                changes = changes.where(issue_history.c.number == number).order_by(issue_history.c.position)
                content = (await connection.execute(stored)).scalar_one_or_none()
                if content is not None:
                    history = [
                        {"timestamp": str(row.instant), "content": row.content}
                        for row in (await connection.execute(changes)).all()
                    ]
                    result[key] = {**content, "history": history}
        return result

    async def comments(self, external_ids: Sequence[str]) -> Mapping[str, int]:
        """Return how many comments the stored issues have."""
        result = await self.documents(external_ids)
        return {key: len(document.get("comments") or ()) for key, document in result.items()}

    async def commit(self, progress: Progress, sent_now: Mapping[str, Sent], uploaded: Sequence[Issue] = ()) -> None:
        """Remember progress and ledger in one transaction; what was uploaded is stored already."""
        del uploaded
        rows = [
            {
                "integration_id": self._id,
                "external_id": key,
                "revision": str(entry.revision),
                "rules_version": entry.rules_version,
            }
            for key, entry in sent_now.items()
        ]
        statement = insert(sent)
        statement = statement.on_conflict_do_update(
            index_elements=["integration_id", "external_id"],
            set_={"revision": statement.excluded.revision, "rules_version": statement.excluded.rules_version},
        )
        where = integrations.c.id == self._id
        async with self._database.writing() as connection:
            if rows:
                await connection.execute(statement, rows)
            await connection.execute(sa.update(integrations).where(where).values(progress=progress_to_json(progress)))


log = logging.getLogger(__name__)

#: How many items are in memory at once while all of them are mapped again.
CHUNK_SIZE = 500


class ServerOriginals:
    """An ``Originals`` of ``sync/ports.py``."""

    def __init__(self, database: Database, integration_id: str) -> None:
        self._database = database
        self._id = integration_id

    async def keep(self, items: Sequence[WorkItem]) -> None:
        """Remember the items in place of what was kept of them before."""
        contents = await asyncio.to_thread(lambda: [to_bytes(item) for item in items])
        rows = [
            {"integration_id": self._id, "external_id": str(item.record.object_id), "content": content}
            for item, content in zip(items, contents, strict=True)
        ]
        statement = insert(originals)
        statement = statement.on_conflict_do_update(
            index_elements=["integration_id", "external_id"], set_={"content": statement.excluded.content}
        )
        async with self._database.writing() as connection:
            await connection.execute(statement, rows)

    async def read_all(self) -> AsyncIterator[Sequence[WorkItem]]:
        """Everything that is kept, some at a time; one that cannot be read is left out."""
        after = ""
        columns = (originals.c.external_id, originals.c.content)
        while True:
            where = (originals.c.integration_id == self._id) & (originals.c.external_id > after)
            query = sa.select(*columns).where(where).order_by(originals.c.external_id).limit(CHUNK_SIZE)
            async with self._database.reading() as connection:
                rows = (await connection.execute(query)).all()
            if not rows:
                return
            yield [item for row in rows if (item := _parse_original(row.external_id, row.content)) is not None]
            after = rows[-1].external_id


def _parse_original(key: str, content: bytes) -> WorkItem | None:
    try:
        return from_bytes(content)
    except ValueError:
        # Stored by another version of this program: it is read from Rally again.
        log.info("what was kept of the item %s cannot be read", key)
        return None


#: SQLite allows 999 parameters in one statement before 3.32.
IDS_IN_A_QUERY = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingIssue:
    """One issue that may be gone."""

    external_id: str
    display_id: str
    name: str
    status: str
    #: When it was missed.
    since: datetime


async def count_missing(database: Database, integration_id: str) -> int:
    """Return how many items were missed and not yet marked as gone."""
    return len((await ServerState(database, integration_id).load()).missing)


async def list_missing(database: Database, integration_id: str, *, limit: int) -> list[MissingIssue]:
    """Return issues of items that were missed and not yet marked as gone, longest missed first.

    Args:
        database: Where they are.
        integration_id: Whose.
        limit: How many at most.
    """
    missed = (await ServerState(database, integration_id).load()).missing
    since = {str(item): at for item, at in sorted(missed.items(), key=lambda pair: pair[1])[:limit]}
    result: dict[str, MissingIssue] = {}
    keys = list(since)
    async with database.reading() as connection:
        for start in range(0, len(keys), IDS_IN_A_QUERY):
            some = keys[start : start + IDS_IN_A_QUERY]
            columns = (issues.c.external_id, issues.c.display_id, issues.c.name, issues.c.status)
            query = sa.select(*columns).where(issues.c.tracker_id == integration_id, issues.c.external_id.in_(some))
            for row in (await connection.execute(query)).all():
                result[row.external_id] = MissingIssue(
                    external_id=row.external_id,
                    display_id=row.display_id,
                    name=row.name,
                    status=row.status,
                    since=since[row.external_id],
                )
    return [result[key] for key in keys if key in result]
