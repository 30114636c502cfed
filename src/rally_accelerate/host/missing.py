"""Issues whose items Rally no longer shows: what would be marked as gone."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from rally_accelerate.host.state import HostState
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.tables import issues

#: SQLite allows 999 parameters in one statement before 3.32.
KEYS_IN_A_QUERY = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """One issue that may be gone."""

    external_id: str
    display_id: str
    name: str
    status: str
    #: When it was missed.
    since: datetime


async def count_missing(database: Database, integration_id: str) -> int:
    """How many items were missed and not yet marked as gone."""
    return len((await HostState(database, integration_id).load()).missing)


async def missing_of(database: Database, integration_id: str, *, limit: int) -> list[Missing]:
    """Issues of items that were missed and not yet marked as gone, longest missed first.

    Args:
        database: Where they are.
        integration_id: Whose.
        limit: How many at most.
    """
    missed = (await HostState(database, integration_id).load()).missing
    since = {str(item): at for item, at in sorted(missed.items(), key=lambda pair: pair[1])[:limit]}
    found: dict[str, Missing] = {}
    keys = list(since)
    async with database.reading() as connection:
        for start in range(0, len(keys), KEYS_IN_A_QUERY):
            some = keys[start : start + KEYS_IN_A_QUERY]
            columns = (issues.c.external_id, issues.c.display_id, issues.c.name, issues.c.status)
            query = sa.select(*columns).where(issues.c.tracker_id == integration_id, issues.c.external_id.in_(some))
            for row in (await connection.execute(query)).all():
                found[row.external_id] = Missing(
                    external_id=row.external_id,
                    display_id=row.display_id,
                    name=row.name,
                    status=row.status,
                    since=since[row.external_id],
                )
    return [found[key] for key in keys if key in found]
