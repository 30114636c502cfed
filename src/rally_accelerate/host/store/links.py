"""Which issues are related to which, told from either side."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from rally_accelerate.dql.tree import Comparison, Operator, Value
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.search import Search, Sort, Wanted
from rally_accelerate.host.store.tables import issue_contents, issues

#: What a link is, seen from its other end.
TURNED = {"PARENT": "CHILD", "CHILD": "PARENT"}
OTHERWISE = "RELATED"

#: So many links of one issue are told, of those that it tells itself and of those that others tell.
MOST = 300


@dataclass(frozen=True, slots=True)
class Link:
    """One issue that another is related to."""

    #: PARENT, CHILD or RELATED: what it is to the other.
    kind: str
    external_id: str
    #: Empty, as name and status are, where the issue is not held here.
    display_id: str
    name: str
    status: str


class Links:
    """The links between the issues of one host.

    Args:
        database: Where the issues are.
        search: Finds those that name another one.
    """

    def __init__(self, database: Database, search: Search) -> None:
        self._database = database
        self._search = search

    async def around(self, tracker_id: str, issue: Mapping[str, Any], *, now: datetime) -> list[Link]:
        """What an issue is related to, told by itself or by others of its tracker; each once.

        Args:
            tracker_id: Its tracker.
            issue: The issue under the wire's names.
            now: The present.
        """
        its_id = issue["_id"]
        kinds = {each["id"]: each.get("type") or OTHERWISE for each in (issue.get("relations") or ())[:MOST]}
        for other, kind in (await self._naming(tracker_id, its_id, now)).items():
            kinds.setdefault(other, TURNED.get(kind, OTHERWISE))
        columns = (issues.c.external_id, issues.c.display_id, issues.c.name, issues.c.status)
        held = {row.external_id: row for row in await self._rows(sa.select(*columns), tracker_id, kinds)}
        found = [
            Link(kind, key, held[key].display_id, held[key].name, held[key].status)
            if key in held
            else Link(kind, key, "", "", "")
            for key, kind in kinds.items()
            if key != its_id
        ]
        return sorted(found, key=lambda link: (link.kind, link.display_id or link.external_id))

    async def _naming(self, tracker_id: str, its_id: str, now: datetime) -> dict[str, str]:
        """The issues that say they are related to this one, and how."""
        asked = Comparison("issue", ("relations", "id"), Operator.EQUAL, (Value(its_id),))
        wanted = Wanted(tracker_ids=(tracker_id,), queries=(asked,))
        rows = (await self._search.page(wanted, now=now, sort=Sort.ID, descending=False, limit=MOST)).rows
        contents = sa.select(issues.c.external_id, issue_contents.c.content)
        contents = contents.join(issue_contents, issue_contents.c.number == issues.c.number)
        return {
            row.external_id: relation.get("type") or OTHERWISE
            for row in await self._rows(contents, tracker_id, [row.external_id for row in rows])
            for relation in row.content.get("relations") or ()
            # Queries do not look at capitals; ids do.
            if relation["id"] == its_id
        }

    async def _rows(self, query: sa.Select[Any], tracker_id: str, ids: Iterable[str]) -> list[Any]:
        where = (issues.c.tracker_id == tracker_id) & issues.c.external_id.in_(list(ids))
        async with self._database.reading() as connection:
            return list((await connection.execute(query.where(where))).all())
