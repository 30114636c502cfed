"""The facts of an issue: everything that queries can search, as rows of a database index. No I/O.

A fact is one value under one name. ``matches`` defines the meaning of a query; the facts of an issue are the values
that it would compare, folded and parsed as numbers and instants in the same way. If a row cannot hold a value exactly,
a fact of the kind ``ODD`` represents it and everything below its name, and ``matches`` itself must evaluate the issue.

Databases store these facts: a change of this module needs a migration that rebuilds them.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from rally_accelerate.dql.evaluator import COUNT, as_milliseconds, as_number
from rally_accelerate.model.text_folding import fold

#: Longer texts are stored in a table of their own, because an index on them would not help.
MAX_TEXT_LENGTH = 200

#: Texts that are stored in that table whatever their length.
APART = frozenset({"description", "url", "comments.comment"})

#: Deeper values, and values with more facts, are not indexed by their parts.
MAX_DEPTH = 8
MAX_FACTS = 400

#: Beyond it floating-point numbers, which databases compare, cannot tell integers apart.
MAX_EXACT_INTEGER = 2**53

#: Not indexed here: the store has a table for the history.
NOT_INDEXED = "history"

#: A list of which only the length and these members are indexed.
COMMENTS = "comments"
COMMENT = frozenset({"comment", "user"})

#: Numbers that the store has columns of its own for.
NUMBERS = frozenset({"created", "lastupdate", "storypoints"})

#: Lists of which only these members are indexed; ``matches`` evaluates the others.
MEMBERS = {
    "sprints": frozenset({"id", "name", "active"}),
    "releases": frozenset({"id", "name", "released"}),
    "relations": frozenset({"id", "type"}),
}

#: Objects in which missing lists have the length 0.
OBJECTS = frozenset({"rawissue", "extended", "additionalinfo", "project"})


class Kind(IntEnum):
    """The kind of value that a fact holds."""

    #: Ask ``matches`` for everything of this name and below it.
    ODD = 0
    TEXT = 1
    FLAG = 2
    NUMBER = 3
    #: An object, by its name; empty if it has none.
    NAMED = 4
    #: An object's id or key: a text, or a number.
    KEYED = 5
    NUMBERED = 6
    #: A text without a character, which is no value but not missing either.
    EMPTY = 7
    #: A text that is no number and no instant, and stands apart; once more without its characters, to say that it does.
    APART = 8


class Fact(NamedTuple):
    """One indexed value of an issue."""

    #: The path: folded names with dots between them.
    name: str
    kind: Kind
    folded: str = ""
    #: As a number and as an instant, where it can be read as one.
    number: float | None = None
    moment: float | None = None


def build_facts(item: Mapping[str, Any]) -> set[Fact]:
    """Return the facts of an issue.

    Args:
        item: An issue under the wire's names; instants in milliseconds since 1970.
    """
    facts: set[Fact] = set()
    for name, value, is_plain in _iterate_members(item):
        if not is_plain:
            facts.add(Fact(name, Kind.ODD))
        elif value is not None:
            facts |= _index_field(name, value)
    return facts


def is_indexed(path: tuple[str, ...]) -> bool:
    """Return whether facts answer queries for a path of folded names."""
    top, *rest = path
    if top == NOT_INDEXED or top in NUMBERS:
        return False
    if top == COMMENTS:
        return len(rest) == 1 and rest[0] in COMMENT | {COUNT}
    return not (rest and top in MEMBERS and rest[0] != COUNT and rest[0] not in MEMBERS[top])


def format_number(value: float) -> tuple[str, ...]:
    """Return the texts by which numbers equal to this one are indexed."""
    if value == 0:
        return ("0", "0.0", "-0.0")
    return (repr(value), str(int(value))) if value.is_integer() else (repr(value),)


def _index_field(name: str, value: Any) -> set[Fact]:
    if name == NOT_INDEXED or name in NUMBERS:
        return set()
    if name == COMMENTS:
        walked = _walk(name, value, 0, COMMENT)
        return {fact for fact in walked if fact.name != name or fact.kind is Kind.ODD}
    if name in OBJECTS and not isinstance(value, Mapping):
        return {Fact(name, Kind.ODD)}
    facts: dict[tuple[str, str, Kind], Fact] = {}
    for fact in _walk(name, value, 0, MEMBERS.get(name)):
        known = facts.setdefault((fact.name, fact.folded, fact.kind), fact)
        if known != fact:
            # Texts that fold alike but do not read alike as dates.
            facts[fact.name, "", Kind.ODD] = Fact(fact.name, Kind.ODD)
        if len(facts) > MAX_FACTS:
            return {Fact(name, Kind.ODD)}
    return set(facts.values())


def _walk(name: str, value: Any, depth: int, members: frozenset[str] | None) -> Iterator[Fact]:
    """Yield the facts of a value, of its elements and its members."""
    if depth > MAX_DEPTH:
        yield Fact(name, Kind.ODD)
        return
    if isinstance(value, list | tuple):
        if depth == 0 or (depth == 1 and name.partition(".")[0] in OBJECTS):
            # The lengths of others are not asked of facts: see ``dql/sql.py``.
            yield from _index_length(name, value)
        for element in _flatten(value):
            if isinstance(element, Mapping):
                yield from _index_object(name, element, depth, members)
            else:
                yield (fact := _index_scalar(name, element))
                if fact.kind is Kind.APART:
                    yield Fact(name, Kind.APART)
    elif isinstance(value, Mapping):
        yield from _index_object(name, value, depth, members)
    elif value is not None:
        yield (fact := _index_scalar(name, value))
        if fact.kind is Kind.APART:
            yield Fact(name, Kind.APART)


def _flatten(elements: Any) -> Iterator[Any]:
    for element in elements:
        if isinstance(element, list | tuple):
            yield from _flatten(element)
        elif element is not None:
            yield element


def _index_object(name: str, fields: Mapping[str, Any], depth: int, members: frozenset[str] | None) -> Iterator[Fact]:
    yield from _index_object_value(name, fields)
    for key, value, is_plain in _iterate_members(fields):
        if members is not None and key not in members and key != COUNT:
            continue
        below = f"{name}.{key}"
        if is_plain and key != COUNT:
            yield from _walk(below, value, depth + 1, None)
        else:
            # The length of a list goes before a member of its elements that is called so.
            yield Fact(below, Kind.ODD)


def _iterate_members(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Yield folded names, values, and whether only one member has the folded name (otherwise, case matters)."""
    names = [fold(key) for key in fields]
    counts = Counter(names)
    are_plain = len(counts) == len(names)
    for name, value in zip(names, fields.values(), strict=True):
        # No query can name the others.
        if name and "." not in name:
            yield name, value, are_plain or counts[name] == 1


def _index_object_value(name: str, fields: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield the facts of an object as a value: it is compared by its name, its id and its key."""
    own_name = fields.get("name")
    if own_name is not None and not (isinstance(own_name, str) and _is_indexable(own_name)):
        yield Fact(name, Kind.ODD)
        own_name = None
    yield Fact(name, Kind.NAMED, fold(own_name) if own_name else "")
    for key in ("id", "key"):
        match fields.get(key):
            case None:
                pass
            case str() as text if _is_indexable(text):
                yield Fact(name, Kind.KEYED, fold(text))
            case int() | float() as number if not isinstance(number, bool) and _is_exact(number):
                yield Fact(name, Kind.NUMBERED, fold(str(number)), number=float(number))
            case _:
                yield Fact(name, Kind.ODD)


def _index_scalar(name: str, value: Any) -> Fact:
    match value:
        case "":
            return Fact(name, Kind.EMPTY)
        case bool():
            return Fact(name, Kind.FLAG, fold(str(value)))
        case int() | float() if _is_exact(value):
            return Fact(name, Kind.NUMBER, fold(str(value)), number=float(value), moment=float(value))
        case str() if _is_indexable(value) and (name not in APART or _is_number_or_instant(value)):
            return _index_text(name, value)
        case str() if "\0" not in value and not _is_number_or_instant(value):
            return Fact(name, Kind.APART, fold(value))
    return Fact(name, Kind.ODD)


def _is_number_or_instant(text: str) -> bool:
    """Return whether a text reads as a number or an instant."""
    return as_number(text) is not None or as_milliseconds(text) is not None


# The same texts come again and again: of a status, a person, a project.
@lru_cache(maxsize=8_192)
def _index_text(name: str, text: str) -> Fact:
    number = as_number(text)
    if number is not None and not math.isfinite(number):
        return Fact(name, Kind.ODD)
    return Fact(name, Kind.TEXT, fold(text), number=number, moment=as_milliseconds(text))


def _index_length(name: str, elements: Any) -> Iterator[Fact]:
    """Yield the length of a list that is not empty; missing lists have the length 0 anyway."""
    if length := len(elements):
        yield Fact(f"{name}.{COUNT}", Kind.NUMBER, str(length), number=float(length), moment=float(length))


def _is_indexable(text: str) -> bool:
    # Some databases end a text at its first zero byte.
    return 0 < len(text) <= MAX_TEXT_LENGTH and "\0" not in text


def _is_exact(number: float) -> bool:
    return abs(number) <= MAX_EXACT_INTEGER if isinstance(number, int) else math.isfinite(number)
