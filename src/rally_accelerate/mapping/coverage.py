"""What the rules leave as it is: values that pass untranslated, and Rally fields that nothing reads."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rally_accelerate.mapping.applied import apply
from rally_accelerate.mapping.compiled import CompiledRules, fields_needed
from rally_accelerate.mapping.itemtypes import ItemType
from rally_accelerate.mapping.targets import TARGETS
from rally_accelerate.mapping.translate import has_values
from rally_accelerate.rally.fields import fetched

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
