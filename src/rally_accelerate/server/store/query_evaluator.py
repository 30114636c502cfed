"""Which issues match a query: a set for each comparison, joined as the query joins them.

The set of a comparison is kept while issues change: only those that were uploaded since are looked at again. So a stage
of a map and a filter share what they have in common, and an upload does not make everything be counted anew.
"""

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from rally_accelerate.dql import sql
from rally_accelerate.dql.ast import Both, Comparison, Either, Negated, Operator, Query, leaves
from rally_accelerate.dql.index_terms import Kind
from rally_accelerate.dql.parser import parse
from rally_accelerate.errors import QueryError, QueryTooSlowError
from rally_accelerate.server.store import sqlite
from rally_accelerate.server.store.column_index import Columns
from rally_accelerate.server.store.issue_sets import both, except_for, longer, numbers_of, one_of
from rally_accelerate.server.store.tables import fact_names, facts, issues, long_texts

#: Sets of comparisons that are kept: of 200,000 issues each takes 200 kB.
MOST_KEPT = 150

#: So many issues are sooner looked at one by one than found among all.
FEW = 10_000

#: Names looked up at once: SQLite before 3.32 allowed 999 parameters in one statement.
NAMES_AT_ONCE = 900

#: Their numbers stand in columns: by folded path.
NUMBERS = {
    "created": issues.c.created,
    "lastupdate": issues.c.last_update,
    "storypoints": issues.c.story_points,
    "history.count": issues.c.changes,
}


class Spendable(Protocol):
    """What limits the evaluation of issues one by one."""

    def spend(self, evaluations: int) -> None:
        """Take some evaluations from the budget, or raise."""


class Answers:
    """Answers queries about the issues of one host."""

    def __init__(self, columns: Columns | None = None) -> None:
        #: What is told without asking the database.
        self._columns = columns
        self._removals = 0
        #: By comparison: the mark at which it was found, and the set.
        self._kept: OrderedDict[Hashable, tuple[int, bytes]] = OrderedDict()

    def matching(
        self,
        connection: sa.Connection,
        query: Query,
        among: bytes,
        *,
        mark: int,
        removals: int = 0,
        now: datetime,
        budget: Spendable | None = None,
    ) -> bytes:
        """The issues of a set that match a query.

        Args:
            connection: What it sees is searched.
            query: From ``dql.parse``.
            among: The set.
            mark: Of the issues, as the connection sees it.
            removals: The mark of removals, or a later one: numbers may be given again after one.
            now: Ages in the query are counted from here; aware.
            budget: Limits what is evaluated for issues one by one; None does not.

        Raises:
            QueryTooSlowError: The budget is spent.
        """
        if removals > self._removals:
            self._removals = removals
            self._kept.clear()
        return _Asking(self, connection, mark, removals, now, budget=budget).found(query, among)

    def in_memory(self, leaf: Comparison, now: datetime) -> bytes | None:
        """The issues of a comparison that the columns tell; else None."""
        return None if self._columns is None else self._columns.told(leaf, now=now)

    def kept(self, key: Hashable) -> tuple[int, bytes] | None:
        """What was found last for a comparison, and at which mark."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Hashable, found: bytes, *, mark: int, removals: int) -> None:
        """Keep the set of a comparison, unless a newer one is there."""
        if removals != self._removals or (key in self._kept and self._kept[key][0] > mark):
            return
        self._kept[key] = (mark, found)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)


class _Asking:
    """One question."""

    def __init__(
        self,
        answers: Answers,
        connection: sa.Connection,
        mark: int,
        removals: int,
        now: datetime,
        *,
        budget: Spendable | None,
    ) -> None:
        self._budget = budget
        self._answers = answers
        self._connection = connection
        self._mark = mark
        self._removals = removals
        self._now = now
        self._changed: dict[int, Sequence[int]] = {}

    def found(self, query: Query, among: bytes) -> bytes:
        match query:
            case Both(operands):
                # What is asked of issues one by one comes last: few may be left.
                for operand in sorted(operands, key=_is_slow):
                    among = both(among, self.found(operand, among))
                return among
            case Either(operands):
                found = bytes(len(among))
                for operand in sorted(operands, key=_is_slow):
                    found = one_of(found, self.found(operand, except_for(among, found)))
                return found
            case Negated(operand):
                return except_for(among, self.found(operand, among))
            case Comparison(operator=Operator.UNEQUAL):
                return except_for(among, self.found(replace(query, operator=Operator.EQUAL), among))
            case Comparison(item=item) if item != "issue":
                # Only issues are held here.
                return bytes(len(among))
            case Comparison():
                told = self._answers.in_memory(query, self._now)
                return both(among, longer(self._compared(query, among) if told is None else told, len(among)))

    def _compared(self, leaf: Comparison, among: bytes) -> bytes:
        if sql.has_age(leaf):
            return self._anew(leaf, len(among))
        key = (leaf.item, leaf.path, leaf.operator, leaf.values)
        kept = self._answers.kept(key)
        if kept is None:
            if _is_slow(leaf) and among.count(1) <= FEW:
                return self._alone(leaf, tuple(numbers_of(among)), len(among))
            found = self._anew(leaf, len(among))
        else:
            since, found = kept
            if since >= self._mark:
                return found
            changed = self._changed_since(since)
            if len(changed) > FEW:
                found = self._anew(leaf, len(among))
            else:
                found = self._renewed(leaf, found, changed, len(among))
        self._answers.keep(key, found, mark=self._mark, removals=self._removals)
        return found

    def _renewed(self, leaf: Comparison, found: bytes, changed: Sequence[int], size: int) -> bytes:
        """A set with the issues that were uploaded since it was found."""
        renewed = bytearray(longer(found, size))
        matching = self._alone(leaf, changed, size)
        for number in changed:
            if number < size:
                renewed[number] = matching[number]
        return bytes(renewed)

    def _changed_since(self, mark: int) -> Sequence[int]:
        if mark not in self._changed:
            query = sa.select(issues.c.number).where(issues.c.mark > mark).limit(FEW + 1)
            self._changed[mark] = self._connection.execute(query).scalars().all()
        return self._changed[mark]

    def _alone(self, leaf: Comparison, numbers: Sequence[int], size: int) -> bytes:
        """Those of some issues that are like this, asked one by one."""
        self._spend(leaf, len(numbers))
        known = self._known(leaf)
        searches = sql.search(leaf, known, now=self._now)
        query: sa.Select[Any] | sa.CompoundSelect[Any]
        if searches and leaf.operator in {Operator.EQUAL, Operator.AMONG}:
            # The index leads to the facts of each of them.
            query = _together(each.where(sqlite.among(each.selected_columns[0], numbers)) for each in searches)
        else:
            is_told = sql.column_of(leaf, NUMBERS) is not None
            here = sql.condition(leaf, known, now=self._now) if is_told else sqlite.asked(leaf, now=self._now)
            query = sa.select(issues.c.number).where(sqlite.among(issues.c.number, numbers), here)
        return sqlite.members(self._connection, query, size)

    def _spend(self, leaf: Comparison, count: int) -> None:
        if self._budget is not None and _is_slow(leaf):
            self._budget.spend(count)

    def _anew(self, leaf: Comparison, size: int) -> bytes:
        self._spend(leaf, size)
        known = self._known(leaf)
        query: sa.Select[Any] | sa.CompoundSelect[Any]
        if searches := sql.search(leaf, known, now=self._now):
            query = _together(searches)
        else:
            query = sa.select(issues.c.number).where(sql.condition(leaf, known, now=self._now))
        return sqlite.members(self._connection, query, size)

    def _known(self, leaf: Comparison) -> sql.Known:
        wanted = sorted(sql.names(leaf))
        ids: dict[str, int] = {}
        for start in range(0, len(wanted), NAMES_AT_ONCE):
            some = fact_names.c.name.in_(wanted[start : start + NAMES_AT_ONCE])
            ids |= {row.name: row.id for row in self._connection.execute(sa.select(fact_names).where(some))}
        its_odd = facts.c.name.in_(ids.values()) & (facts.c.folded == "") & (facts.c.kind == Kind.ODD.value)
        odd: set[Any] = set()
        if ids:
            odd = set(self._connection.execute(sa.select(facts.c.name).where(its_odd).distinct()).scalars())
        return sql.Known(
            issue=issues.c.number,
            facts=facts,
            texts=long_texts,
            ids=ids,
            odd=frozenset(name for name, its_id in ids.items() if its_id in odd),
            numbers=NUMBERS,
            asked=lambda leaf: sqlite.asked(leaf, now=self._now),
        )


def _together(searches: Iterable[sa.Select[Any]]) -> sa.CompoundSelect[Any]:
    return sa.union_all(*searches)


def _is_slow(query: Query) -> bool:
    return sql.is_slow(query, NUMBERS)


#: Comparisons in one query that must be evaluated for every issue.
MOST_SLOW = 20

#: Evaluations for one query: its slow comparisons times the issues that each is evaluated for.
MOST_EVALUATIONS = 400_000

#: The time for the evaluation of one query, without the time that it waits for its turn.
SECONDS = 30.0

HINT = "Use fewer comparisons with histories and other fields that have no index, or narrow the query by other fields."


def parse_limited(text: str) -> Query:
    """Parse the query of a viewer.

    Raises:
        QueryError: It cannot be read, or has too many comparisons that must be evaluated for every issue.
    """
    query = parse(text)
    slow = [leaf for leaf in leaves(query) if sql.is_slow(leaf, NUMBERS)]
    if len(slow) > MOST_SLOW:
        first = slow[MOST_SLOW]
        raise QueryError(
            f"the query has {len(slow)} comparisons that must be evaluated for every issue, such as those with "
            f"histories; at most {MOST_SLOW} are allowed",
            line=first.line,
            column=first.column,
        )
    return query


class Budget:
    """What is left for the evaluation of one query."""

    def __init__(self, *, seconds: float, evaluations: int) -> None:
        self._left = evaluations
        self._ends = time.monotonic() + seconds

    def spend(self, evaluations: int) -> None:
        """Take some evaluations from the budget before they are made.

        Raises:
            QueryTooSlowError: So much is not left.
        """
        self._left -= evaluations
        if self._left < 0:
            text = f"the query needs more than {MOST_EVALUATIONS:,} evaluations of single issues"
            raise QueryTooSlowError(text, hint=HINT)
        if time.monotonic() > self._ends:
            raise out_of_time()


def out_of_time() -> QueryTooSlowError:
    """Return the error of a query whose time is over."""
    return QueryTooSlowError(f"the query was stopped after {SECONDS:.0f} seconds", hint=HINT)
