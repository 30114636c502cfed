"""The query grammar, strictly: binary, fully parenthesised, nothing redundant (rally-api-notes.md#query-language).

::

    query      := '(' expression ')'
    expression := attribute operator value | query ('AND' | 'OR') query
"""

import re
from dataclasses import dataclass

from rally_sandbox.errors import QueryRefused

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
