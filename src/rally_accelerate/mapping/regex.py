r"""Regular expressions whose time grows only linearly with the text, whatever the expression is.

Python's own engine backtracks: a nested repetition such as ``(a+)+$`` takes exponential time, and the server maps
issues in its event loop. Expressions are therefore written in Python's syntax, checked by Python, and run by RE2
(https://github.com/google/re2/wiki/Syntax), which has no constructs that need backtracking. RE2 reads some of the
syntax differently (``\d``, ``\w``, ``\s`` and ``\b`` mean ASCII there, ``$`` does not match before a final line break,
``\Z`` and ``\uXXXX`` do not exist), so every expression is translated.
"""

import functools
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: The largest number of positions in one expression: characters and sets, counted once for each repetition. In the
#: worst case RE2 tries each of them with every character of a text: 2,000 take a third of a second for 32 KiB, the
#: longest text that Rally keeps.
MAXIMUM_SIZE = 2_000
#: RE2's own limit for one repetition.
MAXIMUM_REPETITION = 1000
#: Memory budgets for RE2, in bytes. The first is enough for most; RE2 also keeps its cache of states within it. The
#: second, RE2's default, is for longer expressions with ``\w``, which has 800 ranges.
_BUDGETS = (512 << 10, 8 << 20)

#: Noncharacters that stand for "a word boundary is here" and "none is here". See ``_marked``.
_BOUNDARY, _INSIDE, _OTHER = "\ufdd0", "\ufdd1", "\ufdd2"
_MARKS = r"[\x{FDD0}\x{FDD1}]*"
_MARKED_CODES = ((0xFDD0, 0xFDD1),)
_EVERYTHING = ((0, sys.maxunicode),)
_POSITION = re.compile(r"(\b)|")

_SURROGATE = re.compile("[\ud800-\udfff]")
_REPEAT = re.compile(r"\{(?!\})([0-9]*)(,?)([0-9]*)\}")
_FLAG_GROUP = re.compile(r"\(\?([A-Za-z]*)(?:-([A-Za-z]+))?([:)])")
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_CODES = {"x": 2, "u": 4, "U": 8}
_UNSUPPORTED_GROUPS = {
    "(?=": "a look-ahead",
    "(?!": "a look-ahead",
    "(?<=": "a look-behind",
    "(?<!": "a look-behind",
    "(?>": "an atomic group",
    "(?(": "a conditional group",
    "(?P=": "a back-reference",
}

_TOO_LARGE = "is too large; use fewer or shorter repetitions"

#: Inclusive ranges of code points.
Ranges = tuple[tuple[int, int], ...]


class Unsupported(ValueError):
    """A construct that only an engine with backtracking has; the message is a phrase without a subject."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled regular expression."""

    source: str
    flags: int
    #: The number of positions, see ``MAXIMUM_SIZE``.
    size: int
    #: Runs on every text that is ASCII only, and on all texts unless ``_beyond_ascii`` is set.
    _engine: Any = field(repr=False, compare=False)
    #: The translation for marked texts, for expressions that ask for Unicode word boundaries.
    _marked_engine: Any = field(default=None, repr=False, compare=False)

    def found_in(self, text: str) -> bool:
        """Return whether the expression matches anywhere in the text."""
        if self._marked_engine is not None and not text.isascii():
            return self._marked_engine.search(_utf8(_marked(text))) is not None
        return self._engine.search(_utf8(text)) is not None


def compiled(source: str, flags: int = 0) -> Expression:
    """Return the expression, ready to run.

    Args:
        source: The expression in Python's syntax.
        flags: ``re.IGNORECASE``, ``re.MULTILINE``, ``re.DOTALL``, in any combination.

    Raises:
        ValueError: Python does not accept the expression, or it needs what RE2 cannot do (``Unsupported``). The message
            is a phrase such as "is not a valid regular expression: ...".
    """
    try:
        with warnings.catch_warnings():
            # Python warns about syntax that it may read differently in the future; the rules' author has no use for it.
            warnings.simplefilter("ignore")
            re.compile(source, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a valid regular expression: {error}") from None
    translation = _Translation(source, flags)
    engine = _engine(translation.plain)
    marked = _engine(translation.marked) if translation.has_unicode_boundary else None
    return Expression(source, flags, translation.size, engine, marked)


def _engine(parts: Iterable[str]) -> Any:
    import re2  # noqa: PLC0415 - takes 20 ms; the plug-in starts every few minutes, mostly without any expression

    source = "".join(parts).encode()
    for budget in _BUDGETS:
        options = re2.Options()
        options.max_mem = budget
        options.log_errors = False
        options.never_capture = True
        try:
            return re2.compile(source, options)
        except re2.error as error:
            reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
    if "repetition" in reason or "too large" in reason:
        raise Unsupported(_TOO_LARGE)
    raise Unsupported(f"is not supported: {reason}")


class _Translation:
    """One pass over an expression that Python accepts, writing RE2's syntax."""

    def __init__(self, source: str, flags: int) -> None:
        self.plain: list[str] = []
        #: The same for texts with marks.
        self.marked: list[str] = []
        self.has_unicode_boundary = False
        self._has_ascii_boundary = False
        self._source = source
        self._at = 0
        #: The flags in force, one set for each open group.
        self._flags = [{letter for letter, flag in _FLAGS.items() if flags & flag}]
        #: The positions so far and those of the last element, for each open group.
        self._sizes = [[0, 0]]
        if "i" in self._flags[0]:
            self._emit("(?i)")
        while self._at < len(source):
            self._step()
        self.size = self._sizes[0][0]
        if self.has_unicode_boundary and self._has_ascii_boundary:
            raise Unsupported(r"uses \b or \B both with and without the flag a, which is not supported")

    def _emit(self, plain: str, marked: str | None = None) -> None:
        self.plain.append(plain)
        self.marked.append(plain if marked is None else marked)

    def _emit_set(self, ranges: Ranges, *, negated: bool = False) -> None:
        """Write one character out of a set; in a marked text, behind any marks."""
        if negated:
            plain, marked = _negated_text(ranges), _negated_text((*ranges, *_MARKED_CODES))
        else:
            plain, marked = _set_text(ranges), _set_text(_without_marks(ranges))
        self._emit(plain, f"(?:{_MARKS}{marked})")
        self._count(1)

    def _emit_literal(self, code: int) -> None:
        self._count(1)
        self._emit(_code_text(code), f"(?:{_MARKS}{_code_text(code)})")

    def _count(self, positions: int) -> None:
        """Add an element to the size of the innermost group."""
        sizes = self._sizes[-1]
        sizes[0] += positions
        sizes[1] = positions
        if sizes[0] > MAXIMUM_SIZE:
            raise Unsupported(_TOO_LARGE)

    def _step(self) -> None:
        source, at, flags = self._source, self._at, self._flags[-1]
        char = source[at]
        self._at += 1
        match char:
            case "\\":
                self._escape()
            case "[":
                self._set()
            case "(":
                self._at = at
                self._group()
            case ")":
                self._flags.pop()
                self._emit(")")
                self._count(self._sizes.pop()[0])
            case "|":
                self._emit("|")
            case "^" | "$":
                self._anchor(char)
            case ".":
                self._emit_set(() if "s" in flags else ((10, 10),), negated=True)
            case "*" | "+" | "?":
                self._emit(char)
                self._after_repeat()
            case "{" if found := _REPEAT.match(source, at):
                self._at = found.end()
                self._repeat(*found.groups())
            case _:
                self._other(char)

    def _anchor(self, char: str) -> None:
        each_line = "m" in self._flags[-1]
        if char == "^":
            self._emit("(?m:^)" if each_line else r"\A")
        elif each_line:
            self._emit("(?m:$)", f"{_MARKS}(?m:$)")
        else:
            # Python's $ also matches before a line break that ends the text.
            self._emit(r"(?:\z|\n\z)", rf"{_MARKS}(?:\z|\n{_MARKS}\z)")

    def _other(self, char: str) -> None:
        """Write a character that has no meaning of its own, except with the flag x."""
        verbose = "x" in self._flags[-1]
        if verbose and char == "#":
            end = self._source.find("\n", self._at)
            self._at = len(self._source) if end < 0 else end + 1
        elif not verbose or char not in " \t\n\r\v\f":
            self._emit_literal(ord(char))

    def _repeat(self, least: str, comma: str, most: str) -> None:
        self._emit(f"{{{least or 0},{most}}}" if comma else f"{{{least}}}")
        times = max(int(least or 0), int(most or 0))
        if times > MAXIMUM_REPETITION:
            raise Unsupported(f"repeats more than {MAXIMUM_REPETITION} times, which is not supported")
        once = self._sizes[-1][1]
        self._count(once * max(times - 1, 0))
        self._sizes[-1][1] = once * times
        self._after_repeat()

    def _after_repeat(self) -> None:
        # Whether a repetition is lazy changes what is matched, not whether something is.
        following = self._source[self._at : self._at + 1]
        if following == "+":
            raise Unsupported("uses a possessive repetition, which is not supported")
        if following == "?":
            self._at += 1

    def _group(self) -> None:
        source, at = self._source, self._at
        for opening, name in _UNSUPPORTED_GROUPS.items():
            if source.startswith(opening, at):
                raise Unsupported(f"uses {name} ({opening}...) at position {at}, which is not supported")
        if source.startswith("(?#", at):
            self._at = source.index(")", at) + 1
            return
        flags = set(self._flags[-1])
        if source.startswith("(?P<", at):
            self._at = source.index(">", at) + 1
        elif found := _FLAG_GROUP.match(source, at):
            self._at = found.end()
            on, off, end = found.groups()
            if "u" in on:
                flags.discard("a")
            flags = (flags | set(on)) - set(off or "")
            if end == ")":
                # Python accepts these at the start only: they apply to the whole expression.
                self._flags[-1] = flags
                self._emit("(?i)" if "i" in on else "")
                return
        else:
            self._at += 1
        self._flags.append(flags)
        self._sizes.append([0, 0])
        self._emit("(?i:" if "i" in flags else "(?-i:")

    def _escape(self) -> None:
        """Write what an escape outside of a set means; the backslash is read already."""
        source, at, flags = self._source, self._at, self._flags[-1]
        char = source[at]
        if char in "bB":
            self._at += 1
            if "a" in flags:
                self._has_ascii_boundary = True
            else:
                self.has_unicode_boundary = True
            self._emit(rf"\{char}", _code_text(ord(_BOUNDARY if char == "b" else _INSIDE)))
        elif char == "A":
            self._at += 1
            self._emit(r"\A")
        elif char in "Zz":
            self._at += 1
            self._emit(r"\z", rf"{_MARKS}\z")
        elif char in "dDsSwW":
            self._at += 1
            self._emit_set(_class_ranges(char, ascii_only="a" in flags))
        elif char in "123456789" and not re.match("[0-3][0-7][0-7]", source[at : at + 3]):
            raise Unsupported(rf"uses a back-reference (\{char}) at position {at - 1}, which is not supported")
        else:
            self._emit_literal(self._code())

    def _code(self) -> int:
        """Return the code point that an escape stands for, and step behind it."""
        source, at = self._source, self._at
        char = source[at]
        if char in _CODES:
            self._at += 1 + _CODES[char]
            return int(source[at + 1 : self._at], 16)
        if char == "N":
            self._at = source.index("}", at) + 1
            return ord(unicodedata.lookup(source[at + 2 : self._at - 1]))
        if found := re.compile("[0-7]{1,3}").match(source, at):
            self._at = found.end()
            return int(found[0], 8)
        self._at += 1
        return _CONTROLS.get(char, ord(char))

    def _set(self) -> None:
        """Write a set; its opening bracket is read already."""
        source, flags = self._source, self._flags[-1]
        negated = source.startswith("^", self._at)
        self._at += negated
        first = self._at
        ranges: list[tuple[int, int]] = []
        while source[self._at] != "]" or self._at == first:
            if source[self._at] == "\\" and source[self._at + 1] in "dDsSwW":
                ranges += _class_ranges(source[self._at + 1], ascii_only="a" in flags)
                self._at += 2
                continue
            low = high = self._member()
            if source[self._at] == "-" and source[self._at + 1] != "]":
                self._at += 1
                high = self._member()
            ranges.append((low, high))
        self._at += 1
        self._emit_set(tuple(ranges), negated=negated)

    def _member(self) -> int:
        char = self._source[self._at]
        self._at += 1
        if char != "\\":
            return ord(char)
        if self._source[self._at] == "b":
            self._at += 1
            return 8
        return self._code()


_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "a": re.ASCII, "x": re.VERBOSE}


@functools.cache
def _class_ranges(escape: str, *, ascii_only: bool) -> Ranges:
    r"""Return the code points of a class such as ``\w``, exactly as this Python has them."""
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    found = re.finditer(rf"\{escape}+", everything, re.ASCII if ascii_only else re.NOFLAG)
    return tuple((match.start(), match.end() - 1) for match in found)


def _without_marks(ranges: Ranges) -> Ranges:
    kept: list[tuple[int, int]] = []
    for low, high in ranges:
        kept += [(low, min(high, 0xFDCF)), (max(low, 0xFDD2), high)]
    return tuple((low, high) for low, high in kept if low <= high)


def _set_text(ranges: Ranges) -> str:
    # RE2 has no notation for the empty set.
    return f"[{_ranges_text(ranges)}]" if ranges else f"[^{_ranges_text(_EVERYTHING)}]"


def _negated_text(ranges: Ranges) -> str:
    return f"[^{_ranges_text(ranges)}]" if ranges else f"[{_ranges_text(_EVERYTHING)}]"


def _ranges_text(ranges: Ranges) -> str:
    return "".join(f"{_code_text(low)}-{_code_text(high)}" for low, high in ranges)


def _code_text(code: int) -> str:
    if 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - half of a character, which UTF-8 cannot write; see _utf8
        code = 0xFFFD
    char = chr(code)
    return char if char.isascii() and char.isalnum() else f"\\x{{{code:X}}}"


def _utf8(text: str) -> bytes:
    return (_SURROGATE.sub("\ufffd", text) if not text.isascii() else text).encode()


def _marked(text: str) -> str:
    r"""Return the text with a mark at every position that says whether a word begins or ends there.

    RE2 knows word boundaries between ASCII characters only. The marks are doubled so that two conditions can ask for
    one position, as in ``\b(\bA|\bB)``.
    """
    text = text.replace(_BOUNDARY, _OTHER).replace(_INSIDE, _OTHER)
    return _POSITION.sub(lambda found: (_INSIDE if found[1] is None else _BOUNDARY) * 2, text)
