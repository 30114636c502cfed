"""Parser of queries: returns the syntax tree or an error with its position."""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedEOF, UnexpectedToken, v_args
from lark.exceptions import VisitError

from rally_accelerate.dql.ast import EVERYTHING, And, Comparison, Not, Operator, Or, Query, Value
from rally_accelerate.dql.syntax_hints import APOSTROPHE, CLOSING, ITEMS, QUOTES, suggest_fix, suggest_fix_at_end
from rally_accelerate.dql.value_checks import Literal, check_values
from rally_accelerate.errors import QueryError
from rally_accelerate.model.suggestions import find_similar
from rally_accelerate.model.text_folding import normalize_typography

#: Longer texts, and deeper ones, are no query that anybody wrote.
MAX_LENGTH = 10_000
MAX_DEPTH = 50

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGE = re.compile(r"(\d{1,6})(s|min|m|h|d|w)")
_NUMBER = re.compile(r"[+-]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})")
#: Before any other character a backslash is literal, as in ``C:\temp``.
_ESCAPED = re.compile(rf"\\([\\{CLOSING}])|((?:\\u[0-9a-fA-F]{{4}})+)")
#: A quoted value in quotes of another kind; none within it, as ``"Login" or "Logout"`` is a title.
_QUOTED_TWICE = re.compile(rf"\s*[{QUOTES}](?:[^{CLOSING}\\]|{APOSTROPHE})+[{CLOSING}]\s*")
_WRAPPED = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")

#: What people read instead of the names of terminals.
_WORDS = {
    "FIELD": "a field such as issue.status",
    "OPERATOR": "one of = != < <= > >=",
    "QUOTED": "a value, in quotes where it holds spaces",
    "_IN": "IN",
    "_CONTAINS": "CONTAINS",
    "_AND": "AND",
    "_OR": "OR",
    "_NOT": "NOT",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": ",",
    "$END": "the end",
}

#: Marks of input methods, and what they are here.
_WIDE = {"＝": "=", "≠": "!=", "≤": "<=", "≥": ">=", "＜": "<", "＞": ">", "！": "!=", "（": "(", "）": ")", "，": ","}


@cache
def _load_grammar() -> Lark:
    """Return the parser; it is built for the first query because that takes as long as many imports."""
    return Lark(
        Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8"),
        parser="lalr",
        propagate_positions=True,
        maybe_placeholders=False,
    )


def parse(text: str) -> Query:
    """Parse a query; an empty text matches everything.

    Raises:
        QueryError: With the place of the fault, and what would have been right there.
    """
    if not normalize_typography(text).strip():
        return EVERYTHING
    _check_limits(text)
    try:
        parsed = _load_grammar().parse(text)
    except UnexpectedToken as error:
        raise _build_error(text, error) from None
    except UnexpectedEOF:
        raise _build_end_error(text, ()) from None
    except UnexpectedCharacters as error:
        what = "a quote that is not closed" if error.char in QUOTES else f"{error.char!r} does not belong here"
        if meant := _WIDE.get(error.char):
            what += f"; use {meant}"
        elif error.char in QUOTES and text[: error.pos_in_stream].endswith("\\"):
            what = "a backslash does not belong here; write the quotes around a value without backslashes"
            raise QueryError(what, line=error.line, column=error.column) from None
        raise QueryError(
            what, line=error.line, column=error.column, expected=_describe_terminals(error.allowed or ())
        ) from None
    try:
        tree: Query = _Builder().transform(parsed)
    except VisitError as error:
        raise error.orig_exc from None
    return tree


def _check_limits(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the query is longer than {MAX_LENGTH:,} characters")
    depth = 0
    for match in re.finditer(r"\(|\)|\bnot\b", text, re.IGNORECASE):
        # NOT can be repeated.
        depth += -1 if match[0] == ")" else 1
        if depth > MAX_DEPTH:
            line, column = _get_position(text, match.start())
            raise QueryError(f"the query is nested deeper than {MAX_DEPTH} levels", line=line, column=column)


def _get_position(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _build_error(text: str, error: UnexpectedToken) -> QueryError:
    expected = _describe_terminals(error.accepts or error.expected or ())
    if error.token.type == "$END":
        return _build_end_error(text, expected)
    meant = suggest_fix(text, error)
    return QueryError(
        f"{str(error.token)!r} does not belong here{meant and f'; {meant}'}",
        line=error.line,
        column=error.column,
        # What would be right if it were another mistake only leads away from this one.
        expected=() if meant else expected,
    )


def _build_end_error(text: str, expected: tuple[str, ...]) -> QueryError:
    line, column = _get_position(text, len(text.rstrip()))
    meant = suggest_fix_at_end(text)
    what = f"the query ends too early{meant and f'; {meant}'}"
    return QueryError(what, line=line, column=column, expected=() if meant else expected)


def _describe_terminals(terminals: Any) -> tuple[str, ...]:
    # Where a value may stand in quotes, a word without them is a value as well, and no field.
    names = [name for name in sorted(terminals) if not name.startswith("__")]
    return tuple(_WORDS.get(name, name) for name in names if name != "FIELD" or "QUOTED" not in names)


@v_args(inline=True)
class _Builder(Transformer[Token, Query]):
    """Makes our tree of lark's."""

    def both(self, *operands: Query) -> Query:
        return And(operands)

    def either(self, *operands: Query) -> Query:
        return Or(operands)

    def negation(self, operand: Query) -> Query:
        return Not(operand)

    def relation(self, field: Token, operator: Token, value: Literal) -> Query:
        return _build_comparison(field, Operator(str(operator)), (value,))

    def among(self, field: Token, *values: Literal) -> Query:
        return _build_comparison(field, Operator.AMONG, values)

    def not_among(self, field: Token, *values: Literal) -> Query:
        return Not(_build_comparison(field, Operator.AMONG, values))

    def containing(self, field: Token, value: Literal) -> Query:
        return _build_comparison(field, Operator.CONTAINS, (value,))

    def quotation(self, token: Token) -> Literal:
        # A value that was wrapped at the end of a line continues in the next one.
        written = str(token)[1:-1]
        text = _WRAPPED.sub(" ", _ESCAPED.sub(_decode_escape, written))
        is_twice = _QUOTED_TWICE.fullmatch(normalize_typography(written)) is not None
        # French quotes have a space within.
        return _build_literal(token, text if token[0] in "\"'" else text.strip(), bare=False, is_twice=is_twice)

    def bare(self, token: Token) -> Literal:
        return _build_literal(token, str(token), bare=True)


def _build_comparison(field: Token, operator: Operator, literals: tuple[Literal, ...]) -> Comparison:
    line, column = field.line or 1, field.column or 1
    item, *path = normalize_typography(str(field)).split(".")
    known = item.lower()
    if known not in ITEMS:
        near = find_similar(known, ITEMS, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        # A field without its item is the commonest slip.
        meant = meant or ("" if path else f"; did you mean issue.{item}?")
        raise QueryError(f"{item!r} is not an item of a value stream{meant}", line=line, column=column, expected=ITEMS)
    if not path or not all(path):
        raise QueryError(f"{str(field)!r} names no field", line=line, column=column, expected=(f"{known}.status",))
    check_values(known, path, operator, literals)
    return Comparison(known, tuple(path), operator, tuple(literal.value for literal in literals), line, column)


def _decode_escape(escaped: re.Match[str]) -> str:
    """Return the character of an escape sequence; an invalid sequence stands for itself."""
    if escaped[1]:
        return escaped[1]
    units = b"".join(int(code, 16).to_bytes(2, "big") for code in escaped[2].split("\\u")[1:])
    try:
        character = units.decode("utf-16-be")
    except UnicodeDecodeError:
        return escaped[0]
    # Databases hold no character 0.
    return escaped[0] if "\0" in character else character


def _build_literal(token: Token, text: str, *, bare: bool, is_twice: bool = False) -> Literal:
    # A minus that a word processor made long is a minus all the same.
    read = normalize_typography(text)
    age = _AGE.fullmatch(read.lower()) if bare else None
    value = Value(
        text=text,
        number=float(read) if _NUMBER.fullmatch(read) else None,
        age=timedelta(seconds=int(age[1]) * _UNITS[age[2]]) if age else None,
        instant=_parse_instant(read),
    )
    return Literal(value, bare, token.line or 1, token.column or 1, is_twice)


def _parse_instant(text: str) -> datetime | None:
    if _DATE.fullmatch(text) is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
