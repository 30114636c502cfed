"""From a value to the standard value that a rule names for it: the one place that decides which rule wins.

Entries for the type itself go before those for every type; within an entry, standard values are tried in order of
appearance and the first that fits wins. Only a text that fits but for letters' case or blanks gives way to a later one
that is equal. Where no standard value of an entry fits, the next entry is asked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rally_accelerate.mapping.compiled import CompiledRules
from rally_accelerate.mapping.fieldrules import Standard
from rally_accelerate.mapping.itemtypes import ItemType
from rally_accelerate.mapping.matchers import Conditions, Exactly, Grade, Matcher

#: Reads a field of the item by label.
Read = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Match:
    """One value that a rule has translated."""

    before: str
    after: str
    #: The place of the rule: ``fieldMapping[1].valueMapping.status.Done[2]``.
    rule: str
    #: What fitted, as it is written there.
    matched: str


def translated(compiled: CompiledRules, its: ItemType, target: str, text: str, *, read: Read | None) -> Match | None:
    """The first rule that fits a value, or None.

    Args:
        compiled: The rules.
        its: The item's type.
        target: The field of the issue.
        text: The value; empty when there is none.
        read: Reads fields for conditions; None leaves conditions out, as nothing is known of other fields.
    """
    for entry in compiled.entries_for(its):
        nearly: Match | None = None
        for standard, matcher, place in _each(entry.values.get(target, ())):
            match = Match(text, standard.value, place, matcher.written)
            match matcher:
                case Conditions():
                    fits = Grade.FULLY if read is not None and matcher.hold(read) else Grade.NOT
                case _:
                    fits = matcher.grade(text)
            if nearly is None and fits is Grade.NEARLY:
                nearly = match
            elif fits is Grade.FULLY and (nearly is None or isinstance(matcher, Exactly)):
                return match
        if nearly is not None:
            return nearly
    return None


def added(compiled: CompiledRules, its: ItemType, target: str, *, read: Read) -> tuple[Match, ...]:
    """Every standard value of a list whose conditions hold: a condition adds to a list and translates nothing."""
    return tuple(
        Match("", standard.value, place, matcher.written)
        for entry in compiled.entries_for(its)
        for standard, matcher, place in _each(entry.values.get(target, ()))
        if isinstance(matcher, Conditions) and matcher.hold(read)
    )


def has_values(compiled: CompiledRules, its: ItemType, target: str) -> bool:
    """Whether any rule translates this field of this type."""
    return any(target in entry.values for entry in compiled.entries_for(its))


def map_history_value(compiled: CompiledRules, its: ItemType, target: str, value: str) -> str:
    """A value of the past, translated by the same rules as today's.

    Conditions are left out: what other fields held back then is not known. An empty text stays empty, since it says
    that there was no value.

    Args:
        compiled: The rules.
        its: The item's type.
        target: The field of the issue, for example ``status``.
        value: What the history says.
    """
    match = translated(compiled, its, target, value, read=None) if value else None
    return match.after if match is not None else value


def _each(standards: tuple[Standard, ...]) -> Iterator[tuple[Standard, Matcher, str]]:
    for standard in standards:
        for position, matcher in enumerate(standard.matchers):
            yield standard, matcher, standard.place(position)
