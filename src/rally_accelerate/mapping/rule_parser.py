"""From the setting ``fieldMapping`` to rules: every fault is told with its place, none stops the reading."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from rally_accelerate.mapping import regex
from rally_accelerate.mapping.item_types import ANY, type_key
from rally_accelerate.mapping.rule_targets import converted, target_of
from rally_accelerate.model.lenient_json import JsonDecodeError, parse_json
from rally_accelerate.model.suggestions import MOST_EXPLAINED, suggestion
from rally_accelerate.model.text_folding import fold

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


@dataclass(frozen=True, slots=True)
class Standard:
    """One standard value and all that becomes it."""

    value: str
    #: ``fieldMapping[0].valueMapping.status.Done``.
    path: str
    matchers: tuple[Matcher, ...]
    #: Whether the values were a list: then a single one is told by its position.
    listed: bool = True

    def place(self, position: int) -> str:
        """Where the matcher at a position stands in the settings."""
        return f"{self.path}[{position}]" if self.listed else self.path


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of the list: the rules for one type, or for every one."""

    path: str
    #: Folded names; ``*`` is every type.
    types: tuple[str, ...]
    #: What was written as the type, for messages.
    written: str
    #: Labels by target, in order of appearance.
    sources: Mapping[str, str] = field(default_factory=dict)
    #: Standard values by target, in order of appearance.
    values: Mapping[str, tuple[Standard, ...]] = field(default_factory=dict)
    #: The types as written, in the order of ``types``.
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldRules:
    """All rules, in order of appearance."""

    entries: tuple[Entry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def searches(self) -> bool:
        """Whether there is a regular expression among them: long texts can take it seconds."""
        matchers = (
            matcher
            for entry in self.entries
            for standards in entry.values.values()
            for standard in standards
            for matcher in standard.matchers
        )
        return any(
            isinstance(single, Pattern)
            for matcher in matchers
            for single in (
                [each for _, any_of in matcher.tests for each in any_of]
                if isinstance(matcher, Conditions)
                else [matcher]
            )
        )


#: Where a rule stands, and what is wrong with it.
Fault = tuple[str, str]

PROPERTY = "fieldMapping"
#: The largest size of all regular expressions of a setting together, in the units of ``Expression.size`` and
#: ``Expression.program``: they limit the time that one work item can take.
MAXIMUM_EXPRESSIONS = 10_000
MAXIMUM_PROGRAMS = 40_000
#: The largest number of regular expressions, entries, and texts and expressions that values are compared with.
MAXIMUM_PATTERNS = 1_000
MAXIMUM_ENTRIES = 1_000
MAXIMUM_VALUES = 20_000
#: The largest number of faults that are listed one by one.
MOST_FAULTS = MOST_EXPLAINED
_KEYS = {"type": "type", "fieldmapping": "fieldMapping", "valuemapping": "valueMapping"}


class _Faults:
    """What is wrong so far, and what has been read: past a limit, nothing more is compiled or explained."""

    def __init__(self) -> None:
        self.told: list[Fault] = []
        self._further = 0
        self._values = 0
        self._patterns = 0
        self._size = 0
        self._program = 0

    @property
    def full(self) -> bool:
        """Whether further faults are only counted."""
        return len(self.told) >= MOST_FAULTS

    def append(self, fault: Fault) -> None:
        """Take a fault down."""
        if self.full:
            self._further += 1
        else:
            self.told.append(fault)

    def single(self, raw: Any) -> Single | None:
        """Return the matcher of a scalar, or None when there are too many faults or expressions already.

        Raises:
            ValueError: It is invalid; the message is a sentence.
        """
        self._values += 1
        if self.full or self._excess():
            return None
        found = single(raw)
        if isinstance(found, Pattern):
            self._patterns += 1
            self._size += found.expression.size
            self._program += found.expression.program
        return found

    def _excess(self) -> str:
        """What there is too much of."""
        if self._values > MAXIMUM_VALUES:
            return f"compares values with more than {MAXIMUM_VALUES:,} texts and regular expressions"
        if self._patterns > MAXIMUM_PATTERNS:
            return f"has more than {MAXIMUM_PATTERNS:,} regular expressions; use plain texts where you can"
        if self._size > MAXIMUM_EXPRESSIONS or self._program > MAXIMUM_PROGRAMS:
            return "has too many regular expressions, or too large ones; use plain texts where you can"
        return ""

    def all(self) -> tuple[Fault, ...]:
        """Return the listed faults, and how many more there are."""
        excess = self._excess()
        further = f"has {self._further:,} more problems" if self._further else ""
        return (*self.told, *((PROPERTY, text) for text in (excess, further) if text))


def read_rules(raw: Any) -> tuple[FieldRules, tuple[Fault, ...]]:
    """The rules that a setting holds, and every fault in it; what is at fault is left out of the rules.

    Args:
        raw: A list of entries, a single entry, the JSON text of either, or nothing. Single values may stand where
            lists are expected. Letters' case counts neither in targets nor in types.
    """
    faults = _Faults()
    if isinstance(raw, str) and raw.strip():
        try:
            raw = parse_json(raw).data
        except JsonDecodeError as error:
            place = f"line {error.line}, column {error.column}"
            return FieldRules(), ((PROPERTY, f"is not valid JSON: {error.reason} at {place}"),)
    match raw:
        case None | str():
            elements: list[Any] = []
        case Mapping():
            elements = [raw] if raw else []
        case list() | tuple():
            elements = list(raw)
        case _:
            elements = []
            faults.append((PROPERTY, "must be a list of objects with type, fieldMapping and valueMapping"))
    if len(elements) > MAXIMUM_ENTRIES:
        text = f"has {len(elements):,} entries; there are at most {MAXIMUM_ENTRIES:,}"
        return FieldRules(), ((PROPERTY, text),)
    entries = tuple(_entry(element, f"{PROPERTY}[{index}]", faults) for index, element in enumerate(elements))
    return FieldRules(tuple(each for each in entries if each is not None)), faults.all()


def _entry(raw: Any, path: str, faults: _Faults) -> Entry | None:
    if not isinstance(raw, Mapping):
        faults.append((path, "must be an object with type, fieldMapping and valueMapping"))
        return None
    parts: dict[str, Any] = {}
    for key, value in raw.items():
        known = _KEYS.get(str(key).strip().casefold())
        if known is None:
            close = "" if faults.full else suggestion(str(key), _KEYS.values())
            known_keys = "; an entry has type, fieldMapping and valueMapping"
            faults.append((f"{path}.{key}", f"is not known{close or known_keys}"))
        else:
            parts[known] = value
    words = _types(parts.get("type", ANY), f"{path}.type", faults)
    return Entry(
        path,
        tuple(type_key(word) for word in words),
        ", ".join(words),
        _sources(parts.get("fieldMapping"), f"{path}.fieldMapping", faults),
        _values(parts.get("valueMapping"), f"{path}.valueMapping", faults),
        words,
    )


def _types(raw: Any, path: str, faults: _Faults) -> tuple[str, ...]:
    words = list(raw) if isinstance(raw, list | tuple) else [raw]
    texts = [word.strip() for word in words if isinstance(word, str) and word.strip()]
    if not texts or len(texts) < len(words):
        faults.append((path, 'must be "*" or the name of a type, for example Defect'))
    return tuple(texts)


def _sources(raw: Any, path: str, faults: _Faults) -> dict[str, str]:
    sources: dict[str, str] = {}
    for target, place, label in _by_target(raw, path, faults):
        if isinstance(label, str) and label.strip():
            sources[target] = label.strip()
        else:
            faults.append((place, 'must be the name of a Rally field, for example "Plan Estimate"'))
    return sources


def _values(raw: Any, path: str, faults: _Faults) -> dict[str, tuple[Standard, ...]]:
    values: dict[str, tuple[Standard, ...]] = {}
    for target, place, standards in _by_target(raw, path, faults):
        if isinstance(standards, Mapping):
            values[target] = tuple(
                _standard(target, str(value), matchers, path=f"{place}.{value}", faults=faults)
                for value, matchers in standards.items()
            )
        else:
            faults.append((place, 'must be an object of standard values, for example {"Done": ["Accepted"]}'))
    return values


def _by_target(raw: Any, path: str, faults: _Faults) -> list[tuple[str, str, Any]]:
    """Targets with their places and what is written there, each target once."""
    if raw is None:
        return []
    if not isinstance(raw, Mapping):
        faults.append((path, "must be an object with the fields of the issue as names"))
        return []
    found: dict[str, tuple[str, str, Any]] = {}
    for key, value in raw.items():
        place = f"{path}.{key}"
        try:
            target = target_of(str(key), suggest=not faults.full)
        except ValueError as error:
            faults.append((place, str(error)))
            continue
        if target in found:
            faults.append((place, f"is given twice, see {found[target][1]}"))
        found.setdefault(target, (target, place, value))
    return list(found.values())


def _standard(target: str, value: str, raw: Any, *, path: str, faults: _Faults) -> Standard:
    if not value.strip():
        faults.append((path, "is an empty standard value"))
    else:
        try:
            converted(target, value.strip())
        except ValueError as error:
            faults.append((path, f'"{value}" {error}'))
    listed = isinstance(raw, list | tuple)
    matchers: list[Matcher] = []
    for position, element in enumerate(raw if listed else [raw]):
        place = f"{path}[{position}]" if listed else path
        found = _conditions(element, place, faults) if isinstance(element, Mapping) else _single(element, place, faults)
        # A place that is at fault keeps its position, so that the others are told by theirs.
        matchers.append(found if found is not None else Conditions(()))
    return Standard(value.strip(), path, tuple(matchers), listed)


def _conditions(raw: Mapping[Any, Any], path: str, faults: _Faults) -> Conditions | None:
    if not raw:
        faults.append((path, "is an empty condition: every item would meet it"))
        return None
    tests: list[tuple[str, tuple[Single, ...]]] = []
    for key, value in raw.items():
        label, place = str(key).strip(), f"{path}.{key}"
        listed = isinstance(value, list | tuple)
        if not label:
            faults.append((place, "names no Rally field"))
        if listed and not value:
            faults.append((place, "lists no value, so no item would meet it"))
        places = [f"{place}[{position}]" for position in range(len(value))] if listed else [place]
        found = [_single(each, where, faults) for each, where in zip(value if listed else [value], places, strict=True)]
        tests.append((label, tuple(each for each in found if each is not None)))
    return Conditions(tuple(tests))


def _single(raw: Any, path: str, faults: _Faults) -> Single | None:
    try:
        return faults.single(raw)
    except ValueError as error:
        faults.append((path, str(error)))
        return None
