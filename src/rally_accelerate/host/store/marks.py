"""Marks: numbers that rise when something changed, so that what was computed of it may be kept until then."""

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.host.store.tables import marks

ISSUES = "issues"


async def change_mark(connection: AsyncConnection) -> int:
    """The mark of the issues, as this connection sees them."""
    found = await connection.execute(sa.select(marks.c.value).where(marks.c.name == ISSUES))
    return found.scalar_one_or_none() or 0


async def raise_mark(connection: AsyncConnection) -> int:
    """Say that issues were changed; part of the transaction that changes them."""
    statement = insert(marks).values(name=ISSUES, value=1)
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"value": marks.c.value + 1})
    value: int = (await connection.execute(statement.returning(marks.c.value))).scalar_one()
    return value
