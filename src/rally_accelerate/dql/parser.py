"""From the text of a query to its tree, or to the place of its fault."""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedEOF, UnexpectedToken, v_args
from lark.exceptions import VisitError

from rally_accelerate.dql.ast import EVERYTHING, Both, Comparison, Either, Negated, Operator, Query, Value
from rally_accelerate.dql.syntax_hints import APOSTROPHE, CLOSING, ITEMS, QUOTES, hint, hint_at_the_end
from rally_accelerate.dql.value_checks import Literal, check
from rally_accelerate.errors import QueryError
from rally_accelerate.model.suggestions import alike
from rally_accelerate.model.text_folding import plain

#: Longer texts, and deeper ones, are no query that anybody wrote.
LONGEST = 10_000
DEEPEST = 50

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGE = re.compile(r"(\d{1,6})(s|min|m|h|d|w)")
_NUMBER = re.compile(r"[+-]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})")
#: Before anything else a backslash stands for itself, as in ``C:\temp``.
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
def _grammar() -> Lark:
    """Return the parser, made when the first query comes: it takes as long as many imports together."""
    return Lark(
        Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8"),
        parser="lalr",
        propagate_positions=True,
        maybe_placeholders=False,
    )


def parse(text: str) -> Query:
    """The tree of a query; of an empty text, one that is true of everything.

    Raises:
        QueryError: With the place of the fault, and what would have been right there.
    """
    if not plain(text).strip():
        return EVERYTHING
    _bounded(text)
    try:
        parsed = _grammar().parse(text)
    except UnexpectedToken as error:
        raise _unexpected(text, error) from None
    except UnexpectedEOF:
        raise _at_the_end(text, ()) from None
    except UnexpectedCharacters as error:
        what = "a quote that is not closed" if error.char in QUOTES else f"{error.char!r} does not belong here"
        if meant := _WIDE.get(error.char):
            what += f"; use {meant}"
        elif error.char in QUOTES and text[: error.pos_in_stream].endswith("\\"):
            what = "a backslash does not belong here; write the quotes around a value without backslashes"
            raise QueryError(what, line=error.line, column=error.column) from None
        raise QueryError(what, line=error.line, column=error.column, expected=_readable(error.allowed or ())) from None
    try:
        tree: Query = _Builder().transform(parsed)
    except VisitError as error:
        raise error.orig_exc from None
    return tree


def _bounded(text: str) -> None:
    if len(text) > LONGEST:
        raise QueryError(f"the query is longer than {LONGEST:,} characters")
    depth = 0
    for found in re.finditer(r"\(|\)|\bnot\b", text, re.IGNORECASE):
        # Each NOT may stand before another one.
        depth += -1 if found[0] == ")" else 1
        if depth > DEEPEST:
            line, column = _place(text, found.start())
            raise QueryError(f"the query is nested deeper than {DEEPEST} levels", line=line, column=column)


def _place(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _unexpected(text: str, error: UnexpectedToken) -> QueryError:
    expected = _readable(error.accepts or error.expected or ())
    if error.token.type == "$END":
        return _at_the_end(text, expected)
    meant = hint(text, error)
    return QueryError(
        f"{str(error.token)!r} does not belong here{meant and f'; {meant}'}",
        line=error.line,
        column=error.column,
        # What would be right if it were another mistake only leads away from this one.
        expected=() if meant else expected,
    )


def _at_the_end(text: str, expected: tuple[str, ...]) -> QueryError:
    line, column = _place(text, len(text.rstrip()))
    meant = hint_at_the_end(text)
    what = f"the query ends too early{meant and f'; {meant}'}"
    return QueryError(what, line=line, column=column, expected=() if meant else expected)


def _readable(terminals: Any) -> tuple[str, ...]:
    # Where a value may stand in quotes, a word without them is a value as well, and no field.
    names = [name for name in sorted(terminals) if not name.startswith("__")]
    return tuple(_WORDS.get(name, name) for name in names if name != "FIELD" or "QUOTED" not in names)


@v_args(inline=True)
class _Builder(Transformer[Token, Query]):
    """Makes our tree of lark's."""

    def both(self, *operands: Query) -> Query:
        return Both(operands)

    def either(self, *operands: Query) -> Query:
        return Either(operands)

    def negated(self, operand: Query) -> Query:
        return Negated(operand)

    def compared(self, field: Token, operator: Token, value: Literal) -> Query:
        return _comparison(field, Operator(str(operator)), (value,))

    def among(self, field: Token, *values: Literal) -> Query:
        return _comparison(field, Operator.AMONG, values)

    def not_among(self, field: Token, *values: Literal) -> Query:
        return Negated(_comparison(field, Operator.AMONG, values))

    def containing(self, field: Token, value: Literal) -> Query:
        return _comparison(field, Operator.CONTAINS, (value,))

    def quoted(self, token: Token) -> Literal:
        # A value that was wrapped at the end of a line continues in the next one.
        written = str(token)[1:-1]
        text = _WRAPPED.sub(" ", _ESCAPED.sub(_character, written))
        is_twice = _QUOTED_TWICE.fullmatch(plain(written)) is not None
        # French quotes have a space within.
        return _literal(token, text if token[0] in "\"'" else text.strip(), bare=False, is_twice=is_twice)

    def bare(self, token: Token) -> Literal:
        return _literal(token, str(token), bare=True)


def _comparison(field: Token, operator: Operator, literals: tuple[Literal, ...]) -> Comparison:
    line, column = field.line or 1, field.column or 1
    item, *path = plain(str(field)).split(".")
    known = item.lower()
    if known not in ITEMS:
        near = alike(known, ITEMS, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        # A field without its item is the commonest slip.
        meant = meant or ("" if path else f"; did you mean issue.{item}?")
        raise QueryError(f"{item!r} is no item of a value stream{meant}", line=line, column=column, expected=ITEMS)
    if not path or not all(path):
        raise QueryError(f"{str(field)!r} names no field", line=line, column=column, expected=(f"{known}.status",))
    check(known, path, operator, literals)
    return Comparison(known, tuple(path), operator, tuple(each.value for each in literals), line, column)


def _character(escaped: re.Match[str]) -> str:
    """Return what an escape stands for; one of half a character, or of none, stands for itself."""
    if escaped[1]:
        return escaped[1]
    units = b"".join(int(code, 16).to_bytes(2, "big") for code in escaped[2].split("\\u")[1:])
    try:
        found = units.decode("utf-16-be")
    except UnicodeDecodeError:
        return escaped[0]
    # Databases hold no character 0.
    return escaped[0] if "\0" in found else found


def _literal(token: Token, text: str, *, bare: bool, is_twice: bool = False) -> Literal:
    # A minus that a word processor made long is a minus all the same.
    read = plain(text)
    age = _AGE.fullmatch(read.lower()) if bare else None
    value = Value(
        text=text,
        number=float(read) if _NUMBER.fullmatch(read) else None,
        age=timedelta(seconds=int(age[1]) * _UNITS[age[2]]) if age else None,
        instant=_instant(read),
    )
    return Literal(value, bare, token.line or 1, token.column or 1, is_twice)


def _instant(text: str) -> datetime | None:
    if _DATE.fullmatch(text) is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
