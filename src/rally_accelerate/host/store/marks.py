"""Marks: numbers that rise when something changed, so that what was computed of it may be kept until then."""

import sqlalchemy as sa

from rally_accelerate.host.store.tables import marks

#: Any change of issues, and the removal of some.
ISSUES = "issues"
REMOVALS = "removals"


def mark(connection: sa.Connection, name: str = ISSUES) -> int:
    """A mark, as this connection sees it."""
    found = connection.execute(sa.select(marks.c.value).where(marks.c.name == name))
    return found.scalar_one_or_none() or 0


def raise_mark(connection: sa.Connection, name: str = ISSUES) -> int:
    """Say that something changed; part of the transaction that changes it."""
    raised = connection.execute(sa.update(marks).where(marks.c.name == name).values(value=marks.c.value + 1))
    if not raised.rowcount:
        connection.execute(sa.insert(marks).values(name=name, value=1))
    return mark(connection, name)
