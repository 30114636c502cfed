"""Parser of the setting ``fieldMapping``; reports all faults with their places instead of stopping at the first."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from rally_accelerate.mapping import regex
from rally_accelerate.mapping.item_types import ANY, fold_type_name
from rally_accelerate.mapping.rule_targets import convert_value, parse_target
from rally_accelerate.model.lenient_json import JsonDecodeError, parse_json
from rally_accelerate.model.suggestions import MAX_EXPLAINED, suggest_names
from rally_accelerate.model.text_folding import fold

#: ``/expression/flags``, as in the rules of the sibling plug-ins.
_PATTERN = re.compile(r"/(.+)/([A-Za-z]*)", re.DOTALL)
#: The characters of a regular expression that an error message quotes.
MAX_QUOTED_LENGTH = 300
#: JavaScript's flags: those for repeated and Unicode matching change nothing for a single test.
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "g": re.NOFLAG, "u": re.NOFLAG, "y": re.NOFLAG}


class Grade(IntEnum):
    """How well a value fits."""

    NOT = 0
    #: But for letters' case, typography and blanks.
    NEARLY = 1
    FULLY = 2


@dataclass(frozen=True, slots=True)
class ExactText:
    """One text."""

    written: str

    def grade(self, text: str) -> Grade:
        """Return how well a text matches: equal, equal except for case and spaces, or different."""
        if text == self.written:
            return Grade.FULLY
        return Grade.NEARLY if _fold_value(text) == _fold_value(self.written) else Grade.NOT


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that matches anywhere in the text, as JavaScript's ``test`` does."""

    written: str
    expression: regex.Expression

    def grade(self, text: str) -> Grade:
        """Return whether the pattern matches; there is nothing in between."""
        return Grade.FULLY if self.expression.occurs_in(text) else Grade.NOT


SimpleMatcher = ExactText | Pattern


@dataclass(frozen=True, slots=True)
class Conditions:
    """Tests on Rally fields of the item, by label; all must hold, each with any of its values."""

    tests: tuple[tuple[str, tuple[SimpleMatcher, ...]], ...]

    @property
    def written(self) -> str:
        """The conditions as people read them."""
        return " and ".join(
            f"{label} = {' or '.join(alternative.written for alternative in any_of)}" for label, any_of in self.tests
        )

    def are_met(self, read: Callable[[str], Iterable[str]]) -> bool:
        """Return whether all conditions are met.

        Args:
            read: Gives the texts of a field by label; an empty field is one empty text.
        """
        return bool(self.tests) and all(
            any(single.grade(text) for text in texts for single in any_of)
            for texts, any_of in ((tuple(read(label)), any_of) for label, any_of in self.tests)
        )


Matcher = SimpleMatcher | Conditions


def format_scalar(value: Any) -> str | None:
    """Return the text by which a JSON scalar is compared; None for lists and objects.

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


def parse_matcher(value: Any) -> SimpleMatcher:
    """Return the matcher for a scalar; a text between slashes is a regular expression.

    Raises:
        ValueError: It is invalid; the message is a sentence.
    """
    text = format_scalar(value)
    if text is None:
        raise ValueError("must be a text, a number or a regular expression such as /^Acc/i")
    pattern = _PATTERN.fullmatch(text) if isinstance(value, str) else None
    if pattern is None:
        return ExactText(text)
    flags = re.NOFLAG
    for letter in pattern[2]:
        if letter not in _FLAGS:
            raise ValueError(f'"{_shorten(text)}" has the unknown flag "{letter}"; i, m and s are known')
        flags |= _FLAGS[letter]
    try:
        return Pattern(text, regex.compile_expression(pattern[1], flags))
    except ValueError as error:
        raise ValueError(f'"{_shorten(text)}" {error}') from None


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_QUOTED_LENGTH else f"{text[:MAX_QUOTED_LENGTH]}…"


def _fold_value(text: str) -> str:
    # An unset drop-down is null, an empty text or the word None (rally-api-notes.md#empty-values): rules need not know
    # which.
    folded = " ".join(fold(text).split())
    return "" if folded == "none" else folded


@dataclass(frozen=True, slots=True)
class StandardValue:
    """One standard value and the matchers of the values that map to it."""

    value: str
    #: ``fieldMapping[0].valueMapping.status.Done``.
    path: str
    matchers: tuple[Matcher, ...]
    #: Whether the values are a list; then the place of a value includes its position.
    is_list: bool = True

    def get_path(self, position: int) -> str:
        """Return the place of the matcher at a position in the settings."""
        return f"{self.path}[{position}]" if self.is_list else self.path


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
    values: Mapping[str, tuple[StandardValue, ...]] = field(default_factory=dict)
    #: The types as written, in the order of ``types``.
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldRules:
    """All rules, in order of appearance."""

    entries: tuple[Entry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def has_patterns(self) -> bool:
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
                [alternative for _, any_of in matcher.tests for alternative in any_of]
                if isinstance(matcher, Conditions)
                else [matcher]
            )
        )


#: The place of a rule, and its problem.
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
MAX_LISTED_FAULTS = MAX_EXPLAINED
_KEYS = {"type": "type", "fieldmapping": "fieldMapping", "valuemapping": "valueMapping"}


class _FaultCollector:
    """The faults so far and the size of the rules; above a limit, faults are only counted."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._further = 0
        self._values = 0
        self._patterns = 0
        self._size = 0
        self._program = 0

    @property
    def is_full(self) -> bool:
        """Whether further faults are only counted."""
        return len(self.faults) >= MAX_LISTED_FAULTS

    def append(self, fault: Fault) -> None:
        """Record a fault."""
        if self.is_full:
            self._further += 1
        else:
            self.faults.append(fault)

    def parse_matcher(self, raw: Any) -> SimpleMatcher | None:
        """Return the matcher of a scalar, or None when there are too many faults or expressions already.

        Raises:
            ValueError: It is invalid; the message is a sentence.
        """
        self._values += 1
        if self.is_full or self._describe_excess():
            return None
        matcher = parse_matcher(raw)
        if isinstance(matcher, Pattern):
            self._patterns += 1
            self._size += matcher.expression.size
            self._program += matcher.expression.program
        return matcher

    def _describe_excess(self) -> str:
        """Return which limit the rules exceed; empty if none."""
        if self._values > MAXIMUM_VALUES:
            return f"compares values with more than {MAXIMUM_VALUES:,} texts and regular expressions"
        if self._patterns > MAXIMUM_PATTERNS:
            return f"has more than {MAXIMUM_PATTERNS:,} regular expressions; use plain texts where you can"
        if self._size > MAXIMUM_EXPRESSIONS or self._program > MAXIMUM_PROGRAMS:
            return "has too many regular expressions, or too large ones; use plain texts where you can"
        return ""

    def list_all(self) -> tuple[Fault, ...]:
        """Return the listed faults, and how many more there are."""
        excess = self._describe_excess()
        further = f"has {self._further:,} more problems" if self._further else ""
        return (*self.faults, *((PROPERTY, text) for text in (excess, further) if text))


def parse_rules(raw: Any) -> tuple[FieldRules, tuple[Fault, ...]]:
    """Return the rules of a setting without the faulty ones, and all faults.

    Args:
        raw: A list of entries, a single entry, the JSON text of either, or nothing. Single values may stand where
            lists are expected. Letters' case counts neither in targets nor in types.
    """
    faults = _FaultCollector()
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
    entries = tuple(_parse_entry(element, f"{PROPERTY}[{index}]", faults) for index, element in enumerate(elements))
    return FieldRules(tuple(entry for entry in entries if entry is not None)), faults.list_all()


def _parse_entry(raw: Any, path: str, faults: _FaultCollector) -> Entry | None:
    if not isinstance(raw, Mapping):
        faults.append((path, "must be an object with type, fieldMapping and valueMapping"))
        return None
    parts: dict[str, Any] = {}
    for key, value in raw.items():
        known = _KEYS.get(str(key).strip().casefold())
        if known is None:
            close = "" if faults.is_full else suggest_names(str(key), _KEYS.values())
            known_keys = "; an entry has type, fieldMapping and valueMapping"
            faults.append((f"{path}.{key}", f"is not known{close or known_keys}"))
        else:
            parts[known] = value
    words = _parse_types(parts.get("type", ANY), f"{path}.type", faults)
    return Entry(
        path,
        tuple(fold_type_name(word) for word in words),
        ", ".join(words),
        _parse_sources(parts.get("fieldMapping"), f"{path}.fieldMapping", faults),
        _parse_values(parts.get("valueMapping"), f"{path}.valueMapping", faults),
        words,
    )


def _parse_types(raw: Any, path: str, faults: _FaultCollector) -> tuple[str, ...]:
    words = list(raw) if isinstance(raw, list | tuple) else [raw]
    texts = [word.strip() for word in words if isinstance(word, str) and word.strip()]
    if not texts or len(texts) < len(words):
        faults.append((path, 'must be "*" or the name of a type, for example Defect'))
    return tuple(texts)


def _parse_sources(raw: Any, path: str, faults: _FaultCollector) -> dict[str, str]:
    sources: dict[str, str] = {}
    for target, place, label in _group_by_target(raw, path, faults):
        if isinstance(label, str) and label.strip():
            sources[target] = label.strip()
        else:
            faults.append((place, 'must be the name of a Rally field, for example "Plan Estimate"'))
    return sources


def _parse_values(raw: Any, path: str, faults: _FaultCollector) -> dict[str, tuple[StandardValue, ...]]:
    values: dict[str, tuple[StandardValue, ...]] = {}
    for target, place, standards in _group_by_target(raw, path, faults):
        if isinstance(standards, Mapping):
            values[target] = tuple(
                _parse_standard(target, str(value), matchers, path=f"{place}.{value}", faults=faults)
                for value, matchers in standards.items()
            )
        else:
            faults.append((place, 'must be an object of standard values, for example {"Done": ["Accepted"]}'))
    return values


def _group_by_target(raw: Any, path: str, faults: _FaultCollector) -> list[tuple[str, str, Any]]:
    """Return each target once, with its place and value."""
    if raw is None:
        return []
    if not isinstance(raw, Mapping):
        faults.append((path, "must be an object with the fields of the issue as names"))
        return []
    by_target: dict[str, tuple[str, str, Any]] = {}
    for key, value in raw.items():
        place = f"{path}.{key}"
        try:
            target = parse_target(str(key), suggest=not faults.is_full)
        except ValueError as error:
            faults.append((place, str(error)))
            continue
        if target in by_target:
            faults.append((place, f"is set twice, see {by_target[target][1]}"))
        by_target.setdefault(target, (target, place, value))
    return list(by_target.values())


def _parse_standard(target: str, value: str, raw: Any, *, path: str, faults: _FaultCollector) -> StandardValue:
    if not value.strip():
        faults.append((path, "is an empty standard value"))
    else:
        try:
            convert_value(target, value.strip())
        except ValueError as error:
            faults.append((path, f'"{value}" {error}'))
    listed = isinstance(raw, list | tuple)
    matchers: list[Matcher] = []
    for position, element in enumerate(raw if listed else [raw]):
        place = f"{path}[{position}]" if listed else path
        matcher = (
            _parse_conditions(element, place, faults)
            if isinstance(element, Mapping)
            else _parse_matcher(element, place, faults)
        )
        # A faulty value keeps its position, so that the positions of the others are right.
        matchers.append(matcher if matcher is not None else Conditions(()))
    return StandardValue(value.strip(), path, tuple(matchers), listed)


def _parse_conditions(raw: Mapping[Any, Any], path: str, faults: _FaultCollector) -> Conditions | None:
    if not raw:
        faults.append((path, "is an empty condition: every item would meet it"))
        return None
    tests: list[tuple[str, tuple[SimpleMatcher, ...]]] = []
    for key, value in raw.items():
        label, place = str(key).strip(), f"{path}.{key}"
        listed = isinstance(value, list | tuple)
        if not label:
            faults.append((place, "names no Rally field"))
        if listed and not value:
            faults.append((place, "lists no value, so no item would meet it"))
        places = [f"{place}[{position}]" for position in range(len(value))] if listed else [place]
        matchers = [
            _parse_matcher(element, where, faults)
            for element, where in zip(value if listed else [value], places, strict=True)
        ]
        tests.append((label, tuple(element for element in matchers if element is not None)))
    return Conditions(tuple(tests))


def _parse_matcher(raw: Any, path: str, faults: _FaultCollector) -> SimpleMatcher | None:
    try:
        return faults.parse_matcher(raw)
    except ValueError as error:
        faults.append((path, str(error)))
        return None
