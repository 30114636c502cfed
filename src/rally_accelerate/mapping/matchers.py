"""What a value is compared with: a text, a regular expression, or conditions on other fields of the item."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from rally_accelerate.mapping import regex
from rally_accelerate.model.folding import fold

#: ``/expression/flags``, as in the rules of the sibling plug-ins.
_PATTERN = re.compile(r"/(.+)/([A-Za-z]*)", re.DOTALL)
#: The characters of a regular expression that an error message quotes.
LONGEST_SHOWN = 300
#: JavaScript's flags: those for repeated and Unicode matching change nothing for a single test.
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "g": re.NOFLAG, "u": re.NOFLAG, "y": re.NOFLAG}


class Grade(IntEnum):
    """How well a value fits."""

    NOT = 0
    #: But for letters' case, typography and blanks.
    NEARLY = 1
    FULLY = 2


@dataclass(frozen=True, slots=True)
class Exactly:
    """One text."""

    written: str

    def grade(self, text: str) -> Grade:
        """Equal, equal but for case and blanks, or different."""
        if text == self.written:
            return Grade.FULLY
        return Grade.NEARLY if _folded(text) == _folded(self.written) else Grade.NOT


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that is found anywhere in the text, as JavaScript's ``test`` does."""

    written: str
    expression: regex.Expression

    def grade(self, text: str) -> Grade:
        """A pattern fits or does not."""
        return Grade.FULLY if self.expression.found_in(text) else Grade.NOT


Single = Exactly | Pattern


@dataclass(frozen=True, slots=True)
class Conditions:
    """Tests on Rally fields of the item, by label; all must hold, each with any of its values."""

    tests: tuple[tuple[str, tuple[Single, ...]], ...]

    @property
    def written(self) -> str:
        """The conditions as people read them."""
        return " and ".join(f"{label} = {' or '.join(each.written for each in any_of)}" for label, any_of in self.tests)

    def hold(self, read: Callable[[str], Iterable[str]]) -> bool:
        """Whether all hold.

        Args:
            read: Gives the texts of a field by label; an empty field is one empty text.
        """
        return bool(self.tests) and all(
            any(single.grade(text) for text in texts for single in any_of)
            for texts, any_of in ((tuple(read(label)), any_of) for label, any_of in self.tests)
        )


Matcher = Single | Conditions


def words_of(value: Any) -> str | None:
    """A JSON scalar as the text that it is compared by; None for lists and objects.

    Null is the empty text: it stands for a field that is not set.
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value.strip()
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)  # noqa: PLR2004 - exact so far
        case int():
            return format(value, "d") if abs(value) < 1 << 64 else hex(value)
        case _:
            return None


def single(value: Any) -> Single:
    """The matcher that a scalar stands for; a text between slashes is a regular expression.

    Raises:
        ValueError: It is invalid; the message is a sentence.
    """
    text = words_of(value)
    if text is None:
        raise ValueError("must be a text, a number or a regular expression such as /^Acc/i")
    found = _PATTERN.fullmatch(text) if isinstance(value, str) else None
    if found is None:
        return Exactly(text)
    flags = re.NOFLAG
    for letter in found[2]:
        if letter not in _FLAGS:
            raise ValueError(f'"{_shortened(text)}" has the unknown flag "{letter}"; i, m and s are known')
        flags |= _FLAGS[letter]
    try:
        return Pattern(text, regex.compiled(found[1], flags))
    except ValueError as error:
        raise ValueError(f'"{_shortened(text)}" {error}') from None


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _folded(text: str) -> str:
    # An unset drop-down is null, an empty text or the word None (rally-api-notes.md#empty-values): rules need not know
    # which.
    folded = " ".join(fold(text).split())
    return "" if folded == "none" else folded
