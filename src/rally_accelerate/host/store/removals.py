"""Removing everything that a tracker brought: noted first, done in parts, gone on with when it failed part way.

In parts, so that no other writer waits long; and noted among the marks, as half of the issues without what says that
they were sent, or with it, would be neither what was there nor what was asked for. The note's value is the mark of the
issues at that moment: what is uploaded later, while parts are still to be removed, stays.
"""

import sqlalchemy as sa

from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.marks import mark
from rally_accelerate.host.store.tables import marks
from rally_accelerate.host.store.uploads import remove

#: So many issues are removed in one transaction.
REMOVED_AT_ONCE = 2_000

#: How the marks of removals begin; the tracker's id follows.
_MARK = "removal of "


def note(connection: sa.Connection, tracker_id: str) -> None:
    """Note that everything of a tracker is to be removed, within the transaction that makes it so."""
    name, now = f"{_MARK}{tracker_id}", mark(connection)
    if not connection.execute(sa.update(marks).where(marks.c.name == name).values(value=now)).rowcount:
        connection.execute(sa.insert(marks).values(name=name, value=now))


async def finish(database: Database, tracker_id: str) -> None:
    """Remove what was noted."""

    def part(connection: sa.Connection) -> bool:
        its = marks.c.name == f"{_MARK}{tracker_id}"
        until = connection.execute(sa.select(marks.c.value).where(its)).scalar_one_or_none()
        if until is None:
            # Somebody else has finished it meanwhile.
            return False
        more = remove(connection, tracker_id, until=until, most=REMOVED_AT_ONCE)
        if not more:
            connection.execute(sa.delete(marks).where(its))
        return more

    while await database.written(part):
        pass


async def unfinished(database: Database) -> list[str]:
    """The trackers whose removal has failed part way, now or in an earlier process, or still goes on."""
    query = sa.select(marks.c.name).where(marks.c.name.startswith(_MARK, autoescape=True)).order_by(marks.c.name)
    async with database.reading() as connection:
        return [name.removeprefix(_MARK) for name in (await connection.execute(query)).scalars()]
