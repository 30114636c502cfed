"""Pages of a set of issues by key, in any order, as fast in the middle as at the beginning."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from rally_accelerate.server.store import sqlite
from rally_accelerate.server.store.issue_sets import iterate_numbers
from rally_accelerate.server.store.tables import issues

#: A set of so few is sorted; a larger one is met soon enough on the way along the order's index.
SMALL_SET_SIZE = 10_000

#: Databases know no larger integers.
MAX_INT = 1 << 62

#: How far the index is walked at once: first for a page that is filled soon, then for sets that lie far behind.
FIRST_STEP = 500
MAX_STEP = 20_000


@dataclass(frozen=True, slots=True)
class Order:
    """A column of ``tables.SORTED``, and its direction; equal ones by their number in the same direction."""

    column: str
    descending: bool


class Section(IntEnum):
    """The parts of a list, one behind the other."""

    #: What was asked for by its id.
    EXACT_ID = 0
    WITH_VALUE = 1
    #: What has no value in the column.
    WITHOUT_VALUE = 2


@dataclass(frozen=True, slots=True)
class Position:
    """The position of an issue in an ordered list."""

    section: Section
    value: Any
    number: int

    def to_key(self, order: Order) -> str:
        """Return the position as a page key."""
        message = orjson.dumps((order.column, order.descending, self.section, self.value, self.number))
        return base64.urlsafe_b64encode(message).decode().rstrip("=")

    @classmethod
    def from_key(cls, key: str, order: Order) -> "Position | None":
        """Parse a page key; return None for an invalid one or one of another order."""
        try:
            message = orjson.loads(base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)))
        except (ValueError, binascii.Error):
            return None
        match message:
            case [order.column, order.descending, 0 | 1 | 2 as part, value, int() as number] if _is_valid(
                part, value, order
            ):
                return cls(Section(part), value, number) if 0 <= number < MAX_INT else None
        return None


def _is_valid(part: int, value: Any, order: Order) -> bool:
    if part != Section.WITH_VALUE:
        return value is None
    if isinstance(issues.c[order.column].type, sa.Text):
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_INT


async def select_page(
    connection: AsyncConnection,
    members: bytes | None,
    order: Order,
    *,
    first: Sequence[int] = (),
    after: Position | None = None,
    limit: int,
) -> list[Position]:
    """Return the positions of the next page of a set.

    Args:
        connection: To read from.
        members: The set (``store/members.py``); None stands for all issues.
        order: Of the list.
        first: Numbers that go before all others, if they are in the set.
        after: Where the page before ended.
        limit: How many at most.
    """
    called = [number for number in first if _contains(members, number)]
    result = [
        Position(Section.EXACT_ID, None, number)
        for number in called
        if after is None or (after.section is Section.EXACT_ID and number > after.number)
    ][:limit]
    behind = None if after is None or after.section is Section.EXACT_ID else after
    without = frozenset(called)
    few = None
    if members is not None and members.count(1) <= SMALL_SET_SIZE:
        few = [number for number in iterate_numbers(members) if number not in without]
    for part in (Section.WITH_VALUE, Section.WITHOUT_VALUE):
        if len(result) < limit and (behind is None or behind.section <= part):
            at = behind if behind is not None and behind.section is part else None
            rest = limit - len(result)
            if few is not None:
                result += await _sort_small_set(connection, few, order, part=part, at=at, limit=rest)
            else:
                result += await _walk_index(connection, members, order, part=part, at=at, without=without, limit=rest)
    return result


def _contains(members: bytes | None, number: int) -> bool:
    return members is None or (number < len(members) and members[number] == 1)


async def _sort_small_set(
    connection: AsyncConnection, numbers: Sequence[int], order: Order, *, part: Section, at: Position | None, limit: int
) -> list[Position]:
    """Return the next places among a few issues."""
    query, key = _order_query(order, part)
    among = sqlite.is_among(issues.c.number, numbers)
    rows = (await connection.execute(query.where(among, _is_after(at, key, order)).limit(limit))).all()
    return [Position(part, row[0], row[1]) for row in rows]


def _order_query(order: Order, part: Section) -> tuple[sa.Select[Any], tuple[sa.ColumnElement[Any], ...]]:
    """Return the issues of a part in their order, and what they are ordered by."""
    column, number = issues.c[order.column], issues.c.number
    key = (column, number) if part is Section.WITH_VALUE else (number,)
    is_there = column.is_not(None) if part is Section.WITH_VALUE else column.is_(None)
    ordered = [item.desc() if order.descending else item.asc() for item in key]
    return sa.select(column, number).where(is_there).order_by(*ordered), key


async def _walk_index(
    connection: AsyncConnection,
    members: bytes | None,
    order: Order,
    *,
    part: Section,
    at: Position | None,
    without: frozenset[int],
    limit: int,
) -> list[Position]:
    """Return the next places along the index of the column."""
    query, key = _order_query(order, part)
    result: list[Position] = []
    step = limit + len(without) if members is None else max(FIRST_STEP, limit)
    while True:
        rows = (await connection.execute(query.where(_is_after(at, key, order)).limit(step))).all()
        places = [
            Position(part, row[0], row[1]) for row in rows if _contains(members, row[1]) and row[1] not in without
        ]
        result += places[: limit - len(result)]
        if len(result) == limit or len(rows) < step:
            return result
        at = Position(part, rows[-1][0], rows[-1][1])
        step = min(step * 4, MAX_STEP)


def _is_after(at: Position | None, key: tuple[sa.ColumnElement[Any], ...], order: Order) -> sa.ColumnElement[bool]:
    if at is None:
        return sa.true()
    values = (at.value, at.number) if at.section is Section.WITH_VALUE else (at.number,)
    here, there = sa.tuple_(*key), sa.tuple_(*map(sa.literal, values))
    if len(key) == 1:
        here, there = key[0], sa.literal(at.number)  # type: ignore[assignment]
    return here < there if order.descending else here > there
