"""Translation of queries to SQL conditions with the same results as ``matches``.

The store keeps the facts of each issue (``dql/index_terms.py``) and says here where. A comparison becomes a search
among them that an index answers; what facts do not tell is left to ``matches`` itself, by a function that the store
provides.
The condition is written in SQL that SQLite and PostgreSQL share; texts must be compared by their code points (SQLite's
order, collation "C" of PostgreSQL).
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from rally_accelerate.dql.ast import And, Comparison, Not, Operator, Or, Query, Value, iterate_comparisons
from rally_accelerate.dql.evaluator import COUNT, get_milliseconds, matches
from rally_accelerate.dql.index_terms import OBJECTS, Kind, format_number, is_indexed
from rally_accelerate.model.text_folding import fold

Condition = sa.ColumnElement[bool]

_TEXTS = (Kind.TEXT, Kind.FLAG, Kind.NAMED, Kind.KEYED)
_NUMBERS = (Kind.NUMBER, Kind.NUMBERED)
_HOLDING = (Kind.TEXT, Kind.FLAG, Kind.NUMBER, Kind.NAMED)

#: Instants are bounded by whole numbers in the index, and compared exactly after that.
SLACK_MS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexTables:
    """The tables and columns in which a store keeps the index of issues."""

    #: The key of an issue.
    issue: sa.ColumnElement[int]
    #: ``name``, ``folded``, ``kind``, ``issue``, ``number`` and ``moment``.
    facts: sa.Table
    #: ``name``, ``folded`` and ``issue`` of the long texts.
    texts: sa.Table
    #: The ids of the names in the query; one that is missing is a name that no issue has.
    ids: Mapping[str, int]
    #: Names of which some issue has an odd fact.
    odd: frozenset[str]
    #: Columns of numbers, by their folded path; they have no facts.
    numbers: Mapping[str, sa.ColumnElement[Any]]
    #: Evaluates ``matches`` for an issue; exact but slow.
    evaluate: Callable[[Comparison], Condition]


def build_condition(query: Query, known: IndexTables, *, now: datetime) -> Condition:
    """Return the condition for the issues that match a query; it is never null.

    Args:
        query: From ``parse``.
        known: The tables and columns of the index.
        now: Ages are counted from here; aware.
    """
    match query:
        case And(operands):
            return sa.and_(sa.true(), *(build_condition(operand, known, now=now) for operand in operands))
        case Or(operands):
            return sa.or_(sa.false(), *(build_condition(operand, known, now=now) for operand in operands))
        case Not(operand):
            return sa.not_(build_condition(operand, known, now=now))
        case Comparison():
            return _build_comparison(query, known, now)


def list_fact_names(query: Query) -> set[str]:
    """Return the fact names that a query needs, with their prefixes."""
    return {
        ".".join(path[:length])
        for leaf in iterate_comparisons(query)
        for path in [_fold_path(leaf)]
        for length in _get_prefix_lengths(path)
    }


def has_age(query: Query) -> bool:
    """Return whether the result depends on the current time."""
    return any(value.age is not None for leaf in iterate_comparisons(query) for value in leaf.values)


def is_slow(query: Query, numbers: Container[str]) -> bool:
    """Return whether ``matches`` must evaluate every issue.

    Args:
        query: A query.
        numbers: The folded paths of numbers in columns.
    """
    return any(
        leaf.item == "issue" and not _in_column(leaf, numbers) and not _is_indexed(leaf, _fold_path(leaf))
        for leaf in iterate_comparisons(query)
    )


def find_column(leaf: Comparison, numbers: Mapping[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[Any] | None:
    """Return the column that answers a comparison, or None."""
    return numbers[".".join(_fold_path(leaf))] if _in_column(leaf, numbers) else None


def select_matches(leaf: Comparison, known: IndexTables, *, now: datetime) -> tuple[sa.Select[Any], ...]:
    """Return the selections whose union are the issues of a comparison; issues can be repeated.

    Empty where such searches do not tell.
    """
    path = _fold_path(leaf)
    if leaf.item != "issue" or leaf.operator is Operator.UNEQUAL or _in_column(leaf, known.numbers):
        return ()
    is_length = path[-1] == COUNT and len(path) > 1
    is_odd = any(".".join(path[:length]) in known.odd for length in _get_prefix_lengths(path))
    name_id = known.ids.get(".".join(path))
    if is_length or is_odd or name_id is None or not _is_indexed(leaf, path):
        return ()
    return _select_from_index(leaf, name_id, known, now)


def _in_column(leaf: Comparison, numbers: Container[str]) -> bool:
    path = _fold_path(leaf)
    is_length = path[-1] == COUNT and len(path) > 1
    return (
        ".".join(path) in numbers
        and leaf.operator is not Operator.CONTAINS
        and (not is_length or leaf.path[-1] == COUNT)
    )


def _fold_path(leaf: Comparison) -> tuple[str, ...]:
    return tuple(fold(name) for name in leaf.path)


def _get_prefix_lengths(path: tuple[str, ...]) -> range:
    return range(1, len(path) + 1)


def _build_comparison(leaf: Comparison, known: IndexTables, now: datetime) -> Condition:
    if leaf.operator is Operator.UNEQUAL:
        return sa.not_(_build_comparison(_replace_operator(leaf, Operator.EQUAL), known, now))
    if leaf.item != "issue":
        return sa.false()
    path = _fold_path(leaf)
    is_length = path[-1] == COUNT and len(path) > 1
    column = find_column(leaf, known.numbers)
    if column is not None:
        return _match_column(leaf, column, now)
    if not _is_indexed(leaf, path):
        return known.evaluate(leaf)
    alternatives = [_match_facts(leaf, path, known, now)]
    if is_length and _matches_zero(leaf, now):
        alternatives.append(_match_missing(path, known))
    odd = [known.ids[name] for length in _get_prefix_lengths(path) if (name := ".".join(path[:length])) in known.odd]
    if odd:
        where = (known.facts.c.name.in_(odd), known.facts.c.folded == "", known.facts.c.kind == Kind.ODD.value)
        alternatives.append(sa.and_(_match_any_fact(known, *where), known.evaluate(leaf)))
    return sa.or_(*alternatives)


def _replace_operator(leaf: Comparison, operator: Operator) -> Comparison:
    return Comparison(leaf.item, leaf.path, operator, leaf.values, leaf.line, leaf.column)


def _is_indexed(leaf: Comparison, path: tuple[str, ...]) -> bool:
    if any("\0" in value.text for value in leaf.values):
        return False
    if path[-1] == COUNT and len(path) > 1:
        # Of what lies deeper, facts do not tell how many objects lack a list; and only this spelling is a length.
        is_simple = len(path) == len(("one", COUNT)) or (
            len(path) == len(("object", "one", COUNT)) and path[0] in OBJECTS
        )
        return leaf.path[-1] == COUNT and is_simple and is_indexed(path)
    return is_indexed(path)


def _match_any_fact(known: IndexTables, *where: Condition) -> Condition:
    return known.issue.in_(sa.select(known.facts.c.issue).where(*where))


def _match_facts(leaf: Comparison, path: tuple[str, ...], known: IndexTables, now: datetime) -> Condition:
    name_id = known.ids.get(".".join(path))
    if name_id is None:
        return sa.false()
    return sa.or_(*(known.issue.in_(selection) for selection in _select_from_index(leaf, name_id, known, now)))


def _select_from_index(leaf: Comparison, name_id: int, known: IndexTables, now: datetime) -> tuple[sa.Select[Any], ...]:
    facts, texts = known.facts.c, known.texts.c
    return (
        sa.select(facts.issue).where(facts.name == name_id, _match_fact(leaf, known, now)),
        sa.select(texts.issue).where(texts.name == name_id, _match_text(leaf, texts.folded)),
    )


def _match_fact(leaf: Comparison, known: IndexTables, now: datetime) -> Condition:
    columns = known.facts.c
    match leaf.operator:
        case Operator.EQUAL | Operator.AMONG:
            return _match_equal(leaf.values, columns)
        case Operator.CONTAINS:
            folded = fold(leaf.values[0].text)
            holds = [
                columns.kind.in_([kind.value for kind in _HOLDING]),
                columns.folded.contains(folded, autoescape=True),
            ]
            # What has no characters lies together: it need not be read.
            return sa.and_(*holds, columns.folded > "") if folded else sa.and_(*holds)
        case operator:
            return _match_order(operator, leaf.values[0], columns, now)


def _match_text(leaf: Comparison, folded: Any) -> Condition:
    """Compare a text that is neither a number nor an instant."""
    texts = [fold(value.text) for value in leaf.values]
    match leaf.operator:
        case Operator.EQUAL | Operator.AMONG:
            matched: Condition = folded.in_(sorted(set(texts)))
        case Operator.CONTAINS:
            matched = folded.contains(texts[0], autoescape=True)
        case operator:
            matched = _compare_order(folded, operator, texts[0])
    return matched


def _match_equal(values: tuple[Value, ...], columns: Any) -> Condition:
    # An empty text is no value that anything is equal to.
    texts = {folded for value in values if (folded := fold(value.text))}
    numbers = {text for value in values if (number := _get_number(value)) is not None for text in format_number(number)}
    alternatives: list[Condition] = [
        sa.and_(columns.kind.in_([kind.value for kind in _TEXTS]), columns.folded.in_(sorted(texts)))
    ]
    if numbers:
        alternatives.append(
            sa.and_(columns.kind.in_([kind.value for kind in _NUMBERS]), columns.folded.in_(sorted(numbers)))
        )
    # Said once more for the index.
    return sa.and_(columns.folded.in_(sorted(texts | numbers)), sa.or_(*alternatives))


def _get_number(value: Value) -> float | None:
    """Return the number that a value equals, or None."""
    if value.number is not None:
        return value.number
    return None if value.instant is None else get_milliseconds(value.instant)


def _match_order(operator: Operator, value: Value, columns: Any, now: datetime) -> Condition:
    is_text = columns.kind == Kind.TEXT.value
    as_text = sa.and_(is_text, _compare_order(columns.folded, operator, fold(value.text)))
    either = columns.kind.in_([Kind.TEXT.value, Kind.NUMBER.value])
    if value.age is not None:
        age = value.age / timedelta(milliseconds=1)
        return _match_column_or_text(
            either, columns.moment, _compare_order(get_milliseconds(now) - columns.moment, operator, age), as_text
        )
    if value.instant is not None:
        there = _compare_order(columns.moment, operator, get_milliseconds(value.instant))
        return _match_column_or_text(either, columns.moment, there, as_text)
    if value.number is not None:
        return _match_column_or_text(
            either, columns.number, _compare_order(columns.number, operator, value.number), as_text
        )
    return as_text


def _match_column_or_text(either: Condition, column: Any, there: Condition, as_text: Condition) -> Condition:
    """Compare a column where it has a value, otherwise the text."""
    return sa.or_(sa.and_(either, column.is_not(None), there), sa.and_(column.is_(None), as_text))


def _compare_order(first: Any, operator: Operator, second: Any) -> Condition:
    match operator:
        case Operator.LESS:
            ordered: Condition = first < second
        case Operator.AT_MOST:
            ordered = first <= second
        case Operator.MORE:
            ordered = first > second
        case _:
            ordered = first >= second
    return ordered


def _match_column(leaf: Comparison, column: sa.ColumnElement[Any], now: datetime) -> Condition:
    """Compare a number that has its own column."""
    value = leaf.values[0]
    there = column.is_not(None)
    match leaf.operator:
        case Operator.EQUAL | Operator.AMONG:
            numbers = [number for operand in leaf.values if (number := _get_number(operand)) is not None]
            return sa.and_(there, column.in_(numbers)) if numbers else sa.false()
        case operator if value.age is not None:
            moment, age = get_milliseconds(now), value.age / timedelta(milliseconds=1)
            # The younger, the later: the bound lets an index be used, the comparison is that of ``matches``.
            is_young = operator in {Operator.LESS, Operator.AT_MOST}
            bound = column >= int(moment - age) - SLACK_MS if is_young else column <= int(moment - age) + SLACK_MS
            return sa.and_(there, bound, _compare_order(sa.literal(moment, sa.Float) - column, operator, age))
        case operator:
            number = _get_number(value)
            return sa.false() if number is None else sa.and_(there, _compare_order(column, operator, number))


def _matches_zero(leaf: Comparison, now: datetime) -> bool:
    return matches(Comparison("issue", ("zero",), leaf.operator, leaf.values), {"zero": 0}, now=now)


def _match_missing(path: tuple[str, ...], known: IndexTables) -> Condition:
    """Match issues in which a list was never filled in, so that its length is 0."""
    names = (".".join(path), ".".join(path[:-1]))
    ids = [known.ids[name] for name in names if name in known.ids]
    is_absent = sa.not_(_match_any_fact(known, known.facts.c.name.in_(ids))) if ids else sa.true()
    if len(path) == len(("one", COUNT)):
        return is_absent
    object_id = known.ids.get(path[0])
    if object_id is None:
        return sa.false()
    return sa.and_(
        _match_any_fact(known, known.facts.c.name == object_id, known.facts.c.kind == Kind.NAMED.value), is_absent
    )
