"""The engine's memory of one integration, kept in the host's database."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import integrations, issue_contents, issue_history, issues, sent
from rally_accelerate.model.issue import Issue, SourceRevision
from rally_accelerate.model.progress import Progress, Sent
from rally_accelerate.sync.state import KEYS_IN_A_QUERY
from rally_accelerate.sync.written import progress_from_json, progress_to_json


class HostState:
    """A ``State`` of ``sync/ports.py``."""

    def __init__(self, database: Database, integration_id: str) -> None:
        self._database = database
        self._id = integration_id

    async def load(self) -> Progress:
        """The progress of earlier runs, or an empty one."""
        query = sa.select(integrations.c.progress).where(integrations.c.id == self._id)
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).scalar_one_or_none()
        return progress_from_json(found) if found else Progress()

    async def known(self, external_ids: Sequence[str]) -> Mapping[str, Sent]:
        """The ledger's entries for these items."""
        found: dict[str, Sent] = {}
        async with self._database.reading() as connection:
            for start in range(0, len(external_ids), KEYS_IN_A_QUERY):
                keys = external_ids[start : start + KEYS_IN_A_QUERY]
                query = sa.select(sent).where(sent.c.integration_id == self._id, sent.c.external_id.in_(keys))
                for row in (await connection.execute(query)).all():
                    found[row.external_id] = Sent(SourceRevision.parse(row.revision), row.rules_version)
        return found

    async def held(self, ids: AbstractSet[int] | None = None) -> Mapping[str, str]:
        """Under which mark every item was sent; all are told as easily as some."""
        del ids
        query = sa.select(sent.c.external_id, sent.c.rules_version).where(sent.c.integration_id == self._id)
        async with self._database.reading() as connection:
            return {row.external_id: row.rules_version for row in (await connection.execute(query)).all()}

    async def documents(self, external_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the last upload of each item: the issue as it is stored, with its whole history."""
        found: dict[str, Mapping[str, Any]] = {}
        async with self._database.reading() as connection:
            for key in external_ids:
                its = (issues.c.tracker_id == self._id) & (issues.c.external_id == key)
                number = (await connection.execute(sa.select(issues.c.number).where(its))).scalar_one_or_none()
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
                    found[key] = {**content, "history": history}
        return found

    async def comments(self, external_ids: Sequence[str]) -> Mapping[str, int]:
        """Return how many comments the stored issues have."""
        found = await self.documents(external_ids)
        return {key: len(document.get("comments") or ()) for key, document in found.items()}

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
