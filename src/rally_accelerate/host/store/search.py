"""Searching issues: pages in any order, counts, facets, and what stands in a stage."""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
import sqlalchemy as sa

from rally_accelerate.dql.matches import matches
from rally_accelerate.dql.tree import Query
from rally_accelerate.host.store.database import Database
from rally_accelerate.host.store.marks import change_mark
from rally_accelerate.host.store.tables import issues
from rally_accelerate.host.store.values import ms

FACETS = ("type", "status", "priority", "owner", "project", "sprint", "release", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is searched for; empty means everything, and several values of one field mean any of them."""

    tenant_id: str = ""
    tracker_ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    priorities: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    #: Names.
    projects: tuple[str, ...] = ()
    sprints: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    #: Words in the display id, the name, the description, the owner, labels and comments.
    text: str = ""
    #: From ``dql.parse``; all of them must match.
    queries: tuple[Query, ...] = ()


class Sort(StrEnum):
    """What a page is ordered by."""

    UPDATED = "updated"
    CREATED = "created"
    ID = "id"
    NAME = "name"
    STATUS = "status"
    TYPE = "type"
    PRIORITY = "priority"
    OWNER = "owner"
    PROJECT = "project"
    POINTS = "points"
    #: Time in the status.
    AGE = "age"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One issue as lists show it."""

    tracker_id: str
    external_id: str
    display_id: str
    name: str
    type: str
    status: str
    priority: str | None
    owner: str | None
    creator: str | None
    #: Its name.
    project: str | None
    sprints: tuple[str, ...]
    releases: tuple[str, ...]
    labels: tuple[str, ...]
    story_points: float | None
    #: Instants are milliseconds since 1970.
    created: int
    last_update: int
    #: The last change of its status, else its creation.
    status_since: int
    url: str
    #: How many entries its history has.
    changes: int


@dataclass(frozen=True, slots=True)
class Found:
    """One page."""

    rows: list[Row]
    #: Where the next page begins, for ``after``; empty at the end.
    after: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands in a stage of a value stream."""

    count: int
    #: Time in the status, on average; None where nothing stands.
    average_age_ms: float | None
    #: Newest in the stage first.
    dots: list[Row]


class Search:
    """Searches the issues of one host."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        wanted: Wanted,
        *,
        now: datetime,
        sort: Sort = Sort.UPDATED,
        descending: bool = True,
        after: str = "",
        limit: int = 50,
    ) -> Found:
        """One page of issues.

        Args:
            wanted: Which.
            now: Ages in queries are counted from here; aware.
            sort: In which order; equal ones by tracker and id. What has no value comes last.
            descending: The largest first.
            after: What the page before told; anything else begins at the first page.
            limit: How many at most.
        """
        rows = _sorted(await self._all(wanted, now), sort, descending)
        start = _start(rows, after)
        some = rows[start : start + limit]
        more = start + limit < len(rows)
        return Found(some, _key(some[-1]) if more and some else "")

    async def count(self, wanted: Wanted, *, now: datetime) -> int:
        """How many issues are like this."""
        return len(await self._all(wanted, now))

    async def facets(
        self, wanted: Wanted, *, now: datetime, fields: Sequence[str] = FACETS, most: int = 50
    ) -> dict[str, list[tuple[str, int]]]:
        """The values of each field among the issues that are like this, and how many have them; commonest first."""
        rows = await self._all(wanted, now)
        return {
            field: Counter(value for row in rows for value in _held(row, field)).most_common(most) for field in fields
        }

    async def stage(self, wanted: Wanted, *, now: datetime, most: int = 200) -> Stage:
        """What stands in a stage: how many, how long on average, and the newest of them."""
        rows = _sorted(await self._all(wanted, now), Sort.AGE, descending=False)
        ages = [ms(now) - row.status_since for row in rows]
        return Stage(len(rows), sum(ages) / len(ages) if ages else None, rows[:most])

    async def change_mark(self) -> int:
        """Rises with every upload and every removal: what was computed under it may be kept until it does."""
        async with self._database.reading() as connection:
            return await change_mark(connection)

    async def _all(self, wanted: Wanted, now: datetime) -> list[Row]:
        async with self._database.reading() as connection:
            found = (await connection.execute(sa.select(issues).where(*_conditions(wanted)))).all()
        return [
            row
            for each in found
            if _has(row := _row(each), wanted)
            and _says(each.content, row, wanted.text)
            and all(matches(query, each.content, now=now) for query in wanted.queries)
        ]


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    among = {
        "tracker_id": wanted.tracker_ids,
        "type": wanted.types,
        "status": wanted.statuses,
        "priority": wanted.priorities,
        "owner": wanted.owners,
        "project": wanted.projects,
    }
    found: list[sa.ColumnElement[bool]] = [issues.c[name].in_(values) for name, values in among.items() if values]
    if wanted.tenant_id:
        found.append(issues.c.tenant_id == wanted.tenant_id)
    return found


def _has(row: Row, wanted: Wanted) -> bool:
    pairs = ((wanted.sprints, row.sprints), (wanted.releases, row.releases), (wanted.labels, row.labels))
    return all(not asked or _folded(asked) & _folded(held) for asked, held in pairs)


def _folded(values: Iterable[str]) -> set[str]:
    return {value.casefold() for value in values}


def _says(content: Mapping[str, Any], row: Row, text: str) -> bool:
    comments = [str(each.get("comment") or "") for each in content.get("comments") or ()]
    said = (row.display_id, row.name, content.get("description") or "", row.owner or "", *row.labels, *comments)
    everything = " ".join(said).casefold()
    return all(word in everything for word in text.casefold().split())


def _held(row: Row, field: str) -> tuple[str, ...]:
    held = getattr(row, f"{field}s") if field in {"sprint", "release", "label"} else getattr(row, field)
    return held if isinstance(held, tuple) else (held,) if held else ()


def _sorted(rows: list[Row], sort: Sort, descending: bool) -> list[Row]:  # noqa: FBT001
    column = {
        Sort.UPDATED: "last_update",
        Sort.ID: "display_id",
        Sort.POINTS: "story_points",
        Sort.AGE: "status_since",
    }.get(sort, sort.value)
    # The older the instant, the greater the age.
    turned = descending is not (sort is Sort.AGE)
    keyed = sorted(rows, key=lambda row: (row.tracker_id, row.external_id), reverse=turned)
    there = [row for row in keyed if getattr(row, column) is not None]
    there.sort(key=lambda row: getattr(row, column), reverse=turned)
    return [*there, *(row for row in keyed if getattr(row, column) is None)]


def _key(row: Row) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([row.tracker_id, row.external_id])).decode().rstrip("=")


def _start(rows: list[Row], after: str) -> int:
    return next((number for number, row in enumerate(rows, 1) if after and _key(row) == after), 0)


def _row(found: Any) -> Row:
    return Row(
        tracker_id=found.tracker_id,
        external_id=found.external_id,
        display_id=found.display_id,
        name=found.name,
        type=found.type,
        status=found.status,
        priority=found.priority,
        owner=found.owner,
        creator=found.creator,
        project=found.project,
        sprints=tuple(found.sprints or ()),
        releases=tuple(found.releases or ()),
        labels=tuple(found.labels or ()),
        story_points=found.story_points,
        created=found.created or 0,
        last_update=found.last_update,
        status_since=found.status_since or found.created or 0,
        url=found.url or "",
        changes=found.changes or 0,
    )
