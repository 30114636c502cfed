"""Pure: everything that a query may ask of an issue, as rows that a database can search.

A fact is one value under one name. ``matches`` says what a query means; the facts of an issue are the values that it
would look at, folded and read as numbers and instants the way it reads them. Where a value cannot be told exactly in a
row, a fact of the kind ``ODD`` stands for it and for everything below its name: there ``matches`` itself must be asked.

What is stored was made by this module: whoever changes it must have a migration make all facts anew.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from rally_accelerate.dql.evaluator import COUNT, as_milliseconds, as_number
from rally_accelerate.model.text_folding import fold

#: Longer texts stand apart: no index of them would help, and all facts would be larger by them.
LONGEST = 200

#: Texts that stand apart whatever their length.
APART = frozenset({"description", "url", "comments.comment"})

#: Deeper values, and those of more facts than this, are not taken apart.
DEEPEST = 8
MOST = 400

#: Beyond it floating-point numbers, which databases compare, cannot tell integers apart.
LARGEST = 2**53

#: What is never told: the store keeps the history in a table of its own.
UNTOLD = "history"

#: A list of which the length and these members are told, and nothing of its elements as a whole.
COMMENTS = "comments"
COMMENT = frozenset({"comment", "user"})

#: Numbers that the store has columns of its own for.
NUMBERS = frozenset({"created", "lastupdate", "storypoints"})

#: Lists of which queries ask these members alone; the others are left to ``matches``.
MEMBERS = {
    "sprints": frozenset({"id", "name", "active"}),
    "releases": frozenset({"id", "name", "released"}),
    "relations": frozenset({"id", "type"}),
}

#: Objects in which missing lists have the length 0.
OBJECTS = frozenset({"rawissue", "extended", "additionalinfo", "project"})


class Kind(IntEnum):
    """What a fact says."""

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
    """One value of an issue."""

    #: Where it stands: names folded, with dots between them.
    name: str
    kind: Kind
    folded: str = ""
    #: As a number and as an instant, where it can be read as one.
    number: float | None = None
    moment: float | None = None


def facts(item: Mapping[str, Any]) -> set[Fact]:
    """The facts of an issue.

    Args:
        item: An issue under the wire's names; instants in milliseconds since 1970.
    """
    found: set[Fact] = set()
    for name, value, is_plain in _members(item):
        if not is_plain:
            found.add(Fact(name, Kind.ODD))
        elif value is not None:
            found |= _top(name, value)
    return found


def is_told(path: tuple[str, ...]) -> bool:
    """Whether facts answer questions about a path of folded names."""
    top, *rest = path
    if top == UNTOLD or top in NUMBERS:
        return False
    if top == COMMENTS:
        return len(rest) == 1 and rest[0] in COMMENT | {COUNT}
    return not (rest and top in MEMBERS and rest[0] != COUNT and rest[0] not in MEMBERS[top])


def number_texts(value: float) -> tuple[str, ...]:
    """How numbers that are equal to this one are written in facts."""
    if value == 0:
        return ("0", "0.0", "-0.0")
    return (repr(value), str(int(value))) if value.is_integer() else (repr(value),)


def _top(name: str, value: Any) -> set[Fact]:
    if name == UNTOLD or name in NUMBERS:
        return set()
    if name == COMMENTS:
        walked = _walk(name, value, 0, COMMENT)
        return {fact for fact in walked if fact.name != name or fact.kind is Kind.ODD}
    if name in OBJECTS and not isinstance(value, Mapping):
        return {Fact(name, Kind.ODD)}
    found: dict[tuple[str, str, Kind], Fact] = {}
    for fact in _walk(name, value, 0, MEMBERS.get(name)):
        known = found.setdefault((fact.name, fact.folded, fact.kind), fact)
        if known != fact:
            # Texts that fold alike but do not read alike as dates.
            found[fact.name, "", Kind.ODD] = Fact(fact.name, Kind.ODD)
        if len(found) > MOST:
            return {Fact(name, Kind.ODD)}
    return set(found.values())


def _walk(name: str, held: Any, depth: int, members: frozenset[str] | None) -> Iterator[Fact]:
    """The facts of a value, of its elements and its members."""
    if depth > DEEPEST:
        yield Fact(name, Kind.ODD)
        return
    if isinstance(held, list | tuple):
        if depth == 0 or (depth == 1 and name.partition(".")[0] in OBJECTS):
            # The lengths of others are not asked of facts: see ``dql/sql.py``.
            yield from _length(name, held)
        for each in _opened(held):
            if isinstance(each, Mapping):
                yield from _object(name, each, depth, members)
            else:
                yield (fact := _scalar(name, each))
                if fact.kind is Kind.APART:
                    yield Fact(name, Kind.APART)
    elif isinstance(held, Mapping):
        yield from _object(name, held, depth, members)
    elif held is not None:
        yield (fact := _scalar(name, held))
        if fact.kind is Kind.APART:
            yield Fact(name, Kind.APART)


def _opened(held: Any) -> Iterator[Any]:
    for each in held:
        if isinstance(each, list | tuple):
            yield from _opened(each)
        elif each is not None:
            yield each


def _object(name: str, held: Mapping[str, Any], depth: int, members: frozenset[str] | None) -> Iterator[Fact]:
    yield from _itself(name, held)
    for key, value, is_plain in _members(held):
        if members is not None and key not in members and key != COUNT:
            continue
        below = f"{name}.{key}"
        if is_plain and key != COUNT:
            yield from _walk(below, value, depth + 1, None)
        else:
            # The length of a list goes before a member of its elements that is called so.
            yield Fact(below, Kind.ODD)


def _members(held: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Folded names, values, and whether a name is that of one member alone: of two, the spelling decides."""
    names = [fold(key) for key in held]
    counts = Counter(names)
    are_plain = len(counts) == len(names)
    for name, value in zip(names, held.values(), strict=True):
        # No query can name the others.
        if name and "." not in name:
            yield name, value, are_plain or counts[name] == 1


def _itself(name: str, held: Mapping[str, Any]) -> Iterator[Fact]:
    """The object as a value: compared by its name, its id and its key."""
    called = held.get("name")
    if called is not None and not (isinstance(called, str) and _fits(called)):
        yield Fact(name, Kind.ODD)
        called = None
    yield Fact(name, Kind.NAMED, fold(called) if called else "")
    for key in ("id", "key"):
        match held.get(key):
            case None:
                pass
            case str() as text if _fits(text):
                yield Fact(name, Kind.KEYED, fold(text))
            case int() | float() as number if not isinstance(number, bool) and _is_exact(number):
                yield Fact(name, Kind.NUMBERED, fold(str(number)), number=float(number))
            case _:
                yield Fact(name, Kind.ODD)


def _scalar(name: str, held: Any) -> Fact:
    match held:
        case "":
            return Fact(name, Kind.EMPTY)
        case bool():
            return Fact(name, Kind.FLAG, fold(str(held)))
        case int() | float() if _is_exact(held):
            return Fact(name, Kind.NUMBER, fold(str(held)), number=float(held), moment=float(held))
        case str() if _fits(held) and (name not in APART or _is_read(held)):
            return _text(name, held)
        case str() if "\0" not in held and not _is_read(held):
            return Fact(name, Kind.APART, fold(held))
    return Fact(name, Kind.ODD)


def _is_read(text: str) -> bool:
    """Whether a text is taken for a number or an instant."""
    return as_number(text) is not None or as_milliseconds(text) is not None


# The same texts come again and again: of a status, a person, a project.
@lru_cache(maxsize=8_192)
def _text(name: str, held: str) -> Fact:
    number = as_number(held)
    if number is not None and not math.isfinite(number):
        return Fact(name, Kind.ODD)
    return Fact(name, Kind.TEXT, fold(held), number=number, moment=as_milliseconds(held))


def _length(name: str, held: Any) -> Iterator[Fact]:
    """The length of a list, if it is not empty: of what is missing the length is 0 anyhow."""
    if length := len(held):
        yield Fact(f"{name}.{COUNT}", Kind.NUMBER, str(length), number=float(length), moment=float(length))


def _fits(text: str) -> bool:
    # Some databases end a text at its first zero byte.
    return 0 < len(text) <= LONGEST and "\0" not in text


def _is_exact(number: float) -> bool:
    return abs(number) <= LARGEST if isinstance(number, int) else math.isfinite(number)
