"""Evaluates queries: a set of issues for each comparison, combined as in the query.

The set of a comparison is kept while issues change: only those that were uploaded since are looked at again. So a stage
of a map and a filter share what they have in common, and an upload does not make everything be counted again.
"""

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from rally_accelerate.dql import sql
from rally_accelerate.dql.ast import And, Comparison, Not, Operator, Or, Query, iterate_comparisons
from rally_accelerate.dql.index_terms import Kind
from rally_accelerate.dql.parser import parse
from rally_accelerate.errors import QueryError, QueryTooSlowError
from rally_accelerate.server.store import sqlite
from rally_accelerate.server.store.column_index import ColumnIndex
from rally_accelerate.server.store.issue_sets import difference, intersection, iterate_numbers, pad, union
from rally_accelerate.server.store.tables import fact_names, facts, issues, long_texts

#: Sets of comparisons that are kept: of 200,000 issues each takes 200 kB.
MAX_CACHED = 150

#: So many issues are sooner looked at one by one than found among all.
SMALL_SET_SIZE = 10_000

#: Names looked up at once: SQLite before 3.32 allowed 999 parameters in one statement.
NAMES_PER_QUERY = 900

#: Their numbers stand in columns: by folded path.
NUMBER_COLUMNS = {
    "created": issues.c.created,
    "lastupdate": issues.c.last_update,
    "storypoints": issues.c.story_points,
    "history.count": issues.c.changes,
}


class Spendable(Protocol):
    """What limits the evaluation of issues one by one."""

    def spend(self, evaluations: int) -> None:
        """Take some evaluations from the budget, or raise."""


class QueryEvaluator:
    """Evaluates queries on the issues of a server."""

    def __init__(self, columns: ColumnIndex | None = None) -> None:
        #: Results that need no query of the database.
        self._columns = columns
        self._removal_counter = 0
        #: By comparison: the mark at which it was found, and the set.
        self._cache: OrderedDict[Hashable, tuple[int, bytes]] = OrderedDict()

    def evaluate(
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
        """Return the issues of a set that match a query.

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
        if removals > self._removal_counter:
            self._removal_counter = removals
            self._cache.clear()
        return _Evaluation(self, connection, mark, removals, now, budget=budget).evaluate(query, among)

    def from_columns(self, leaf: Comparison, now: datetime) -> bytes | None:
        """Return the issues that match a comparison if the columns suffice, else None."""
        return None if self._columns is None else self._columns.find_matching(leaf, now=now)

    def get_cached(self, key: Hashable) -> tuple[int, bytes] | None:
        """Return the cached set of a comparison with its change counter, or None."""
        if key in self._cache:
            self._cache.move_to_end(key)
        return self._cache.get(key)

    def cache_result(self, key: Hashable, result: bytes, *, mark: int, removals: int) -> None:
        """Keep the set of a comparison, unless a newer one is there."""
        if removals != self._removal_counter or (key in self._cache and self._cache[key][0] > mark):
            return
        self._cache[key] = (mark, result)
        while len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)


class _Evaluation:
    """The evaluation of one query."""

    def __init__(
        self,
        answers: QueryEvaluator,
        connection: sa.Connection,
        mark: int,
        removals: int,
        now: datetime,
        *,
        budget: Spendable | None,
    ) -> None:
        self._budget = budget
        self._evaluator = answers
        self._connection = connection
        self._counter = mark
        self._removal_counter = removals
        self._now = now
        self._changed_numbers: dict[int, Sequence[int]] = {}

    def evaluate(self, query: Query, among: bytes) -> bytes:
        match query:
            case And(operands):
                # Conditions that are evaluated for each issue come last, when few issues are left.
                for operand in sorted(operands, key=_is_slow):
                    among = intersection(among, self.evaluate(operand, among))
                return among
            case Or(operands):
                result = bytes(len(among))
                for operand in sorted(operands, key=_is_slow):
                    result = union(result, self.evaluate(operand, difference(among, result)))
                return result
            case Not(operand):
                return difference(among, self.evaluate(operand, among))
            case Comparison(operator=Operator.UNEQUAL):
                return difference(among, self.evaluate(replace(query, operator=Operator.EQUAL), among))
            case Comparison(item=item) if item != "issue":
                # Only issues are held here.
                return bytes(len(among))
            case Comparison():
                message = self._evaluator.from_columns(query, self._now)
                return intersection(
                    among, pad(self._evaluate_comparison(query, among) if message is None else message, len(among))
                )

    def _evaluate_comparison(self, leaf: Comparison, among: bytes) -> bytes:
        if sql.has_age(leaf):
            return self._evaluate_all(leaf, len(among))
        key = (leaf.item, leaf.path, leaf.operator, leaf.values)
        cached = self._evaluator.get_cached(key)
        if cached is None:
            if _is_slow(leaf) and among.count(1) <= SMALL_SET_SIZE:
                return self._evaluate_numbers(leaf, tuple(iterate_numbers(among)), len(among))
            result = self._evaluate_all(leaf, len(among))
        else:
            since, result = cached
            if since >= self._counter:
                return result
            changed = self._list_changed_since(since)
            if len(changed) > SMALL_SET_SIZE:
                result = self._evaluate_all(leaf, len(among))
            else:
                result = self._refresh(leaf, result, changed, len(among))
        self._evaluator.cache_result(key, result, mark=self._counter, removals=self._removal_counter)
        return result

    def _refresh(self, leaf: Comparison, cached: bytes, changed: Sequence[int], size: int) -> bytes:
        """Update a cached set for the issues that changed since."""
        renewed = bytearray(pad(cached, size))
        matching = self._evaluate_numbers(leaf, changed, size)
        for number in changed:
            if number < size:
                renewed[number] = matching[number]
        return bytes(renewed)

    def _list_changed_since(self, mark: int) -> Sequence[int]:
        if mark not in self._changed_numbers:
            query = sa.select(issues.c.number).where(issues.c.mark > mark).limit(SMALL_SET_SIZE + 1)
            self._changed_numbers[mark] = self._connection.execute(query).scalars().all()
        return self._changed_numbers[mark]

    def _evaluate_numbers(self, leaf: Comparison, numbers: Sequence[int], size: int) -> bytes:
        """Return which of the given issues match a comparison."""
        self._spend(leaf, len(numbers))
        known = self._load_names(leaf)
        searches = sql.select_matches(leaf, known, now=self._now)
        query: sa.Select[Any] | sa.CompoundSelect[Any]
        if searches and leaf.operator in {Operator.EQUAL, Operator.AMONG}:
            # The index leads to the facts of each of them.
            query = _combine_searches(
                searche.where(sqlite.is_among(searche.selected_columns[0], numbers)) for searche in searches
            )
        else:
            has_column = sql.find_column(leaf, NUMBER_COLUMNS) is not None
            here = (
                sql.build_condition(leaf, known, now=self._now)
                if has_column
                else sqlite.matches_in_python(leaf, now=self._now)
            )
            query = sa.select(issues.c.number).where(sqlite.is_among(issues.c.number, numbers), here)
        return sqlite.collect_members(self._connection, query, size)

    def _spend(self, leaf: Comparison, count: int) -> None:
        if self._budget is not None and _is_slow(leaf):
            self._budget.spend(count)

    def _evaluate_all(self, leaf: Comparison, size: int) -> bytes:
        self._spend(leaf, size)
        known = self._load_names(leaf)
        query: sa.Select[Any] | sa.CompoundSelect[Any]
        if searches := sql.select_matches(leaf, known, now=self._now):
            query = _combine_searches(searches)
        else:
            query = sa.select(issues.c.number).where(sql.build_condition(leaf, known, now=self._now))
        return sqlite.collect_members(self._connection, query, size)

    def _load_names(self, leaf: Comparison) -> sql.IndexTables:
        requested = sorted(sql.list_fact_names(leaf))
        ids: dict[str, int] = {}
        for start in range(0, len(requested), NAMES_PER_QUERY):
            some = fact_names.c.name.in_(requested[start : start + NAMES_PER_QUERY])
            ids |= {row.name: row.id for row in self._connection.execute(sa.select(fact_names).where(some))}
        odd_facts = facts.c.name.in_(ids.values()) & (facts.c.folded == "") & (facts.c.kind == Kind.ODD.value)
        odd: set[Any] = set()
        if ids:
            odd = set(self._connection.execute(sa.select(facts.c.name).where(odd_facts).distinct()).scalars())
        return sql.IndexTables(
            issue=issues.c.number,
            facts=facts,
            texts=long_texts,
            ids=ids,
            odd=frozenset(name for name, name_id in ids.items() if name_id in odd),
            numbers=NUMBER_COLUMNS,
            evaluate=lambda leaf: sqlite.matches_in_python(leaf, now=self._now),
        )


def _combine_searches(searches: Iterable[sa.Select[Any]]) -> sa.CompoundSelect[Any]:
    return sa.union_all(*searches)


def _is_slow(query: Query) -> bool:
    return sql.is_slow(query, NUMBER_COLUMNS)


#: Comparisons in one query that must be evaluated for every issue.
MAX_SLOW_COMPARISONS = 20

#: Evaluations for one query: its slow comparisons times the issues that each is evaluated for.
MAX_EVALUATIONS = 400_000

#: The time for the evaluation of one query, without the time that it waits for its turn.
TIMEOUT_SECONDS = 30.0

HINT = "Use fewer comparisons with histories and other fields that have no index, or narrow the query by other fields."


def parse_limited(text: str) -> Query:
    """Parse the query of a viewer.

    Raises:
        QueryError: It cannot be read, or has too many comparisons that must be evaluated for every issue.
    """
    query = parse(text)
    slow = [leaf for leaf in iterate_comparisons(query) if sql.is_slow(leaf, NUMBER_COLUMNS)]
    if len(slow) > MAX_SLOW_COMPARISONS:
        first = slow[MAX_SLOW_COMPARISONS]
        raise QueryError(
            f"the query has {len(slow)} comparisons that must be evaluated for every issue, such as those with "
            f"histories; at most {MAX_SLOW_COMPARISONS} are allowed",
            line=first.line,
            column=first.column,
        )
    return query


class Budget:
    """What is left for the evaluation of one query."""

    def __init__(self, *, seconds: float, evaluations: int) -> None:
        self._remaining = evaluations
        self._deadline = time.monotonic() + seconds

    def spend(self, evaluations: int) -> None:
        """Take some evaluations from the budget before they are made.

        Raises:
            QueryTooSlowError: So much is not left.
        """
        self._remaining -= evaluations
        if self._remaining < 0:
            text = f"the query needs more than {MAX_EVALUATIONS:,} evaluations of single issues"
            raise QueryTooSlowError(text, hint=HINT)
        if time.monotonic() > self._deadline:
            raise make_timeout_error()


def make_timeout_error() -> QueryTooSlowError:
    """Return the error of a query whose time is over."""
    return QueryTooSlowError(f"the query was stopped after {TIMEOUT_SECONDS:.0f} seconds", hint=HINT)
