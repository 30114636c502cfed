"""Rules applied to one item: every field's value together with the reason for it.

What explains a value is what made it, so an explanation cannot differ from what is uploaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rally_accelerate.mapping.compiled import CompiledRules
from rally_accelerate.mapping.itemtypes import ItemType
from rally_accelerate.mapping.sources import texts_at, texts_of
from rally_accelerate.mapping.targets import LISTS, NEVER_EMPTY, Value, converted
from rally_accelerate.mapping.translate import Match, Read, added, translated


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a field holds what it holds."""

    #: The Rally field that a rule names as the source; empty when no rule does.
    source: str = ""
    #: The place of that rule: ``fieldMapping[0].fieldMapping.storyPoints``.
    source_rule: str = ""
    #: The Rally field that fills the field without rules; empty where that is not told.
    default_source: str = ""
    #: The rules that translated the value, or the members of a list.
    matches: tuple[Match, ...] = ()
    #: Values that no rule translates, as texts.
    unmatched: tuple[str, ...] = ()
    #: Why the value that the rules give cannot be used; empty when it can.
    warning: str = ""

    @property
    def is_default(self) -> bool:
        """Whether no rule had a part in the value."""
        return not self.source_rule and not self.matches

    def __str__(self) -> str:
        by_default = f"mapped by default from {self.default_source}" if self.default_source else "mapped by default"
        told = [f"read from {self.source} ({self.source_rule})" if self.source_rule else by_default]
        told += [
            f'"{each.before}" becomes "{each.after}" by {each.rule}: {each.matched}'
            if each.before
            else f'"{each.after}" by {each.rule}: {each.matched}'
            for each in self.matches
        ]
        return "; ".join([*told, self.warning] if self.warning else told)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The value of one field, and why."""

    value: Value
    reason: Reason


@dataclass(frozen=True, slots=True)
class Applied:
    """What the rules make of one item, by field of the issue."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Value]:
        """Every field's value."""
        return {target: outcome.value for target, outcome in self.outcomes.items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth telling, field by field."""
        return tuple(outcome.reason.warning for outcome in self.outcomes.values() if outcome.reason.warning)


def apply(
    compiled: CompiledRules, its: ItemType, row: Mapping[str, Any], defaults: Mapping[str, Any], *, site: str = ""
) -> Applied:
    """The fields of an issue as the rules want them.

    A ``fieldMapping`` replaces the source of a field; a ``valueMapping`` then translates what the source holds, or the
    default where no source is named. A value that no rule translates stays as it is.

    Args:
        compiled: The rules, resolved.
        its: The item's type.
        row: The item under Rally's own names.
        defaults: What each field holds without rules; the members of a list as texts.
        site: The address of the Rally server for people.

    Returns:
        An outcome for every default and for every field that the rules speak of, in this order.
    """

    def read(label: str) -> tuple[str, ...]:
        path = compiled.path(its, label)
        return (texts_at(row, path, site=site) if path is not None else ()) or ("",)

    entries = compiled.entries_for(its)
    spoken_of = dict.fromkeys(target for entry in entries for target in (*entry.sources, *entry.values))
    outcomes: dict[str, Outcome] = {}
    for target in dict.fromkeys((*defaults, *spoken_of)):
        if target not in spoken_of:
            outcomes[target] = Outcome(defaults[target], Reason(unmatched=texts_of(defaults[target])))
            continue
        source = compiled.source(its, target)
        default = defaults.get(target, () if target in LISTS else None)
        texts = texts_of(default) if source is None else texts_at(row, source[0], site=site)
        known = Reason() if source is None else Reason(source=str(source[0]), source_rule=source[1])
        how = _list if target in LISTS else _single
        outcomes[target] = how(_Task(compiled, its, target, known, default, read), texts)
    return Applied(outcomes)


@dataclass(frozen=True, slots=True)
class _Task:
    """One field that is to be mapped."""

    compiled: CompiledRules
    its: ItemType
    target: str
    #: What is known of the reason so far: the source.
    reason: Reason
    default: Value
    read: Read

    def because(self, matches: tuple[Match, ...], unmatched: tuple[str, ...], warning: str = "") -> Reason:
        return Reason(
            source=self.reason.source,
            source_rule=self.reason.source_rule,
            matches=matches,
            unmatched=unmatched,
            warning=warning,
        )


def _list(task: _Task, texts: tuple[str, ...]) -> Outcome:
    # Members are translated one by one, so a condition cannot: it would make all of them the same.
    found = [(text, translated(task.compiled, task.its, task.target, text, read=None)) for text in texts]
    more = added(task.compiled, task.its, task.target, read=task.read)
    members = [text if match is None else match.after for text, match in found] + [match.after for match in more]
    return Outcome(
        tuple(dict.fromkeys(members)),
        task.because(
            tuple(match for _, match in found if match is not None) + more,
            tuple(dict.fromkeys(text for text, match in found if match is None)),
        ),
    )


def _single(task: _Task, texts: tuple[str, ...]) -> Outcome:
    # Of a source with many values, such as tags, the first that a rule knows decides.
    for each in texts or ("",):
        match = translated(task.compiled, task.its, task.target, each, read=task.read)
        if match is not None:
            return _usable(task, match.after, task.because((match,), ()))
    text = ", ".join(texts)
    reason = task.because((), (text,) if text else ())
    if not task.reason.source_rule:
        return Outcome(task.default, reason)
    # The word None is what Rally shows for an unset drop-down (rally-api-notes.md#empty-values).
    if not text or (text == "None" and task.target not in NEVER_EMPTY):
        return Outcome(task.default if task.target in NEVER_EMPTY else None, reason)
    return _usable(task, text, reason)


def _usable(task: _Task, text: str, reason: Reason) -> Outcome:
    """The text as the field takes it, or the default and a warning."""
    try:
        return Outcome(converted(task.target, text), reason)
    except ValueError as error:
        origin = f" (from {reason.source})" if reason.source else ""
        kept = ", ".join(texts_of(task.default)) or "nothing"
        warning = f'{task.target}: "{text}"{origin} {error}; {kept} stays'
        return Outcome(task.default, task.because(reason.matches, reason.unmatched, warning))
