"""From the setting ``fieldMapping`` to rules: every fault is told with its place, none stops the reading."""

from collections.abc import Mapping
from typing import Any

from rally_accelerate.mapping.fieldrules import Entry, FieldRules, Standard
from rally_accelerate.mapping.itemtypes import ANY, type_key
from rally_accelerate.mapping.matchers import Conditions, Matcher, Pattern, Single, single
from rally_accelerate.mapping.targets import converted, target_of
from rally_accelerate.model.decoding import Undecodable, parse_json
from rally_accelerate.model.likeness import MOST_EXPLAINED, suggestion

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
        except Undecodable as error:
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
