"""What the rules leave as it is: values that pass untranslated, and Rally fields that nothing reads."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rally_accelerate.mapping.item_types import ItemType, item_type, kind_of
from rally_accelerate.mapping.rule_engine import apply, has_values
from rally_accelerate.mapping.rule_parser import Conditions, Exactly, Grade
from rally_accelerate.mapping.rule_targets import TARGETS
from rally_accelerate.mapping.rules import CompiledRules, fields_needed
from rally_accelerate.model.suggestions import MOST_EXPLAINED, shortened, suggestion
from rally_accelerate.rally.fetch_fields import fetched

#: Told with or without rules: what value streams compare. Other fields are told where rules translate them.
ALWAYS = ("status", "type", "priority")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One item to be counted, with what ``apply`` needs of it."""

    its: ItemType
    #: How the type is shown.
    type: str
    row: Mapping[str, Any]
    defaults: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmappedValue:
    """A value that no rule translates."""

    type: str
    #: The field of the issue.
    target: str
    value: str
    items: int
    #: True when rules translate this field of this type, but not this value.
    ruled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadField:
    """A Rally field that holds something and that neither the default mapping nor a rule reads."""

    type: str
    name: str
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Counts in a fixed order: by type, then by field, then the most frequent first, then by value."""

    items: Mapping[str, int]
    values: tuple[UnmappedValue, ...]
    fields: tuple[UnreadField, ...]


def coverage(compiled: CompiledRules, seen: Iterable[Seen]) -> Coverage:
    """What the rules leave as it is among these items.

    Fields are counted among those that the rows carry, so rows that were fetched whole tell of all.

    Args:
        compiled: The rules.
        seen: The items.
    """
    items: Counter[str] = Counter()
    values: Counter[tuple[str, str, str, bool]] = Counter()
    unread: Counter[tuple[str, str]] = Counter()
    read: dict[str, frozenset[str]] = {}
    for each in seen:
        items[each.type] += 1
        for target, outcome in apply(compiled, each.its, each.row, each.defaults).outcomes.items():
            ruled = has_values(compiled, each.its, target)
            if ruled or target in ALWAYS:
                values.update((each.type, target, text, ruled) for text in outcome.reason.unmatched)
        # Levels of the portfolio may come under one asked-for kind: the exact one is the first.
        kind = each.its.kinds[0]
        if kind not in read:
            read[kind] = frozenset({*fetched(kind), *fields_needed(compiled, kind)})
        unread.update((each.type, name) for name in _filled(each.row, besides=read[kind]))
    return Coverage(
        items=dict(sorted(items.items())),
        values=tuple(
            UnmappedValue(type=shown, target=target, value=value, items=count, ruled=ruled)
            for (shown, target, value, ruled), count in sorted(
                values.items(), key=lambda each: (each[0][0], _place(each[0][1]), -each[1], each[0])
            )
        ),
        fields=tuple(
            UnreadField(type=shown, name=name, items=count)
            for (shown, name), count in sorted(unread.items(), key=lambda each: (each[0][0], -each[1], each[0]))
        ),
    )


def _place(target: str) -> tuple[int, str]:
    """Fields that are always told come first, then in the order of the upload, then by name."""
    order = (*ALWAYS, *TARGETS)
    return (order.index(target) if target in order else len(order), target)


def _filled(row: Mapping[str, Any], *, besides: Collection[str]) -> list[str]:
    """The names of fields that hold something; a collection without members holds nothing."""
    return [
        name
        for name, value in row.items()
        if not name.startswith("_")
        and name not in besides
        and value not in (None, "", [], {}, "None")
        and not (isinstance(value, Mapping) and value.get("Count") == 0)
    ]


#: The values of each field of each type, by wire name and element name; none for a field that can hold anything.
Allowed = Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Sought:
    """A text that a rule compares a field with."""

    place: str
    text: Exactly
    #: The element name of the field in each type that the rule speaks of, by wire name.
    fields: Mapping[str, str]


def sought(compiled: CompiledRules, kinds: Iterable[str], default: Callable[[str, str], str]) -> Iterator[Sought]:
    """Yield the texts that rules compare fields with, in order of appearance.

    Args:
        compiled: The rules, resolved.
        kinds: The types that are read, by wire name.
        default: Gives the element name of the field that fills a target of a type without rules, or nothing.
    """
    types = {kind: item_type(kind, None, kind_of(kind, {}).name) for kind in kinds}
    for entry in compiled.rules.entries:
        meant = {kind: its for kind, its in types.items() if its.closeness(entry.types) is not None}
        for target, standards in entry.values.items():
            read = {kind: _source(compiled, its, target) or default(kind, target) for kind, its in meant.items()}
            for standard in standards:
                for position, matcher in enumerate(standard.matchers):
                    place = standard.place(position)
                    match matcher:
                        case Exactly():
                            yield Sought(place, matcher, {kind: name for kind, name in read.items() if name})
                        case Conditions():
                            yield from _tested(compiled, meant, place, matcher)


def unmet(every: Iterable[Sought], allowed: Allowed) -> Iterator[str]:
    """Yield a sentence for each text that is no value of its field in any type.

    A field without a list of values can hold anything, so its texts are not judged.
    """
    count = 0
    for each in every:
        lists = [
            (kind, name, allowed.get(kind, {}).get(name, ()))
            for kind, name in each.fields.items()
            if _has(allowed, kind, name)
        ]
        if not lists or not all(values for _, _, values in lists) or each.text.grade("") is not Grade.NOT:
            continue
        if any(each.text.grade(value) is not Grade.NOT for _, _, values in lists for value in values):
            continue
        count += 1
        if count > MOST_EXPLAINED:
            continue
        kind, name, _ = lists[0]
        names = dict.fromkeys(value for _, _, values in lists for value in values)
        close = suggestion(each.text.written, names)
        shown = shortened(each.text.written)
        yield f'{each.place}: {name} of {kind_of(kind, {}).name} has no value "{shown}" now{close}'
    if count > MOST_EXPLAINED:
        yield f"fieldMapping has {count - MOST_EXPLAINED:,} more values that their fields do not have now"


def _has(allowed: Allowed, kind: str, name: str) -> bool:
    # Of what is behind a dot nothing is known: it can hold anything.
    return "." in name or name in allowed.get(kind, {})


def _source(compiled: CompiledRules, its: ItemType, target: str) -> str:
    found = compiled.source(its, target)
    # A path with a dot leads to another object, whose definitions are not read: it is in no list.
    return "" if found is None else str(found[0])


def _tested(
    compiled: CompiledRules, meant: Mapping[str, ItemType], place: str, conditions: Conditions
) -> Iterator[Sought]:
    for label, any_of in conditions.tests:
        paths = {kind: path for kind, its in meant.items() if (path := compiled.path(its, label)) is not None}
        names = {kind: str(path) for kind, path in paths.items()}
        for single in any_of:
            if isinstance(single, Exactly):
                yield Sought(f"{place}.{label}", single, names)
