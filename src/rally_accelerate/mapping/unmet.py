"""Values in mapping rules that their field does not have; pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rally_accelerate.mapping.compiled import CompiledRules
from rally_accelerate.mapping.itemtypes import ItemType, item_type
from rally_accelerate.mapping.kinds import kind_of
from rally_accelerate.mapping.matchers import Conditions, Exactly, Grade
from rally_accelerate.model.likeness import MOST_EXPLAINED, shortened, suggestion

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
