"""Coverage of the mapping rules: values that no rule translates and Rally fields that nothing reads."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rally_accelerate.mapping.item_types import ItemType, build_item_type, get_kind
from rally_accelerate.mapping.rule_engine import apply_rules, has_value_rules
from rally_accelerate.mapping.rule_parser import Conditions, ExactText, Grade
from rally_accelerate.mapping.rule_targets import TARGETS
from rally_accelerate.mapping.rules import CompiledRules, list_needed_fields
from rally_accelerate.model.suggestions import MAX_EXPLAINED, shorten, suggest_names
from rally_accelerate.rally.fetch_fields import build_fetch

#: Always reported, because value streams compare them. Other fields are reported if rules translate them.
ALWAYS_REPORTED = ("status", "type", "priority")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageItem:
    """One work item to count, with the arguments of ``apply_rules``."""

    item_type: ItemType
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


def measure_coverage(compiled: CompiledRules, mapped_items: Iterable[CoverageItem]) -> Coverage:
    """Count the values that no rule translates and the fields that nothing reads.

    Fields are counted among those that the rows carry, so rows that were fetched whole tell of all.

    Args:
        compiled: The rules.
        mapped_items: The items.
    """
    items: Counter[str] = Counter()
    values: Counter[tuple[str, str, str, bool]] = Counter()
    unread: Counter[tuple[str, str]] = Counter()
    read: dict[str, frozenset[str]] = {}
    for item in mapped_items:
        items[item.type] += 1
        for target, outcome in apply_rules(compiled, item.item_type, item.row, item.defaults).outcomes.items():
            ruled = has_value_rules(compiled, item.item_type, target)
            if ruled or target in ALWAYS_REPORTED:
                values.update((item.type, target, text, ruled) for text in outcome.reason.unmatched)
        # Several portfolio levels can come with one requested type; the exact type is the first.
        kind = item.item_type.kinds[0]
        if kind not in read:
            read[kind] = frozenset({*build_fetch(kind), *list_needed_fields(compiled, kind)})
        unread.update((item.type, name) for name in _list_filled_fields(item.row, excluded=read[kind]))
    return Coverage(
        items=dict(sorted(items.items())),
        values=tuple(
            UnmappedValue(type=type_name, target=target, value=value, items=count, ruled=ruled)
            for (type_name, target, value, ruled), count in sorted(
                values.items(),
                key=lambda counted: (counted[0][0], _get_sort_key(counted[0][1]), -counted[1], counted[0]),
            )
        ),
        fields=tuple(
            UnreadField(type=type_name, name=name, items=count)
            for (type_name, name), count in sorted(
                unread.items(), key=lambda counted: (counted[0][0], -counted[1], counted[0])
            )
        ),
    )


def _get_sort_key(target: str) -> tuple[int, str]:
    """Return a sort key: fields that are always reported, then the order of the upload, then by name."""
    order = (*ALWAYS_REPORTED, *TARGETS)
    return (order.index(target) if target in order else len(order), target)


def _list_filled_fields(row: Mapping[str, Any], *, excluded: Collection[str]) -> list[str]:
    """Return the names of fields with a value, except ``excluded``; an empty collection is no value."""
    return [
        name
        for name, value in row.items()
        if not name.startswith("_")
        and name not in excluded
        and value not in (None, "", [], {}, "None")
        and not (isinstance(value, Mapping) and value.get("Count") == 0)
    ]


#: The values of each field of each type, by wire name and element name; none for a field that can hold anything.
AllowedValues = Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """A text that a rule compares a field with."""

    place: str
    text: ExactText
    #: The element name of the field in each type that the rule speaks of, by wire name.
    fields: Mapping[str, str]


def find_compared_values(
    compiled: CompiledRules, kinds: Iterable[str], default: Callable[[str, str], str]
) -> Iterator[ComparedValue]:
    """Yield the texts that rules compare fields with, in order of appearance.

    Args:
        compiled: The rules, resolved.
        kinds: The types that are read, by wire name.
        default: Gives the element name of the field that fills a target of a type without rules, or nothing.
    """
    types = {kind: build_item_type(kind, None, get_kind(kind, {}).name) for kind in kinds}
    for entry in compiled.rules.entries:
        matching = {
            kind: item_type for kind, item_type in types.items() if item_type.match_types(entry.types) is not None
        }
        for target, standards in entry.values.items():
            read = {
                kind: _find_source(compiled, item_type, target) or default(kind, target)
                for kind, item_type in matching.items()
            }
            for standard in standards:
                for position, matcher in enumerate(standard.matchers):
                    place = standard.get_path(position)
                    match matcher:
                        case ExactText():
                            yield ComparedValue(place, matcher, {kind: name for kind, name in read.items() if name})
                        case Conditions():
                            yield from _find_condition_values(compiled, matching, place, matcher)


def describe_unknown_values(compared_values: Iterable[ComparedValue], allowed: AllowedValues) -> Iterator[str]:
    """Yield a sentence for each text that no type allows as a value of its field.

    A field without a list of values can hold anything, so its texts are not judged.
    """
    count = 0
    for compared in compared_values:
        lists = [
            (kind, name, allowed.get(kind, {}).get(name, ()))
            for kind, name in compared.fields.items()
            if _has_definition(allowed, kind, name)
        ]
        if not lists or not all(values for _, _, values in lists) or compared.text.grade("") is not Grade.NOT:
            continue
        if any(compared.text.grade(value) is not Grade.NOT for _, _, values in lists for value in values):
            continue
        count += 1
        if count > MAX_EXPLAINED:
            continue
        kind, name, _ = lists[0]
        names = dict.fromkeys(value for _, _, values in lists for value in values)
        close = suggest_names(compared.text.written, names)
        written = shorten(compared.text.written)
        yield f'{compared.place}: {name} of {get_kind(kind, {}).name} has no value "{written}" now{close}'
    if count > MAX_EXPLAINED:
        yield f"fieldMapping has {count - MAX_EXPLAINED:,} more values that their fields do not have now"


def _has_definition(allowed: AllowedValues, kind: str, name: str) -> bool:
    # The fields of referenced objects are unknown: they can hold any value.
    return "." in name or name in allowed.get(kind, {})


def _find_source(compiled: CompiledRules, item_type: ItemType, target: str) -> str:
    source = compiled.find_source(item_type, target)
    # A path with a dot leads to another object, whose definitions are not read: it is in no list.
    return "" if source is None else str(source[0])


def _find_condition_values(
    compiled: CompiledRules, matching: Mapping[str, ItemType], place: str, conditions: Conditions
) -> Iterator[ComparedValue]:
    for label, any_of in conditions.tests:
        paths = {
            kind: path
            for kind, item_type in matching.items()
            if (path := compiled.find_path(item_type, label)) is not None
        }
        names = {kind: str(path) for kind, path in paths.items()}
        for single in any_of:
            if isinstance(single, ExactText):
                yield ComparedValue(f"{place}.{label}", single, names)
