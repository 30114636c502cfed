"""The query grammar, strictly: binary, fully parenthesised, nothing redundant (rally-api-notes.md#query-language).

::

    query      := '(' expression ')'
    expression := attribute operator value | query ('AND' | 'OR') query
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rally_sandbox.attribute_values import value_of
from rally_sandbox.clock import DAY, parse_instant
from rally_sandbox.errors import QueryRefused
from rally_sandbox.records import Entity, Group, Record
from rally_sandbox.sample_names import SCHEDULE_STATES
from rally_sandbox.schema import Attribute, Type, concrete

if TYPE_CHECKING:
    from rally_sandbox.world import World


OPERATORS = ("=", "!=", "<", ">", "<=", ">=", "contains", "!contains", "in")


@dataclass(frozen=True, slots=True)
class Condition:
    """``attribute operator value``."""

    #: Parts of a dotted name.
    path: tuple[str, ...]
    operator: str
    value: str
    #: A quoted ``null`` is a text.
    quoted: bool = False

    def __str__(self) -> str:
        value = f'"{self.value}"' if self.quoted else self.value
        return f"({'.'.join(self.path)} {self.operator} {value})"

    @property
    def is_null(self) -> bool:
        """Whether the value is the bare word null."""
        return not self.quoted and self.value == "null"


@dataclass(frozen=True, slots=True)
class Both:
    """Two queries joined by ``AND`` or ``OR``."""

    left: "Query"
    junction: str
    right: "Query"

    def __str__(self) -> str:
        return f"({self.left} {self.junction} {self.right})"


Query = Condition | Both

#: Attribute names are words; custom ones may hold letters of any script.
_ATTRIBUTE = re.compile(r"[^\W\d][\w.]*")
_OPERATOR = re.compile(r'[^\s()"]+')
_QUOTED = re.compile(r'"([^"]*)"')
_BARE = re.compile(r'[^\s()"]+')
#: ``today + 2``: the only bare value with blanks (rally-api-notes.md#query-language).
_RELATIVE_DAY = re.compile(r"today\s*[+-]\s*\d+")
_WORD = re.compile(r'"[^"]*"|[()]|[^\s()"]+|"')


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        QueryRefused: The text does not follow the grammar.
    """
    parser = _Parser(text)
    query = parser.query()
    parser.end()
    return query


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def query(self) -> Query:
        self._expect("(")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryRefused("Could not parse: Error parsing expression -- nested too deeply.")
        self._blanks()
        if self._peek() == "(":
            left = self.query()
            junction = self._junction()
            right = self.query()
            found: Query = Both(left, junction, right)
        else:
            found = self._condition()
        self._expect(")")
        self._depth -= 1
        return found

    def end(self) -> None:
        self._blanks()
        if self._at < len(self._text):
            raise self._unexpected("end of expression")

    def _condition(self) -> Condition:
        attribute = self._match(_ATTRIBUTE)
        if attribute is None or attribute.endswith("."):
            raise self._unexpected("attribute name")
        if not self._blanks():
            raise self._unexpected("blank")
        word = self._match(_OPERATOR)
        if word is None:
            raise self._unexpected("operator")
        operator = word.lower()
        if operator not in OPERATORS:
            raise QueryRefused(f'Could not parse: Unknown operator "{word}"')
        if not self._blanks():
            raise self._unexpected("blank")
        path = tuple(attribute.split("."))
        if (quoted := _QUOTED.match(self._text, self._at)) is not None:
            self._at = quoted.end()
            return Condition(path, operator, quoted[1], quoted=True)
        value = self._match(_RELATIVE_DAY) or self._match(_BARE)
        if value is None:
            raise self._unexpected("value")
        return Condition(path, operator, value)

    def _junction(self) -> str:
        self._blanks()
        word = self._word()
        if word not in {"AND", "OR"}:
            raise self._unexpected("AND", "OR")
        self._at += len(word)
        return word

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def _blanks(self) -> bool:
        begin = self._at
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at > begin

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _word(self) -> str:
        found = _WORD.match(self._text, self._at)
        return found[0] if found is not None else ""

    def _expect(self, character: str) -> None:
        self._blanks()
        if self._peek() != character:
            raise self._unexpected(character)
        self._at += 1

    def _unexpected(self, *expected: str) -> QueryRefused:
        self._blanks()
        wanted = " or ".join(f'"{each}"' for each in expected)
        # The wording of a real report (rally-api-notes.md#errors-in-answers).
        return QueryRefused(
            f'Could not parse: Error parsing expression -- expected {wanted} but saw "{self._word()}" instead.'
        )


#: Far beyond any query that fits into an address, and within Python's own stack.
_DEEPEST = 250


Test = Callable[[Any], bool]
Predicate = Callable[[Entity], bool]

_ORDERED = ("=", "!=", "<", ">", "<=", ">=")
#: Which operators an attribute type allows (rally-api-notes.md#query-language); null may always be compared with.
_ALLOWED: dict[str, tuple[str, ...]] = {
    "STRING": (*_ORDERED, "contains", "!contains", "in"),
    "RATING": (*_ORDERED, "contains", "!contains", "in"),
    "STATE": (*_ORDERED, "contains", "!contains", "in"),
    "TEXT": ("contains", "!contains"),
    "INTEGER": (*_ORDERED, "in"),
    "DECIMAL": (*_ORDERED, "in"),
    "QUANTITY": (*_ORDERED, "in"),
    "DATE": _ORDERED,
    "BOOLEAN": ("=", "!="),
    "OBJECT": ("=", "!=", "in"),
    "COLLECTION": ("=", "!=", "contains", "!contains"),
}
_REFERENCE = re.compile(r"(?:^|/)([a-z/]+?)/(-?\d+)$", re.IGNORECASE)
_TODAY = re.compile(r"today(?:\s*([+-])\s*(\d+))?", re.IGNORECASE)
_PREFIXED = re.compile(r"([A-Za-z]*)(\d+)")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One condition, resolved against the types asked for."""

    condition: Condition
    #: For each concrete type that has the attribute: the attributes along the dotted path.
    steps: dict[str, tuple[Attribute, ...]]
    test: Test
    #: Negative conditions hold when no member of a collection fits.
    negative: bool

    @property
    def attribute(self) -> Attribute:
        """The attribute compared, as some type has it."""
        return next(iter(self.steps.values()))[-1]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and when: what ``currentuser`` and ``today`` mean."""

    user: Record
    #: Milliseconds.
    now: int


def resolve(condition: Condition, types: Sequence[Type], asker: Asker) -> Leaf:
    """A condition with its test.

    On several types it is enough that one has the attribute (rally-api-notes.md#query-language).

    Raises:
        QueryRefused: The attribute is unknown or not filterable, the operator or the value does not suit it.
    """
    steps = {each.path: found for each in types if (found := path_of(each, condition.path)) is not None}
    if not steps:
        name, where = ".".join(condition.path), types[0].path if len(types) == 1 else "Artifact"
        raise QueryRefused(
            f"Could not parse: Could not find attribute '{name}' on type {where} in the query segment \"{condition}\""
        )
    attribute = next(iter(steps.values()))[-1]
    operator = condition.operator
    if operator not in _ALLOWED.get(attribute.kind, _ORDERED) and not condition.is_null:
        raise QueryRefused(
            f'Could not parse: Operator "{operator}" is not allowed for attribute '
            f"'{attribute.name}' of type {attribute.kind}"
        )
    negative = operator in {"!=", "!contains"}
    return Leaf(condition, steps, _test(condition, attribute, asker), negative)


def path_of(kind: Type, path: Sequence[str]) -> tuple[Attribute, ...] | None:
    """The attributes along a dotted path, or None when one is unknown or the first cannot be filtered."""
    types: tuple[Type, ...] = (kind,)
    found: list[Attribute] = []
    for position, name in enumerate(path):
        attribute = next((each.attributes[name] for each in types if name in each.attributes), None)
        if attribute is None or (position == 0 and not attribute.filterable):
            return None
        found.append(attribute)
        types = concrete(attribute.target)
    return tuple(found)


def matches(leaf: Leaf, world: "World", entity: Entity) -> bool:
    """Whether an entity fulfils a condition; false when its type lacks the attribute."""
    steps = leaf.steps.get(entity.type)
    if steps is None:
        return False
    if leaf.negative:
        # "(Tags.Name != x)" is taken as: no tag is x. Which of the two readings Rally has is not known.
        return all(leaf.test(value) for value in _walk(world, entity, steps))
    return any(leaf.test(value) for value in _walk(world, entity, steps))


def _walk(world: "World", entity: Entity, steps: Sequence[Attribute]) -> Iterator[Any]:
    value = value_of(world, entity, steps[0])
    rest = steps[1:]
    if isinstance(value, Group):
        members = [world.item(each) if isinstance(each, int) else each for each in value.members]
        if not members:
            yield None
        for member in members:
            yield from _walk(world, member, rest) if rest else (member,)
    elif not rest:
        yield value
    elif value is None:
        yield None
    else:
        yield from _walk(world, value, rest)


def compiled(query: Query, types: Sequence[Type], world: "World", asker: Asker) -> Predicate:
    """A query as a test of entities; cheaper operands are asked first."""
    match query:
        case Condition():
            leaf = resolve(query, types, asker)
            return lambda entity: matches(leaf, world, entity)
        case Both(left, "AND", right):
            one, other = compiled(left, types, world, asker), compiled(right, types, world, asker)
            return lambda entity: one(entity) and other(entity)
        case Both(left, _, right):
            one, other = compiled(left, types, world, asker), compiled(right, types, world, asker)
            return lambda entity: one(entity) or other(entity)


def _test(condition: Condition, attribute: Attribute, asker: Asker) -> Test:  # noqa: PLR0911 - one table
    operator = condition.operator
    if condition.is_null:
        if operator == "=":
            return _is_unset
        if operator == "!=":
            return lambda value: not _is_unset(value)
        raise QueryRefused(f'Could not parse: Operator "{operator}" cannot be used with null')
    if operator == "in":
        tests = [
            _test(Condition(condition.path, "=", part.strip(), quoted=True), attribute, asker)
            for part in condition.value.split(",")
        ]
        return lambda value: any(test(value) for test in tests)
    if operator in {"contains", "!contains"}:
        return _contains(condition.value, attribute, asker, wanted=operator == "contains")
    if attribute.name == "ScheduleState":
        return _by_order(operator, condition.value)
    match attribute.kind:
        case "OBJECT" | "COLLECTION":
            wanted = referenced(condition.value, attribute, asker)
            return _compare(operator, wanted, lambda value: _identity(value, wanted))
        case "DATE":
            return _compare(operator, moment(condition.value, asker), lambda value: value)
        case "BOOLEAN":
            return _compare(operator, _boolean(condition.value), bool)
        case "INTEGER" if attribute.name == "FormattedID":
            return _by_formatted_id(operator, condition.value)
        case "INTEGER" | "DECIMAL" | "QUANTITY":
            return _compare(operator, number(condition.value), lambda value: value)
        case _:
            return _compare(operator, condition.value.casefold(), lambda value: str(value).casefold())


def _is_unset(value: Any) -> bool:
    return value is None or value == ""


def _compare(operator: str, wanted: Any, key: Callable[[Any], Any]) -> Test:
    # Written out, because a lambda per operator is asked a million times; None compares only by (in)equality.
    match operator:
        case "=":
            return lambda value: value is not None and key(value) == wanted
        case "!=":
            return lambda value: value is None or key(value) != wanted
        case "<":
            return lambda value: value is not None and key(value) < wanted
        case ">":
            return lambda value: value is not None and key(value) > wanted
        case "<=":
            return lambda value: value is not None and key(value) <= wanted
        case _:
            return lambda value: value is not None and key(value) >= wanted


def _contains(text: str, attribute: Attribute, asker: Asker, *, wanted: bool) -> Test:
    if attribute.kind == "COLLECTION":
        reference = referenced(text, attribute, asker)
        return lambda value: (value is not None and _identity(value, reference) == reference) is wanted
    folded = text.casefold()
    return lambda value: (value is not None and folded in str(value).casefold()) is wanted


def _by_order(operator: str, text: str) -> Test:
    """``(ScheduleState < Accepted)`` goes by the order of the states (rally-api-notes.md#query-language)."""
    places = {state.casefold(): place for place, state in enumerate(SCHEDULE_STATES)}
    wanted = places.get(text.casefold())
    if wanted is None:
        return lambda _: operator == "!="
    return _compare(operator, wanted, lambda value: places[str(value).casefold()])


def _by_formatted_id(operator: str, text: str) -> Test:
    """With the prefix or with digits only (rally-api-notes.md#formatted-ids)."""
    found = _PREFIXED.fullmatch(text)
    if found is None:
        raise QueryRefused(f'Could not parse: Cannot parse integer from "{text}"')
    prefix, wanted = found[1].upper(), int(found[2])

    def key(value: str) -> int | None:
        parts = _PREFIXED.fullmatch(value)
        if parts is None or (prefix and parts[1] != prefix):
            return None
        return int(parts[2])

    test = _compare(operator, wanted, lambda digits: digits)
    return lambda value: test(key(value) if value is not None else None)


def moment(text: str, asker: Asker) -> int:
    """A date of a query in milliseconds: ISO text, ``today`` with an offset in days, or milliseconds.

    Raises:
        QueryRefused: It is none of these.
    """
    if (day := _TODAY.fullmatch(text.strip())) is not None:
        offset = int(day[2] or 0) * (-1 if day[1] == "-" else 1)
        return asker.now // DAY * DAY + offset * DAY
    found = parse_instant(text)
    if found is None:
        raise QueryRefused(f'Could not parse: Cannot parse date from "{text}"')
    return found


def number(text: str) -> float:
    """A number of a query.

    Raises:
        QueryRefused: It is none.
    """
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        raise QueryRefused(f'Could not parse: Cannot parse number from "{text}"') from None


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise QueryRefused(f'Could not parse: Cannot parse boolean from "{text}"')
    return text.lower() == "true"


def referenced(text: str, attribute: Attribute, asker: Asker) -> int | str:
    """The ObjectID of a reference; for users also the user name, case-folded.

    Raises:
        QueryRefused: It is no reference.
    """
    if (found := _REFERENCE.search(text)) is not None:
        return int(found[2])
    if attribute.target == "User":
        return asker.user.object_id if text.lower() == "currentuser" else text.casefold()
    raise QueryRefused(f'Could not parse: Cannot parse object reference from "{text}"')


def _identity(value: Any, wanted: int | str) -> int | str:
    if isinstance(wanted, str):
        return str(value.values.get("UserName", "")).casefold()
    return int(value.object_id)


def conjuncts(query: Query) -> Iterable[Query]:
    """The operands of the outermost chain of ANDs."""
    if isinstance(query, Both) and query.junction == "AND":
        yield from conjuncts(query.left)
        yield from conjuncts(query.right)
    else:
        yield query
