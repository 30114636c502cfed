"""Rules laid onto an issue that is mapped by default: what they change, and what the issue has no field for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rally_accelerate.mapping.applied import Applied, apply
from rally_accelerate.mapping.compiled import CompiledRules
from rally_accelerate.mapping.history import STATUS
from rally_accelerate.mapping.itemtypes import ItemType
from rally_accelerate.mapping.targets import EXTENDED, Value
from rally_accelerate.mapping.translate import map_history_value
from rally_accelerate.model.issue import HistoryEntry, Issue, NormalizedType, Sprint

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
