r"""Regular expressions whose time grows only linearly with the text, whatever the expression is.

Python's own engine backtracks: a nested repetition such as ``(a+)+$`` takes exponential time, and the server maps
issues in its event loop. Expressions are therefore written in Python's syntax, checked by Python, and run by RE2
(https://github.com/google/re2/wiki/Syntax), which has no constructs that need backtracking. RE2 reads some of the
syntax differently (``\d``, ``\w``, ``\s`` and ``\b`` mean ASCII there, ``$`` does not match before a final line break,
``\Z`` and ``\uXXXX`` do not exist), so every expression is translated.
"""

import functools
import operator
import re
import re._parser  # type: ignore[import-not-found]
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Python's own parser takes the longest expression in milliseconds.
MAXIMUM_LENGTH = 10_000
#: The largest size of one expression: characters, sets, assertions, groups and alternatives, counted once for each
#: repetition. This is known before anything is compiled.
MAXIMUM_SIZE = 2_000
#: The largest number of instructions that RE2 compiles an expression to: in the worst case it follows each of them
#: with every byte of a text.
MAXIMUM_PROGRAM = 10_000
#: RE2's own limit for one repetition.
MAXIMUM_REPETITION = 1000
#: Longer texts are searched so far only: Rally keeps no more of a text.
MAXIMUM_TEXT = 32_768
#: The memory for RE2, in bytes: for the instructions and for its cache of states.
_MEMORY = 1 << 20

#: What is around characters of words in a tagged text; the second one where a word boundary means one of ASCII words,
#: so that only ASCII characters are part of words. See ``_add_tags``.
_TAG, _ASCII_TAG = "_", "\x01"
#: A noncharacter that stands for the tag itself, and one for this one.
_MARK, _OTHER = "\ufdd0", "\ufdd2"
_WORD_BEYOND_ASCII = re.compile(r"([^\W\x00-\x7f])")
_ANY = ((0, sys.maxunicode),)
#: Characters beyond ASCII that are equal to ASCII letters without regard to case: K (kelvin) and the long s.
_FOLDED_TO_ASCII = (0x17F, 0x212A)
_LETTERS_WITH_FOLDS = "kKsS"

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


class UnsupportedPatternError(ValueError):
    """A construct that only an engine with backtracking has; the message is a phrase without a subject."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled regular expression."""

    source: str
    flags: int
    #: See ``MAXIMUM_SIZE``.
    size: int
    #: The number of RE2's instructions, see ``MAXIMUM_PROGRAM``.
    program: int
    #: Runs on texts that are ASCII only.
    _plain: Any = field(repr=False, compare=False)
    #: Runs on all other texts, see ``_add_tags``.
    _beyond: Any = field(repr=False, compare=False)
    _tag: str = field(repr=False, compare=False)

    def occurs_in(self, text: str) -> bool:
        """Return whether the expression matches anywhere in the text."""
        text = text[:MAXIMUM_TEXT]
        if text.isascii():
            return self._plain.search(text.encode()) is not None
        return self._beyond.search(_add_tags(text, self._tag).encode()) is not None


def compile_expression(source: str, flags: int = 0) -> Expression:
    """Compile an expression.

    Args:
        source: The expression in Python's syntax.
        flags: ``re.IGNORECASE``, ``re.MULTILINE``, ``re.DOTALL``, in any combination.

    Raises:
        ValueError: Python does not accept the expression, or RE2 does not support it (``UnsupportedPatternError``). The
            message is a phrase such as "is not a valid regular expression: ...".
    """
    if len(source) > MAXIMUM_LENGTH:
        raise UnsupportedPatternError(f"is too long; a regular expression has at most {MAXIMUM_LENGTH:,} characters")
    try:
        with warnings.catch_warnings():
            # Python warns about syntax that it may read differently in the future; the rules' author has no use for it.
            warnings.simplefilter("ignore")
            # Not ``re.compile``: it looks at each character of a set of 65,000 on its own.
            re._parser.parse(source, flags)  # noqa: SLF001 - there is no public parser
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a valid regular expression: {error}") from None
    translation = _Translation(source, flags, _TAG)
    if translation.has_ascii_boundary:
        translation = _Translation(source, flags, _ASCII_TAG)
    tag = _format_code(ord(translation.tag))
    # Whole characters of a tagged text are skipped, so that the expression is tried between characters only.
    beyond = _compile_engine((rf"\A(?:{tag}[^{tag}]{tag}|[^{tag}])*?(?:", *translation.beyond, ")"))
    plain = _compile_engine(translation.plain)
    program = max(plain.programsize, beyond.programsize)
    return Expression(source, flags, translation.size, program, plain, beyond, translation.tag)


def _compile_engine(parts: Iterable[str]) -> Any:
    import re2  # noqa: PLC0415 - takes 20 ms; the plug-in starts every few minutes, mostly without any expression

    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    options.never_capture = True
    try:
        engine = re2.compile("".join(parts).encode(), options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        if "repetition" in reason or "too large" in reason:
            raise UnsupportedPatternError(_TOO_LARGE) from None
        raise UnsupportedPatternError(f"is not supported: {reason}") from None
    if engine.programsize > MAXIMUM_PROGRAM:
        raise UnsupportedPatternError(_TOO_LARGE)
    return engine


@dataclass(frozen=True, slots=True)
class _Set:
    """Characters as code points: those of ASCII texts, those without tags in a tagged text, and those with tags."""

    plain: Ranges
    bare: Ranges
    tagged: Ranges


class _Translation:
    """One pass over an expression that Python accepts, writing RE2's syntax."""

    def __init__(self, source: str, flags: int, tag: str) -> None:
        self.tag = tag
        #: For texts that are ASCII only.
        self.plain: list[str] = []
        #: For all others.
        self.beyond: list[str] = []
        self._has_unicode_boundary = False
        self.has_ascii_boundary = False
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
        if self._has_unicode_boundary and self.has_ascii_boundary:
            raise UnsupportedPatternError(r"uses \b or \B both with and without the flag a, which is not supported")

    def _emit(self, plain: str, beyond: str | None = None) -> None:
        self.plain.append(plain)
        self.beyond.append(plain if beyond is None else beyond)

    def _emit_set(self, members: Sequence[_Set], *, negated: bool = False) -> None:
        """Write one character out of sets."""
        self._count(1)
        plain, bare, tagged = (
            _merge_ranges(code_range for member in members for code_range in part(member))
            for part in (_PLAIN, _BARE, _TAGGED)
        )
        # Where no character without tags belongs, there may be a tag.
        bare = _merge_ranges((*bare, (ord(self.tag), ord(self.tag)))) if negated else bare
        tag = _format_code(ord(self.tag))
        parts = [_format_set(bare, negated=negated), f"{tag}{_format_set(tagged, negated=negated)}{tag}"]
        self._emit(_format_set(plain, negated=negated), f"(?:{'|'.join(parts)})")

    def _emit_literal(self, code: int) -> None:
        self._count(1)
        char, tag = chr(code), _format_code(ord(self.tag))
        text = _format_code(ord({self.tag: _MARK, _MARK: _OTHER}.get(char, char)))
        tagged = f"(?:{tag}{text}{tag})"
        if char == self.tag:
            beyond = tagged
        elif "i" in self._flags[-1] and (not char.isascii() or char in _LETTERS_WITH_FOLDS):
            beyond = f"(?:{text}|{tagged})"
        else:
            beyond = tagged if not char.isascii() and char.isalnum() else text
        self._emit(_format_code(code), beyond)

    def _count(self, positions: int) -> None:
        """Add an element to the size of the innermost group."""
        sizes = self._sizes[-1]
        sizes[0] += positions
        sizes[1] = positions
        if sizes[0] > MAXIMUM_SIZE:
            raise UnsupportedPatternError(_TOO_LARGE)

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
                self._count(self._sizes.pop()[0] + 1)
            case "|":
                self._emit("|")
                self._count(1)
            case "^" | "$":
                self._anchor(char)
            case ".":
                self._emit_set(() if "s" in flags else (_build_range_set(10, 10, self.tag),), negated=True)
            case "*" | "+" | "?":
                self._emit(char)
                self._after_repeat()
            case "{" if repetition := _REPEAT.match(source, at):
                self._at = repetition.end()
                self._repeat(*repetition.groups())
            case _:
                self._other(char)

    def _anchor(self, char: str) -> None:
        self._count(1)
        is_multiline = "m" in self._flags[-1]
        if char == "^":
            self._emit("(?m:^)" if is_multiline else r"\A")
        else:
            # Python's $ also matches before a line break that ends the text.
            self._emit("(?m:$)" if is_multiline else r"(?:\z|\n\z)")

    def _other(self, char: str) -> None:
        """Write an ordinary character; with the flag x, skip white space and comments."""
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
            raise UnsupportedPatternError(f"repeats more than {MAXIMUM_REPETITION} times, which is not supported")
        once = self._sizes[-1][1]
        self._count(once * max(times - 1, 0))
        self._sizes[-1][1] = once * times
        self._after_repeat()

    def _after_repeat(self) -> None:
        # Whether a repetition is lazy changes what is matched, not whether something is.
        following = self._source[self._at : self._at + 1]
        if following == "+":
            raise UnsupportedPatternError("uses a possessive repetition, which is not supported")
        if following == "?":
            self._at += 1

    def _group(self) -> None:
        source, at = self._source, self._at
        for opening, name in _UNSUPPORTED_GROUPS.items():
            if source.startswith(opening, at):
                raise UnsupportedPatternError(f"uses {name} ({opening}...) at position {at}, which is not supported")
        if source.startswith("(?#", at):
            self._at = source.index(")", at) + 1
            return
        flags = set(self._flags[-1])
        if source.startswith("(?P<", at):
            self._at = source.index(">", at) + 1
        elif flag_group := _FLAG_GROUP.match(source, at):
            self._at = flag_group.end()
            on, off, end = flag_group.groups()
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
                self.has_ascii_boundary = True
            else:
                self._has_unicode_boundary = True
            self._count(1)
            self._emit(rf"\{char}")
        elif char in "AZz":
            self._at += 1
            self._count(1)
            self._emit(r"\A" if char == "A" else r"\z")
        elif char in "dDsSwW":
            self._at += 1
            self._emit_set((_build_class_set(char, self.tag, ascii_only="a" in flags),))
        elif char in "123456789" and not re.match("[0-3][0-7][0-7]", source[at : at + 3]):
            raise UnsupportedPatternError(
                rf"uses a back-reference (\{char}) at position {at - 1}, which is not supported"
            )
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
        if octal := re.compile("[0-7]{1,3}").match(source, at):
            self._at = octal.end()
            return int(octal[0], 8)
        self._at += 1
        return _CONTROLS.get(char, ord(char))

    def _set(self) -> None:
        """Write a set; its opening bracket is read already."""
        source, flags = self._source, self._flags[-1]
        negated = source.startswith("^", self._at)
        self._at += negated
        first = self._at
        members: list[_Set] = []
        while source[self._at] != "]" or self._at == first:
            if source[self._at] == "\\" and source[self._at + 1] in "dDsSwW":
                members.append(_build_class_set(source[self._at + 1], self.tag, ascii_only="a" in flags))
                self._at += 2
                continue
            low = high = self._member()
            if source[self._at] == "-" and source[self._at + 1] != "]":
                self._at += 1
                high = self._member()
            members.append(_build_range_set(low, high, self.tag))
        self._at += 1
        self._emit_set(members, negated=negated)

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


_PLAIN, _BARE, _TAGGED = (operator.attrgetter(name) for name in ("plain", "bare", "tagged"))


def _build_range_set(low: int, high: int, tag: str) -> _Set:
    ranges = ((low, high),)
    # Tagged characters are never ASCII; those of the set stay in it for the letters that they fold to.
    return _Set(ranges, _remove_code(ranges, ord(tag)), _replace_mark(ranges, holds=low <= ord(tag) <= high))


@functools.cache
def _build_class_set(escape: str, tag: str, *, ascii_only: bool) -> _Set:
    r"""Return the characters of a class such as ``\w``.

    What never occurs in a place of a tagged text may be in the set or not; whichever is shorter is taken.
    """
    if escape in "DSW":
        opposite = _build_class_set(escape.lower(), tag, ascii_only=ascii_only)
        plain, bare, tagged = (
            tuple(_complement_ranges(part)) for part in (opposite.plain, opposite.bare, opposite.tagged)
        )
        for code in (ord(tag), *(_FOLDED_TO_ASCII if escape == "W" else ())):
            bare = _remove_code(bare, code)
        return _Set(plain, bare, tagged)
    plain = _find_ranges(escape, 0x80, ascii_only=ascii_only)
    holds = any(low <= ord(tag) <= high for low, high in plain)
    if ascii_only or escape == "w":
        return _Set(plain, _remove_code(plain, ord(tag)), _replace_mark(() if ascii_only else _ANY, holds=holds))
    every = _find_ranges(escape, sys.maxunicode + 1, ascii_only=False)
    # Digits beyond ASCII are characters of words, spaces are not.
    bare, beyond = (plain, every) if escape == "d" else (every, ())
    return _Set(plain, _remove_code(bare, ord(tag)), _replace_mark(beyond, holds=holds))


def _replace_mark(ranges: Ranges, *, holds: bool) -> Ranges:
    others = _remove_code(ranges, ord(_MARK))
    return _merge_ranges((*others, (ord(_MARK), ord(_MARK)))) if holds else others


def _find_ranges(escape: str, end: int, *, ascii_only: bool) -> Ranges:
    """Return the code points of a class below an end, exactly as this Python has them."""
    everything = "".join(map(chr, range(end)))
    matches = re.finditer(rf"\{escape}+", everything, re.ASCII if ascii_only else re.NOFLAG)
    return tuple((match.start(), match.end() - 1) for match in matches)


def _merge_ranges(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges in ascending order, none of which touches the next one."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement_ranges(ranges: Ranges) -> Iterator[tuple[int, int]]:
    begin = 0
    for low, high in ranges:
        if low > begin:
            yield begin, low - 1
        begin = high + 1
    if begin <= sys.maxunicode:
        yield begin, sys.maxunicode


def _remove_code(ranges: Ranges, code: int) -> Ranges:
    parts = (part for low, high in ranges for part in ((low, min(high, code - 1)), (max(low, code + 1), high)))
    return tuple((low, high) for low, high in parts if low <= high)


def _format_set(ranges: Ranges, *, negated: bool) -> str:
    # RE2 has no notation for the empty set.
    if not ranges:
        ranges, negated = _ANY, not negated
    return f"[{'^' if negated else ''}{_format_ranges(ranges)}]"


def _format_ranges(ranges: Ranges) -> str:
    return "".join(f"{_format_code(low)}-{_format_code(high)}" for low, high in ranges)


def _format_code(code: int) -> str:
    if 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - half of a character, which UTF-8 cannot write; see _utf8
        code = 0xFFFD
    char = chr(code)
    return char if char.isascii() and char.isalnum() else f"\\x{{{code:X}}}"


def _add_tags(text: str, tag: str) -> str:
    r"""Return the text with tags on either side of each character of words beyond ASCII.

    RE2 knows word boundaries between ASCII characters only. In a text with underscores as tags they are where Python
    has them, and ``\w`` needs none of the 800 ranges of Unicode: what has tags is a character of words. The tag itself
    becomes a noncharacter with tags. Halves of characters cannot be written in UTF-8.
    """
    text = _SURROGATE.sub("\ufffd", text).replace(_MARK, _OTHER).replace(tag, f"{tag}{_MARK}{tag}")
    return _WORD_BEYOND_ASCII.sub(rf"{tag}\1{tag}", text)
