"""Rules applied to one item: every field's value together with the reason for it.

What explains a value is what made it, so an explanation cannot differ from what is uploaded.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rally_accelerate.mapping import field_readers
from rally_accelerate.mapping.attributes import Path
from rally_accelerate.mapping.history import STATUS
from rally_accelerate.mapping.item_types import ItemType
from rally_accelerate.mapping.rich_text import readable
from rally_accelerate.mapping.rule_parser import Conditions, Exactly, Grade, Matcher, Standard, words_of
from rally_accelerate.mapping.rule_targets import EXTENDED, LISTS, NEVER_EMPTY, Value, converted
from rally_accelerate.mapping.rules import CompiledRules
from rally_accelerate.model.issue import HistoryEntry, Issue, NormalizedType, Sprint

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


#: Attributes whose text is HTML (rally-api-notes.md#rich-text).
RICH = "TEXT"

#: Such attributes of the objects that an item refers to, whose definitions are not read
#: (rally-api-notes.md#attributes).
_RICH_NAMES = frozenset(
    {"Description", "Notes", "Objective", "PostConditions", "PreConditions", "Text", "Theme"}
    | {"ValidationExpectedResult", "ValidationInput"}
)


def texts_at(row: Mapping[str, Any], path: Path, *, site: str = "") -> tuple[str, ...]:
    """Return the texts of a field, without empty ones; nothing when it is unset or was not told.

    Args:
        row: The item under Rally's own names.
        path: Where the field is.
        site: The address of the Rally server for people, which relative links of rich texts are completed with.
    """
    held: Any = row
    for name in path.names[:-1]:
        inner = held.get(name)
        if not isinstance(inner, Mapping):
            return ()
        held = inner
    texts = _texts(held, path.names[-1])
    if path.attribute_type == RICH if len(path.names) == 1 else path.names[-1] in _RICH_NAMES:
        texts = tuple(readable(text, site=site) for text in texts)
    return tuple(text for text in texts if text)


def texts_of(value: Any) -> tuple[str, ...]:
    """The texts of a value that is mapped already, without empty ones."""
    members = value if isinstance(value, list | tuple) else (value,)
    return tuple(text for text in (words_of(each) for each in members) if text)


def _texts(held: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = held.get(name)
    if isinstance(value, list):
        return tuple(_text({name: each}, name) for each in value)
    if isinstance(value, Mapping) and "_tagsNameArray" in value:
        return field_readers.names_in(held, name)
    return (_text(held, name),)


def _text(held: Mapping[str, Any], name: str) -> str:
    match held.get(name):
        case Mapping() as value:
            # People go by their display names, web links by what they show; the rest by their name.
            shown = field_readers.person(held, name) or field_readers.name_of(value)
            return shown or words_of(value.get("DisplayString")) or words_of(value.get("LinkID")) or ""
        case value:
            return words_of(value) or ""


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


#: Fields of the issue by target; sprints and the normalized type need more than a copy.
_PLAIN = {
    "name": "name",
    "description": "description",
    "status": "status",
    "type": "type",
    "priority": "priority",
    "storyPoints": "story_points",
    "labels": "labels",
    "epic": "epic",
}


@dataclass(frozen=True, slots=True)
class Remapped:
    """An issue after the rules."""

    issue: Issue
    #: Every outcome with its reason; empty when no rule speaks of the type, ``apply`` explains such items too.
    applied: Applied = field(default_factory=Applied)
    #: What only newer servers take, by its name there: severity, impact, resolution, resolved, and so on.
    extras: Mapping[str, Value] = field(default_factory=dict)
    #: What the rules set under ``extended.``, without the prefix.
    extended: Mapping[str, Value] = field(default_factory=dict)


def defaults_of(issue: Issue) -> dict[str, Any]:
    """What each field holds without rules, as ``apply`` takes it."""
    defaults: dict[str, Any] = {target: getattr(issue, name) for target, name in _PLAIN.items()}
    defaults["normalizedType"] = issue.normalized_type.value
    defaults["sprints"] = tuple(sprint.name for sprint in issue.sprints)
    return defaults


def remapped(
    compiled: CompiledRules, its: ItemType, row: Mapping[str, Any], issue: Issue, *, site: str = ""
) -> Remapped:
    """The issue as the rules want it.

    Args:
        compiled: The rules, resolved.
        its: The item's type.
        row: The item under Rally's own names.
        issue: The issue that the item becomes without rules, its history untranslated.
        site: The address of the Rally server for people.
    """
    if not compiled.entries_for(its):
        return Remapped(issue)
    applied = apply(compiled, its, row, defaults_of(issue), site=site)
    values = applied.values
    changed: dict[str, Any] = {name: values[target] for target, name in _PLAIN.items()}
    changed["description"] = values["description"] or ""
    changed["normalized_type"] = NormalizedType(str(values["normalizedType"]))
    changed["sprints"] = _sprints(issue, applied)
    changed["history"] = tuple(_history_entry(compiled, its, entry) for entry in issue.history)
    known = {*_PLAIN, "normalizedType", "sprints"}
    beyond = {target: value for target, value in values.items() if target not in known and value not in (None, ())}
    return Remapped(
        replace(issue, **changed),
        applied,
        {target: value for target, value in beyond.items() if not target.startswith(EXTENDED)},
        {target.removeprefix(EXTENDED): value for target, value in beyond.items() if target.startswith(EXTENDED)},
    )


def _sprints(issue: Issue, applied: Applied) -> tuple[Sprint, ...]:
    """The named sprints; one that Rally gave keeps its id and dates under a translated name."""
    outcome = applied.outcomes["sprints"]
    before = {match.after: match.before for match in reversed(outcome.reason.matches)}
    by_name = {sprint.name: sprint for sprint in issue.sprints}
    names = outcome.value if isinstance(outcome.value, tuple) else ()
    found = []
    for name in names:
        sprint = by_name.get(before.get(name, name)) or by_name.get(name)
        found.append(replace(sprint, name=name) if sprint is not None else Sprint(id=name, name=name))
    return tuple(found)


def _history_entry(compiled: CompiledRules, its: ItemType, entry: HistoryEntry) -> HistoryEntry:
    if entry.field != STATUS or not isinstance(entry.before, str) or not isinstance(entry.after, str):
        return entry
    return entry._replace(
        before=map_history_value(compiled, its, STATUS, entry.before),
        after=map_history_value(compiled, its, STATUS, entry.after),
    )
