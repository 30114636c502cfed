"""Values of issues that people set here, not in the tool that the issues come from."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.issues import Issues, StoredIssue
from rally_accelerate.host.store.tables import issues
from rally_accelerate.host.store.uploads import prepared, write


class Updates:
    """Changes issues where they stand.

    Args:
        database: Where the issues are.
        known: Finds them.
    """

    def __init__(self, database: Database, known: Issues) -> None:
        self._database = database
        self._issues = known

    async def change(self, tenant_id: str, values: Mapping[str, Mapping[str, Any]]) -> list[StoredIssue]:
        """Set fields of issues by their id in their tool; all of them, or none when one is not there.

        Args:
            tenant_id: The tenant.
            values: Fields under the wire's names, by the issue's id.

        Returns:
            The issues as they were found, each of at least one id unless nothing was changed.
        """
        async with self._database.writing() as connection:
            # Nobody else writes meanwhile: what is read here is what is changed.
            found = [one for key in values for one in await self._of(tenant_id, key)]
            if {one.content["_id"] for one in found} == set(values):
                for one in found:
                    item = {**one.content, **values[one.content["_id"]]}
                    upload = prepared(
                        [item],
                        source=one.source,
                        tracker_id=one.tracker_id,
                        tenant_id=one.tenant_id,
                        execution_id=one.execution_id or None,
                        uploaded=one.uploaded,
                    )
                    await connection.run_sync(write, one.tracker_id, upload)
        return found

    async def _of(self, tenant_id: str, external_id: str) -> list[StoredIssue]:
        """Issues of this id: two trackers may have one, then it is the same one."""
        where = (issues.c.tenant_id == tenant_id) & (issues.c.external_id == external_id)
        async with self._database.reading() as connection:
            trackers = (await connection.execute(sa.select(issues.c.tracker_id).where(where))).scalars().all()
        found = [await self._issues.one(tracker, external_id) for tracker in trackers]
        return [one for one in found if one is not None]
