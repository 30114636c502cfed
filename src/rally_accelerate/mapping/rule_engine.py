"""Application of the mapping rules to one work item: the value of each field together with its reason.

The explanation of a value is created together with the value, so it cannot differ from what is uploaded.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rally_accelerate.mapping import field_readers
from rally_accelerate.mapping.attributes import FieldPath
from rally_accelerate.mapping.history import STATUS
from rally_accelerate.mapping.item_types import ItemType
from rally_accelerate.mapping.rich_text import convert_html_to_text
from rally_accelerate.mapping.rule_parser import Conditions, ExactText, Grade, Matcher, StandardValue, format_scalar
from rally_accelerate.mapping.rule_targets import EXTENDED, LISTS, NEVER_EMPTY, Value, convert_value
from rally_accelerate.mapping.rules import CompiledRules
from rally_accelerate.model.issue import HistoryEntry, Issue, NormalizedType, Sprint

#: Reads a field of the item by label.
FieldReader = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Match:
    """One value that a rule translated."""

    before: str
    after: str
    #: The place of the rule: ``fieldMapping[1].valueMapping.status.Done[2]``.
    rule: str
    #: The matcher as written in the rule.
    matched: str


def translate_value(
    compiled: CompiledRules, item_type: ItemType, target: str, text: str, *, read: FieldReader | None
) -> Match | None:
    """Return the first rule that matches a value, or None.

    Args:
        compiled: The rules.
        item_type: The item's type.
        target: The field of the issue.
        text: The value; may be empty.
        read: Reads fields for conditions; None ignores conditions, because the other fields are unknown.
    """
    for entry in compiled.find_entries(item_type):
        near_match: Match | None = None
        for standard, matcher, place in _iterate_matchers(entry.values.get(target, ())):
            match = Match(text, standard.value, place, matcher.written)
            match matcher:
                case Conditions():
                    fits = Grade.FULLY if read is not None and matcher.are_met(read) else Grade.NOT
                case _:
                    fits = matcher.grade(text)
            if near_match is None and fits is Grade.NEARLY:
                near_match = match
            elif fits is Grade.FULLY and (near_match is None or isinstance(matcher, ExactText)):
                return match
        if near_match is not None:
            return near_match
    return None


def find_conditional_values(
    compiled: CompiledRules, item_type: ItemType, target: str, *, read: FieldReader
) -> tuple[Match, ...]:
    """Return the standard values of a list whose conditions are met; they are added, not translated."""
    return tuple(
        Match("", standard.value, place, matcher.written)
        for entry in compiled.find_entries(item_type)
        for standard, matcher, place in _iterate_matchers(entry.values.get(target, ()))
        if isinstance(matcher, Conditions) and matcher.are_met(read)
    )


def has_value_rules(compiled: CompiledRules, item_type: ItemType, target: str) -> bool:
    """Return whether any rule translates this field of this type."""
    return any(target in entry.values for entry in compiled.find_entries(item_type))


def map_history_value(compiled: CompiledRules, item_type: ItemType, target: str, value: str) -> str:
    """Translate a former value by the same rules as current values.

    Conditions are ignored, because the former values of other fields are not known. An empty text stays empty: there
    was no value.

    Args:
        compiled: The rules.
        item_type: The item's type.
        target: The field of the issue, for example ``status``.
        value: What the history says.
    """
    match = translate_value(compiled, item_type, target, value, read=None) if value else None
    return match.after if match is not None else value


def _iterate_matchers(standards: tuple[StandardValue, ...]) -> Iterator[tuple[StandardValue, Matcher, str]]:
    for standard in standards:
        for position, matcher in enumerate(standard.matchers):
            yield standard, matcher, standard.get_path(position)


#: Attributes whose text is HTML (rally-api-notes.md#rich-text).
RICH_TEXT_TYPE = "TEXT"

#: Such attributes of the objects that an item refers to, whose definitions are not read
#: (rally-api-notes.md#attributes).
_RICH_TEXT_FIELDS = frozenset(
    {"Description", "Notes", "Objective", "PostConditions", "PreConditions", "Text", "Theme"}
    | {"ValidationExpectedResult", "ValidationInput"}
)


def read_path_texts(row: Mapping[str, Any], path: FieldPath, *, site: str = "") -> tuple[str, ...]:
    """Return the non-empty texts of a field; an empty tuple if it is not set or not in the row.

    Args:
        row: The item under Rally's own names.
        path: Where the field is.
        site: The address of the Rally server for people, which relative links of rich texts are completed with.
    """
    value: Any = row
    for name in path.names[:-1]:
        inner = value.get(name)
        if not isinstance(inner, Mapping):
            return ()
        value = inner
    texts = _read_texts(value, path.names[-1])
    if path.attribute_type == RICH_TEXT_TYPE if len(path.names) == 1 else path.names[-1] in _RICH_TEXT_FIELDS:
        texts = tuple(convert_html_to_text(text, site=site) for text in texts)
    return tuple(text for text in texts if text)


def convert_to_texts(value: Any) -> tuple[str, ...]:
    """Return the non-empty texts of a mapped value."""
    members = value if isinstance(value, list | tuple) else (value,)
    return tuple(text for text in (format_scalar(member) for member in members) if text)


def _read_texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if isinstance(value, list):
        return tuple(_read_text({name: element}, name) for element in value)
    if isinstance(value, Mapping) and "_tagsNameArray" in value:
        return field_readers.read_names(fields, name)
    return (_read_text(fields, name),)


def _read_text(fields: Mapping[str, Any], name: str) -> str:
    match fields.get(name):
        case Mapping() as value:
            # People go by their display names, web links by what they show; the rest by their name.
            display_name = field_readers.read_person_name(fields, name) or field_readers.get_name(value)
            return display_name or format_scalar(value.get("DisplayString")) or format_scalar(value.get("LinkID")) or ""
        case value:
            return format_scalar(value) or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a field holds what it holds."""

    #: The Rally field that a rule names as the source; empty when no rule does.
    source: str = ""
    #: The place of that rule: ``fieldMapping[0].fieldMapping.storyPoints``.
    source_rule: str = ""
    #: The Rally field that fills the field without rules; empty if it is not reported.
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
        parts = [f"read from {self.source} ({self.source_rule})" if self.source_rule else by_default]
        parts += [
            f'"{match.before}" becomes "{match.after}" by {match.rule}: {match.matched}'
            if match.before
            else f'"{match.after}" by {match.rule}: {match.matched}'
            for match in self.matches
        ]
        return "; ".join([*parts, self.warning] if self.warning else parts)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The value of one field, and why."""

    value: Value
    reason: Reason


@dataclass(frozen=True, slots=True)
class AppliedRules:
    """The outcome of the rules for one work item, by field of the issue."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Value]:
        """Every field's value."""
        return {target: outcome.value for target, outcome in self.outcomes.items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth telling, field by field."""
        return tuple(outcome.reason.warning for outcome in self.outcomes.values() if outcome.reason.warning)


def apply_rules(
    compiled: CompiledRules, item_type: ItemType, row: Mapping[str, Any], defaults: Mapping[str, Any], *, site: str = ""
) -> AppliedRules:
    """Apply the rules to the fields of an issue.

    A ``fieldMapping`` replaces the source of a field; a ``valueMapping`` then translates what the source holds, or the
    default where no source is named. A value that no rule translates stays as it is.

    Args:
        compiled: The rules, resolved.
        item_type: The item's type.
        row: The item under Rally's own names.
        defaults: What each field holds without rules; the members of a list as texts.
        site: The address of the Rally server for people.

    Returns:
        An outcome for every default and for every field that the rules speak of, in this order.
    """

    def read(label: str) -> tuple[str, ...]:
        path = compiled.find_path(item_type, label)
        return (read_path_texts(row, path, site=site) if path is not None else ()) or ("",)

    entries = compiled.find_entries(item_type)
    mapped = dict.fromkeys(target for entry in entries for target in (*entry.sources, *entry.values))
    outcomes: dict[str, Outcome] = {}
    for target in dict.fromkeys((*defaults, *mapped)):
        if target not in mapped:
            outcomes[target] = Outcome(defaults[target], Reason(unmatched=convert_to_texts(defaults[target])))
            continue
        source = compiled.find_source(item_type, target)
        default = defaults.get(target, () if target in LISTS else None)
        texts = convert_to_texts(default) if source is None else read_path_texts(row, source[0], site=site)
        known = Reason() if source is None else Reason(source=str(source[0]), source_rule=source[1])
        map_field = _map_list if target in LISTS else _map_single
        outcomes[target] = map_field(_Task(compiled, item_type, target, known, default, read), texts)
    return AppliedRules(outcomes)


@dataclass(frozen=True, slots=True)
class _Task:
    """One field that is to be mapped."""

    compiled: CompiledRules
    item_type: ItemType
    target: str
    #: What is known of the reason so far: the source.
    reason: Reason
    default: Value
    read: FieldReader

    def build_reason(self, matches: tuple[Match, ...], unmatched: tuple[str, ...], warning: str = "") -> Reason:
        return Reason(
            source=self.reason.source,
            source_rule=self.reason.source_rule,
            matches=matches,
            unmatched=unmatched,
            warning=warning,
        )


def _map_list(task: _Task, texts: tuple[str, ...]) -> Outcome:
    # Members are translated one by one, so a condition cannot: it would make all of them the same.
    translations = [
        (text, translate_value(task.compiled, task.item_type, task.target, text, read=None)) for text in texts
    ]
    conditional = find_conditional_values(task.compiled, task.item_type, task.target, read=task.read)
    members = [text if match is None else match.after for text, match in translations] + [
        match.after for match in conditional
    ]
    return Outcome(
        tuple(dict.fromkeys(members)),
        task.build_reason(
            tuple(match for _, match in translations if match is not None) + conditional,
            tuple(dict.fromkeys(text for text, match in translations if match is None)),
        ),
    )


def _map_single(task: _Task, texts: tuple[str, ...]) -> Outcome:
    # Of a source with many values, such as tags, the first that a rule knows decides.
    for source_text in texts or ("",):
        match = translate_value(task.compiled, task.item_type, task.target, source_text, read=task.read)
        if match is not None:
            return _convert_or_default(task, match.after, task.build_reason((match,), ()))
    text = ", ".join(texts)
    reason = task.build_reason((), (text,) if text else ())
    if not task.reason.source_rule:
        return Outcome(task.default, reason)
    # The word None is what Rally shows for an unset drop-down (rally-api-notes.md#empty-values).
    if not text or (text == "None" and task.target not in NEVER_EMPTY):
        return Outcome(task.default if task.target in NEVER_EMPTY else None, reason)
    return _convert_or_default(task, text, reason)


def _convert_or_default(task: _Task, text: str, reason: Reason) -> Outcome:
    """Convert the text for the field, or return the default and a warning."""
    try:
        return Outcome(convert_value(task.target, text), reason)
    except ValueError as error:
        origin = f" (from {reason.source})" if reason.source else ""
        default = ", ".join(convert_to_texts(task.default)) or "nothing"
        warning = f'{task.target}: "{text}"{origin} {error}; {default} stays'
        return Outcome(task.default, task.build_reason(reason.matches, reason.unmatched, warning))


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
class RemappedIssue:
    """An issue after the rules were applied."""

    issue: Issue
    #: Every outcome with its reason; empty when no rule applies to the type, ``apply_rules`` explains such items too.
    applied: AppliedRules = field(default_factory=AppliedRules)
    #: What only newer servers take, by its name there: severity, impact, resolution, resolved, and so on.
    extras: Mapping[str, Value] = field(default_factory=dict)
    #: What the rules set under ``extended.``, without the prefix.
    extended: Mapping[str, Value] = field(default_factory=dict)


def get_defaults(issue: Issue) -> dict[str, Any]:
    """Return the value of each field without rules, as ``apply_rules`` expects it."""
    defaults: dict[str, Any] = {target: getattr(issue, name) for target, name in _PLAIN.items()}
    defaults["normalizedType"] = issue.normalized_type.value
    defaults["sprints"] = tuple(sprint.name for sprint in issue.sprints)
    return defaults


def remap_issue(
    compiled: CompiledRules, item_type: ItemType, row: Mapping[str, Any], issue: Issue, *, site: str = ""
) -> RemappedIssue:
    """Apply the rules to a mapped issue.

    Args:
        compiled: The rules, resolved.
        item_type: The item's type.
        row: The item under Rally's own names.
        issue: The issue that the item becomes without rules, its history untranslated.
        site: The address of the Rally server for people.
    """
    if not compiled.find_entries(item_type):
        return RemappedIssue(issue)
    applied = apply_rules(compiled, item_type, row, get_defaults(issue), site=site)
    values = applied.values
    changed: dict[str, Any] = {name: values[target] for target, name in _PLAIN.items()}
    changed["description"] = values["description"] or ""
    changed["normalized_type"] = NormalizedType(str(values["normalizedType"]))
    changed["sprints"] = _rename_sprints(issue, applied)
    changed["history"] = tuple(_translate_history_entry(compiled, item_type, entry) for entry in issue.history)
    known = {*_PLAIN, "normalizedType", "sprints"}
    other_values = {
        target: value for target, value in values.items() if target not in known and value not in (None, ())
    }
    return RemappedIssue(
        replace(issue, **changed),
        applied,
        {target: value for target, value in other_values.items() if not target.startswith(EXTENDED)},
        {target.removeprefix(EXTENDED): value for target, value in other_values.items() if target.startswith(EXTENDED)},
    )


def _rename_sprints(issue: Issue, applied: AppliedRules) -> tuple[Sprint, ...]:
    """Return the named sprints; a sprint from Rally keeps its id and dates under a translated name."""
    outcome = applied.outcomes["sprints"]
    before = {match.after: match.before for match in reversed(outcome.reason.matches)}
    by_name = {sprint.name: sprint for sprint in issue.sprints}
    names = outcome.value if isinstance(outcome.value, tuple) else ()
    sprints = []
    for name in names:
        sprint = by_name.get(before.get(name, name)) or by_name.get(name)
        sprints.append(replace(sprint, name=name) if sprint is not None else Sprint(id=name, name=name))
    return tuple(sprints)


def _translate_history_entry(compiled: CompiledRules, item_type: ItemType, entry: HistoryEntry) -> HistoryEntry:
    if entry.field != STATUS or not isinstance(entry.before, str) or not isinstance(entry.after, str):
        return entry
    return entry._replace(
        before=map_history_value(compiled, item_type, STATUS, entry.before),
        after=map_history_value(compiled, item_type, STATUS, entry.after),
    )
