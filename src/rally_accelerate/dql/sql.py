"""From a query to a condition of SQL: the fast path, equal to ``matches``.

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

from rally_accelerate.dql.ast import Both, Comparison, Either, Negated, Operator, Query, Value, leaves
from rally_accelerate.dql.evaluator import COUNT, matches, milliseconds
from rally_accelerate.dql.index_terms import OBJECTS, Kind, is_told, number_texts
from rally_accelerate.model.text_folding import fold

Condition = sa.ColumnElement[bool]

_TEXTS = (Kind.TEXT, Kind.FLAG, Kind.NAMED, Kind.KEYED)
_NUMBERS = (Kind.NUMBER, Kind.NUMBERED)
_HOLDING = (Kind.TEXT, Kind.FLAG, Kind.NUMBER, Kind.NAMED)

#: Instants are bounded by whole numbers in the index, and compared exactly after that.
SLACK_MS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Where a store keeps what queries ask for."""

    #: The key of an issue.
    issue: sa.ColumnElement[int]
    #: ``name``, ``folded``, ``kind``, ``issue``, ``number`` and ``moment``.
    facts: sa.Table
    #: ``name``, ``folded`` and ``issue`` of the texts that stand apart.
    texts: sa.Table
    #: The ids of the names in the query; one that is missing is a name that no issue has.
    ids: Mapping[str, int]
    #: Names of which some issue has an odd fact.
    odd: frozenset[str]
    #: Columns of numbers, by their folded path: no fact stands for them.
    numbers: Mapping[str, sa.ColumnElement[Any]]
    #: Whether ``matches`` says that an issue is like this; as slow as it is exact.
    asked: Callable[[Comparison], Condition]


def condition(query: Query, known: Known, *, now: datetime) -> Condition:
    """The issues that match a query, as a condition that is never null.

    Args:
        query: From ``parse``.
        known: Where the store keeps what it asks for.
        now: Ages are counted from here; aware.
    """
    match query:
        case Both(operands):
            return sa.and_(sa.true(), *(condition(operand, known, now=now) for operand in operands))
        case Either(operands):
            return sa.or_(sa.false(), *(condition(operand, known, now=now) for operand in operands))
        case Negated(operand):
            return sa.not_(condition(operand, known, now=now))
        case Comparison():
            return _compared(query, known, now)


def names(query: Query) -> set[str]:
    """The names of facts, and of what stands above them, that a query asks for."""
    return {".".join(path[:length]) for leaf in leaves(query) for path in [_path(leaf)] for length in _upto(path)}


def has_age(query: Query) -> bool:
    """Whether what matches depends on the hour."""
    return any(value.age is not None for leaf in leaves(query) for value in leaf.values)


def is_slow(query: Query, numbers: Container[str]) -> bool:
    """Whether ``matches`` must be asked of every issue.

    Args:
        query: A query.
        numbers: The folded paths of numbers in columns.
    """
    return any(
        leaf.item == "issue" and not _in_column(leaf, numbers) and not _is_told(leaf, _path(leaf))
        for leaf in leaves(query)
    )


def column_of(leaf: Comparison, numbers: Mapping[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[Any] | None:
    """The column that answers a comparison, if one does."""
    return numbers[".".join(_path(leaf))] if _in_column(leaf, numbers) else None


def search(leaf: Comparison, known: Known, *, now: datetime) -> tuple[sa.Select[Any], ...]:
    """The issues of a comparison that searches among the facts tell, together; some of them several times.

    Empty where such searches do not tell.
    """
    path = _path(leaf)
    if leaf.item != "issue" or leaf.operator is Operator.UNEQUAL or _in_column(leaf, known.numbers):
        return ()
    is_length = path[-1] == COUNT and len(path) > 1
    is_odd = any(".".join(path[:length]) in known.odd for length in _upto(path))
    its_id = known.ids.get(".".join(path))
    if is_length or is_odd or its_id is None or not _is_told(leaf, path):
        return ()
    return _searches(leaf, its_id, known, now)


def _in_column(leaf: Comparison, numbers: Container[str]) -> bool:
    path = _path(leaf)
    is_length = path[-1] == COUNT and len(path) > 1
    return (
        ".".join(path) in numbers
        and leaf.operator is not Operator.CONTAINS
        and (not is_length or leaf.path[-1] == COUNT)
    )


def _path(leaf: Comparison) -> tuple[str, ...]:
    return tuple(fold(name) for name in leaf.path)


def _upto(path: tuple[str, ...]) -> range:
    return range(1, len(path) + 1)


def _compared(leaf: Comparison, known: Known, now: datetime) -> Condition:
    if leaf.operator is Operator.UNEQUAL:
        return sa.not_(_compared(_with(leaf, Operator.EQUAL), known, now))
    if leaf.item != "issue":
        return sa.false()
    path = _path(leaf)
    is_length = path[-1] == COUNT and len(path) > 1
    column = column_of(leaf, known.numbers)
    if column is not None:
        return _of_column(leaf, column, now)
    if not _is_told(leaf, path):
        return known.asked(leaf)
    found = [_of_facts(leaf, path, known, now)]
    if is_length and _is_true_of_zero(leaf, now):
        found.append(_is_missing(path, known))
    odd = [known.ids[name] for length in _upto(path) if (name := ".".join(path[:length])) in known.odd]
    if odd:
        where = (known.facts.c.name.in_(odd), known.facts.c.folded == "", known.facts.c.kind == Kind.ODD.value)
        found.append(sa.and_(_some(known, *where), known.asked(leaf)))
    return sa.or_(*found)


def _with(leaf: Comparison, operator: Operator) -> Comparison:
    return Comparison(leaf.item, leaf.path, operator, leaf.values, leaf.line, leaf.column)


def _is_told(leaf: Comparison, path: tuple[str, ...]) -> bool:
    if any("\0" in value.text for value in leaf.values):
        return False
    if path[-1] == COUNT and len(path) > 1:
        # Of what lies deeper, facts do not tell how many objects lack a list; and only this spelling is a length.
        is_simple = len(path) == len(("one", COUNT)) or (
            len(path) == len(("object", "one", COUNT)) and path[0] in OBJECTS
        )
        return leaf.path[-1] == COUNT and is_simple and is_told(path)
    return is_told(path)


def _some(known: Known, *where: Condition) -> Condition:
    return known.issue.in_(sa.select(known.facts.c.issue).where(*where))


def _of_facts(leaf: Comparison, path: tuple[str, ...], known: Known, now: datetime) -> Condition:
    its_id = known.ids.get(".".join(path))
    if its_id is None:
        return sa.false()
    return sa.or_(*(known.issue.in_(each) for each in _searches(leaf, its_id, known, now)))


def _searches(leaf: Comparison, its_id: int, known: Known, now: datetime) -> tuple[sa.Select[Any], ...]:
    facts, texts = known.facts.c, known.texts.c
    return (
        sa.select(facts.issue).where(facts.name == its_id, _of_fact(leaf, known, now)),
        sa.select(texts.issue).where(texts.name == its_id, _of_text(leaf, texts.folded)),
    )


def _of_fact(leaf: Comparison, known: Known, now: datetime) -> Condition:
    its = known.facts.c
    match leaf.operator:
        case Operator.EQUAL | Operator.AMONG:
            return _equal(leaf.values, its)
        case Operator.CONTAINS:
            folded = fold(leaf.values[0].text)
            holds = [its.kind.in_([kind.value for kind in _HOLDING]), its.folded.contains(folded, autoescape=True)]
            # What has no characters lies together: it need not be read.
            return sa.and_(*holds, its.folded > "") if folded else sa.and_(*holds)
        case operator:
            return _ordered(operator, leaf.values[0], its, now)


def _of_text(leaf: Comparison, folded: Any) -> Condition:
    """A comparison with a text that is neither a number nor an instant."""
    texts = [fold(value.text) for value in leaf.values]
    match leaf.operator:
        case Operator.EQUAL | Operator.AMONG:
            found: Condition = folded.in_(sorted(set(texts)))
        case Operator.CONTAINS:
            found = folded.contains(texts[0], autoescape=True)
        case operator:
            found = _in_order(folded, operator, texts[0])
    return found


def _equal(values: tuple[Value, ...], its: Any) -> Condition:
    # An empty text is no value that anything is equal to.
    texts = {folded for value in values if (folded := fold(value.text))}
    numbers = {text for value in values if (number := _number(value)) is not None for text in number_texts(number)}
    found: list[Condition] = [sa.and_(its.kind.in_([kind.value for kind in _TEXTS]), its.folded.in_(sorted(texts)))]
    if numbers:
        found.append(sa.and_(its.kind.in_([kind.value for kind in _NUMBERS]), its.folded.in_(sorted(numbers))))
    # Said once more for the index.
    return sa.and_(its.folded.in_(sorted(texts | numbers)), sa.or_(*found))


def _number(value: Value) -> float | None:
    """What a number is equal to."""
    if value.number is not None:
        return value.number
    return None if value.instant is None else milliseconds(value.instant)


def _ordered(operator: Operator, value: Value, its: Any, now: datetime) -> Condition:
    is_text = its.kind == Kind.TEXT.value
    as_text = sa.and_(is_text, _in_order(its.folded, operator, fold(value.text)))
    either = its.kind.in_([Kind.TEXT.value, Kind.NUMBER.value])
    if value.age is not None:
        age = value.age / timedelta(milliseconds=1)
        return _told_or(either, its.moment, _in_order(milliseconds(now) - its.moment, operator, age), as_text)
    if value.instant is not None:
        there = _in_order(its.moment, operator, milliseconds(value.instant))
        return _told_or(either, its.moment, there, as_text)
    if value.number is not None:
        return _told_or(either, its.number, _in_order(its.number, operator, value.number), as_text)
    return as_text


def _told_or(either: Condition, column: Any, there: Condition, as_text: Condition) -> Condition:
    """A comparison of a column where it is filled, else of the text."""
    return sa.or_(sa.and_(either, column.is_not(None), there), sa.and_(column.is_(None), as_text))


def _in_order(left: Any, operator: Operator, right: Any) -> Condition:
    match operator:
        case Operator.LESS:
            found: Condition = left < right
        case Operator.AT_MOST:
            found = left <= right
        case Operator.MORE:
            found = left > right
        case _:
            found = left >= right
    return found


def _of_column(leaf: Comparison, column: sa.ColumnElement[Any], now: datetime) -> Condition:
    """A number in a column of its own."""
    value = leaf.values[0]
    there = column.is_not(None)
    match leaf.operator:
        case Operator.EQUAL | Operator.AMONG:
            numbers = [number for each in leaf.values if (number := _number(each)) is not None]
            return sa.and_(there, column.in_(numbers)) if numbers else sa.false()
        case operator if value.age is not None:
            moment, age = milliseconds(now), value.age / timedelta(milliseconds=1)
            # The younger, the later: the bound lets an index be used, the comparison is that of ``matches``.
            is_young = operator in {Operator.LESS, Operator.AT_MOST}
            bound = column >= int(moment - age) - SLACK_MS if is_young else column <= int(moment - age) + SLACK_MS
            return sa.and_(there, bound, _in_order(sa.literal(moment, sa.Float) - column, operator, age))
        case operator:
            number = _number(value)
            return sa.false() if number is None else sa.and_(there, _in_order(column, operator, number))


def _is_true_of_zero(leaf: Comparison, now: datetime) -> bool:
    return matches(Comparison("issue", ("zero",), leaf.operator, leaf.values), {"zero": 0}, now=now)


def _is_missing(path: tuple[str, ...], known: Known) -> Condition:
    """Where a list that was never filled in has the length 0."""
    names = (".".join(path), ".".join(path[:-1]))
    ids = [known.ids[name] for name in names if name in known.ids]
    found = sa.not_(_some(known, known.facts.c.name.in_(ids))) if ids else sa.true()
    if len(path) == len(("one", COUNT)):
        return found
    its_object = known.ids.get(path[0])
    if its_object is None:
        return sa.false()
    return sa.and_(_some(known, known.facts.c.name == its_object, known.facts.c.kind == Kind.NAMED.value), found)
