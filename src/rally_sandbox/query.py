"""Parser and evaluator of queries with the strict, fully parenthesized grammar (rally-api-notes.md#query-language).

::

    query      := '(' expression ')'
    expression := attribute operator value | query ('AND' | 'OR') query
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rally_sandbox.attribute_values import get_value
from rally_sandbox.clock import DAY, parse_instant
from rally_sandbox.errors import QueryError
from rally_sandbox.records import Entity, Group, Record
from rally_sandbox.sample_names import SCHEDULE_STATES
from rally_sandbox.schema import Attribute, Type, list_concrete_types

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
    #: Whether the value is in quotes: a quoted ``null`` is a text.
    quoted: bool = False

    def __str__(self) -> str:
        value = f'"{self.value}"' if self.quoted else self.value
        return f"({'.'.join(self.path)} {self.operator} {value})"

    @property
    def is_null(self) -> bool:
        """Whether the value is the bare word null."""
        return not self.quoted and self.value == "null"


@dataclass(frozen=True, slots=True)
class BooleanOperation:
    """Two queries joined by ``AND`` or ``OR``."""

    first: "Query"
    operator: str
    second: "Query"

    def __str__(self) -> str:
        return f"({self.first} {self.operator} {self.second})"


Query = Condition | BooleanOperation

#: Attribute names are words; custom names can contain letters of any script.
_ATTRIBUTE = re.compile(r"[^\W\d][\w.]*")
_OPERATOR = re.compile(r'[^\s()"]+')
_QUOTED = re.compile(r'"([^"]*)"')
_BARE = re.compile(r'[^\s()"]+')
#: ``today + 2``: the only bare value with blanks (rally-api-notes.md#query-language).
_RELATIVE_DAY = re.compile(r"today\s*[+-]\s*\d+")
_WORD = re.compile(r'"[^"]*"|[()]|[^\s()"]+|"')


def parse_query(text: str) -> Query:
    """Parse a query.

    Raises:
        QueryError: The text does not follow the grammar.
    """
    parser = _Parser(text)
    query = parser.parse_query()
    parser.expect_end()
    return query


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def parse_query(self) -> Query:
        self._expect("(")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise QueryError("Could not parse: Error parsing expression -- nested too deeply.")
        self._skip_blanks()
        if self._peek() == "(":
            first = self.parse_query()
            junction = self._parse_operator()
            second = self.parse_query()
            query: Query = BooleanOperation(first, junction, second)
        else:
            query = self._parse_condition()
        self._expect(")")
        self._depth -= 1
        return query

    def expect_end(self) -> None:
        self._skip_blanks()
        if self._at < len(self._text):
            raise self._syntax_error("end of expression")

    def _parse_condition(self) -> Condition:
        attribute = self._match(_ATTRIBUTE)
        if attribute is None or attribute.endswith("."):
            raise self._syntax_error("attribute name")
        if not self._skip_blanks():
            raise self._syntax_error("blank")
        word = self._match(_OPERATOR)
        if word is None:
            raise self._syntax_error("operator")
        operator = word.lower()
        if operator not in OPERATORS:
            raise QueryError(f'Could not parse: Unknown operator "{word}"')
        if not self._skip_blanks():
            raise self._syntax_error("blank")
        path = tuple(attribute.split("."))
        if (quoted := _QUOTED.match(self._text, self._at)) is not None:
            self._at = quoted.end()
            return Condition(path, operator, quoted[1], quoted=True)
        value = self._match(_RELATIVE_DAY) or self._match(_BARE)
        if value is None:
            raise self._syntax_error("value")
        return Condition(path, operator, value)

    def _parse_operator(self) -> str:
        self._skip_blanks()
        word = self._peek_word()
        if word not in {"AND", "OR"}:
            raise self._syntax_error("AND", "OR")
        self._at += len(word)
        return word

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0]

    def _skip_blanks(self) -> bool:
        begin = self._at
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at > begin

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _peek_word(self) -> str:
        match = _WORD.match(self._text, self._at)
        return match[0] if match is not None else ""

    def _expect(self, character: str) -> None:
        self._skip_blanks()
        if self._peek() != character:
            raise self._syntax_error(character)
        self._at += 1

    def _syntax_error(self, *expected: str) -> QueryError:
        self._skip_blanks()
        tokens = " or ".join(f'"{token}"' for token in expected)
        # The wording of a real report (rally-api-notes.md#errors-in-answers).
        return QueryError(
            f'Could not parse: Error parsing expression -- expected {tokens} but saw "{self._peek_word()}" instead.'
        )


#: Larger than in any query that fits into a URL, and within Python's stack limit.
_MAX_DEPTH = 250


Test = Callable[[Any], bool]
Predicate = Callable[[Entity], bool]

_ORDERED = ("=", "!=", "<", ">", "<=", ">=")
#: The operators for each attribute type (rally-api-notes.md#query-language); all types can be compared with null.
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
    """One condition, resolved against the requested types."""

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
class QueryContext:
    """The user and time of a query, for ``currentuser`` and ``today``."""

    user: Record
    #: Milliseconds.
    now: int


def resolve_condition(condition: Condition, types: Sequence[Type], context: QueryContext) -> Leaf:
    """Resolve a condition's attribute and compile its test.

    With several types, one of them must have the attribute (rally-api-notes.md#query-language).

    Raises:
        QueryError: The attribute is unknown or not filterable, or the operator or the value is invalid for it.
    """
    steps = {kind.path: path for kind in types if (path := resolve_path(kind, condition.path)) is not None}
    if not steps:
        name, where = ".".join(condition.path), types[0].path if len(types) == 1 else "Artifact"
        raise QueryError(
            f"Could not parse: Could not find attribute '{name}' on type {where} in the query segment \"{condition}\""
        )
    attribute = next(iter(steps.values()))[-1]
    operator = condition.operator
    if operator not in _ALLOWED.get(attribute.kind, _ORDERED) and not condition.is_null:
        raise QueryError(
            f'Could not parse: Operator "{operator}" is not allowed for attribute '
            f"'{attribute.name}' of type {attribute.kind}"
        )
    negative = operator in {"!=", "!contains"}
    return Leaf(condition, steps, _compile_condition(condition, attribute, context), negative)


def resolve_path(kind: Type, path: Sequence[str]) -> tuple[Attribute, ...] | None:
    """Resolve a dotted path to attributes; return None if one is unknown or the first is not filterable."""
    types: tuple[Type, ...] = (kind,)
    attributes: list[Attribute] = []
    for position, name in enumerate(path):
        attribute = next((candidate.attributes[name] for candidate in types if name in candidate.attributes), None)
        if attribute is None or (position == 0 and not attribute.filterable):
            return None
        attributes.append(attribute)
        types = list_concrete_types(attribute.target)
    return tuple(attributes)


def matches(leaf: Leaf, world: "World", entity: Entity) -> bool:
    """Return whether an entity matches a condition; false if its type lacks the attribute."""
    steps = leaf.steps.get(entity.type)
    if steps is None:
        return False
    if leaf.negative:
        # "(Tags.Name != x)" means that no tag is x (assumed: Rally's interpretation is unknown).
        return all(leaf.test(value) for value in _iter_values(world, entity, steps))
    return any(leaf.test(value) for value in _iter_values(world, entity, steps))


def _iter_values(world: "World", entity: Entity, steps: Sequence[Attribute]) -> Iterator[Any]:
    value = get_value(world, entity, steps[0])
    rest = steps[1:]
    if isinstance(value, Group):
        members = [world.item(member) if isinstance(member, int) else member for member in value.members]
        if not members:
            yield None
        for member in members:
            yield from _iter_values(world, member, rest) if rest else (member,)
    elif not rest:
        yield value
    elif value is None:
        yield None
    else:
        yield from _iter_values(world, value, rest)


def compile_query(query: Query, types: Sequence[Type], world: "World", context: QueryContext) -> Predicate:
    """Compile a query to a test of entities."""
    match query:
        case Condition():
            leaf = resolve_condition(query, types, context)
            return lambda entity: matches(leaf, world, entity)
        case BooleanOperation(left, "AND", right):
            one, other = compile_query(left, types, world, context), compile_query(right, types, world, context)
            return lambda entity: one(entity) and other(entity)
        case BooleanOperation(left, _, right):
            one, other = compile_query(left, types, world, context), compile_query(right, types, world, context)
            return lambda entity: one(entity) or other(entity)


def _compile_condition(condition: Condition, attribute: Attribute, context: QueryContext) -> Test:  # noqa: PLR0911 - one table
    operator = condition.operator
    if condition.is_null:
        if operator == "=":
            return _is_unset
        if operator == "!=":
            return lambda value: not _is_unset(value)
        raise QueryError(f'Could not parse: Operator "{operator}" cannot be used with null')
    if operator == "in":
        tests = [
            _compile_condition(Condition(condition.path, "=", part.strip(), quoted=True), attribute, context)
            for part in condition.value.split(",")
        ]
        return lambda value: any(test(value) for test in tests)
    if operator in {"contains", "!contains"}:
        return _compile_contains(condition.value, attribute, context, positive=operator == "contains")
    if attribute.name == "ScheduleState":
        return _compile_state_comparison(operator, condition.value)
    match attribute.kind:
        case "OBJECT" | "COLLECTION":
            expected = parse_reference(condition.value, attribute, context)
            return _compile_comparison(operator, expected, lambda value: _identify(value, expected))
        case "DATE":
            return _compile_comparison(operator, parse_date(condition.value, context), lambda value: value)
        case "BOOLEAN":
            return _compile_comparison(operator, _parse_boolean(condition.value), bool)
        case "INTEGER" if attribute.name == "FormattedID":
            return _compile_formatted_id(operator, condition.value)
        case "INTEGER" | "DECIMAL" | "QUANTITY":
            return _compile_comparison(operator, parse_number(condition.value), lambda value: value)
        case _:
            return _compile_comparison(operator, condition.value.casefold(), lambda value: str(value).casefold())


def _is_unset(value: Any) -> bool:
    return value is None or value == ""


def _compile_comparison(operator: str, expected: Any, key: Callable[[Any], Any]) -> Test:
    # One lambda per operator, because it is called a million times; None compares only by (in)equality.
    match operator:
        case "=":
            return lambda value: value is not None and key(value) == expected
        case "!=":
            return lambda value: value is None or key(value) != expected
        case "<":
            return lambda value: value is not None and key(value) < expected
        case ">":
            return lambda value: value is not None and key(value) > expected
        case "<=":
            return lambda value: value is not None and key(value) <= expected
        case _:
            return lambda value: value is not None and key(value) >= expected


def _compile_contains(text: str, attribute: Attribute, context: QueryContext, *, positive: bool) -> Test:
    if attribute.kind == "COLLECTION":
        reference = parse_reference(text, attribute, context)
        return lambda value: (value is not None and _identify(value, reference) == reference) is positive
    folded = text.casefold()
    return lambda value: (value is not None and folded in str(value).casefold()) is positive


def _compile_state_comparison(operator: str, text: str) -> Test:
    """Compile a comparison by the order of schedule states (rally-api-notes.md#query-language)."""
    places = {state.casefold(): place for place, state in enumerate(SCHEDULE_STATES)}
    position = places.get(text.casefold())
    if position is None:
        return lambda _: operator == "!="
    return _compile_comparison(operator, position, lambda value: places[str(value).casefold()])


def _compile_formatted_id(operator: str, text: str) -> Test:
    """Compile a comparison with a prefixed id or with digits only (rally-api-notes.md#formatted-ids)."""
    match = _PREFIXED.fullmatch(text)
    if match is None:
        raise QueryError(f'Could not parse: Cannot parse integer from "{text}"')
    prefix, expected = match[1].upper(), int(match[2])

    def key(value: str) -> int | None:
        parts = _PREFIXED.fullmatch(value)
        if parts is None or (prefix and parts[1] != prefix):
            return None
        return int(parts[2])

    test = _compile_comparison(operator, expected, lambda digits: digits)
    return lambda value: test(key(value) if value is not None else None)


def parse_date(text: str, context: QueryContext) -> int:
    """Parse a date of a query to milliseconds: ISO text, or ``today`` with an offset in days.

    Raises:
        QueryError: The text is not a date.
    """
    if (day := _TODAY.fullmatch(text.strip())) is not None:
        offset = int(day[2] or 0) * (-1 if day[1] == "-" else 1)
        return context.now // DAY * DAY + offset * DAY
    milliseconds = parse_instant(text)
    if milliseconds is None:
        raise QueryError(f'Could not parse: Cannot parse date from "{text}"')
    return milliseconds


def parse_number(text: str) -> float:
    """Parse a number of a query.

    Raises:
        QueryError: The text is not a number.
    """
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        raise QueryError(f'Could not parse: Cannot parse number from "{text}"') from None


def _parse_boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise QueryError(f'Could not parse: Cannot parse boolean from "{text}"')
    return text.lower() == "true"


def parse_reference(text: str, attribute: Attribute, context: QueryContext) -> int | str:
    """Parse a reference to its ObjectID; for users, also to the case-folded user name.

    Raises:
        QueryError: The text is not a reference.
    """
    if (match := _REFERENCE.search(text)) is not None:
        return int(match[2])
    if attribute.target == "User":
        return context.user.object_id if text.lower() == "currentuser" else text.casefold()
    raise QueryError(f'Could not parse: Cannot parse object reference from "{text}"')


def _identify(value: Any, expected: int | str) -> int | str:
    if isinstance(expected, str):
        return str(value.values.get("UserName", "")).casefold()
    return int(value.object_id)


def iter_conjuncts(query: Query) -> Iterable[Query]:
    """Yield the operands of the outermost chain of ANDs."""
    if isinstance(query, BooleanOperation) and query.operator == "AND":
        yield from iter_conjuncts(query.first)
        yield from iter_conjuncts(query.second)
    else:
        yield query
