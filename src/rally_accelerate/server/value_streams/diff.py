"""Differences between two documents of a value stream."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rally_accelerate.server.store.encryption import is_unknown_key, select_unknown_keys
from rally_accelerate.server.value_streams.document import TABLES, integrations_of, phases_of

Kind = Literal["added", "removed", "renamed", "moved", "changed"]

#: Told in words of their own, or filled in by the host.
_APART = {"_id", "pipelineId", "tenantId", "phases", "integrations", "linkRules"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs."""

    kind: Kind
    #: ``stage``, ``phase``, ``integration``, ``link rule`` or a key of the file.
    what: str
    name: str
    #: What it was and is, where that can be said shortly.
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Stage:
    place: tuple[int, int]
    phase: str
    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"]).strip()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return the changes from ``before`` to ``after``, two valid documents.

    A stage with another name but the same query or, failing that, the same place is taken for renamed.
    """
    return [
        *_integrations(before, after),
        *_phases(before, after),
        *_stages(before, after),
        *_rules(before, after),
        *_others(before, after),
    ]


def _integrations(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    old = {entry["name"].strip() for _, entry in integrations_of(before)}
    new = {entry["name"].strip() for _, entry in integrations_of(after)}
    yield from (Difference("added", "integration", name) for name in sorted(new - old))
    stays = "remains on the Integrations page"
    yield from (Difference("removed", "integration", name, stays) for name in sorted(old - new))
    entries = {entry["name"].strip(): entry for _, entry in integrations_of(before)}
    for _, entry in integrations_of(after):
        former = entries.get(entry["name"].strip())
        if former is None:
            continue
        for key in dict.fromkeys((*former, *entry)):
            # Settings are told by those who know which are secret.
            if (
                key not in {"_id", "name", "properties"}
                and not is_unknown_key(key)
                and former.get(key) != entry.get(key)
            ):
                detail = f"{key}: {_short(former.get(key))} → {_short(entry.get(key))}"
                yield Difference("changed", "integration", entry["name"].strip(), detail)
        # Of another tool's settings, and of unknown keys next to them, only the names: each may be secret.
        old_settings, new_settings = (
            {**select_unknown_keys(entry_version), **(entry_version.get("properties") or {})}
            for entry_version in (former, entry)
        )
        names = [
            key
            for key in dict.fromkeys((*old_settings, *new_settings))
            if old_settings.get(key) != new_settings.get(key)
        ]
        if names:
            yield Difference("changed", "integration", entry["name"].strip(), f"settings: {', '.join(names)}")


def _phases(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    old, new = _phase_names(before), _phase_names(after)
    former = _renamed_stages(old, new)
    for name in new:
        if name in former:
            yield Difference("renamed", "phase", name, f"was {former[name]}")
        elif name not in old:
            yield Difference("added", "phase", name)
    removed = [name for name in old if name not in new and name not in former.values()]
    yield from (Difference("removed", "phase", name) for name in removed)
    common_old, common_new = [name for name in old if name in new], [name for name in new if name in old]
    if common_old != common_new:
        yield Difference("moved", "phase", "", f"new order: {', '.join(common_new)}")


def _phase_names(document: Mapping[str, Any]) -> list[str]:
    return [phase["name"].strip() for _, phase in phases_of(document)]


def _renamed_stages(old: list[str], new: list[str]) -> dict[str, str]:
    """Map each phase that replaces a removed one at the same position to the former name."""
    pairs = zip(new, old, strict=False)
    return {name: former for name, former in pairs if name not in old and former not in new}


def _stages(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    old, new = _moved_stages(before), _moved_stages(after)
    phases = _renamed_stages(_phase_names(before), _phase_names(after))
    removed = {name: stage for name, stage in old.items() if name not in new}
    for name, stage in new.items():
        if name in old:
            yield from _changed_keys(old[name], stage, phases)
            continue
        former = _former(stage, removed)
        if former is None:
            yield Difference("added", "stage", name, f"in {stage.phase}")
        else:
            del removed[former.name]
            yield Difference("renamed", "stage", name, f"was {former.name}")
            yield from _changed_keys(former, stage, phases)
    yield from (Difference("removed", "stage", name) for name in removed)
    common_old, common_new = [name for name in old if name in new], [name for name in new if name in old]
    if common_old != common_new:
        yield Difference("moved", "stage", "", f"new order: {', '.join(common_new)}")


def _moved_stages(document: Mapping[str, Any]) -> dict[str, _Stage]:
    placed = (
        _Stage((number, within), phase["name"].strip(), stage)
        for number, (_, phase) in enumerate(phases_of(document))
        for within, stage in enumerate(phase.get("stages") or ())
    )
    return {stage.name: stage for stage in placed}


def _former(stage: _Stage, removed: Mapping[str, _Stage]) -> _Stage | None:
    query = stage.document.get("query")
    alike = (stage for stage in removed.values() if query and stage.document.get("query") == query)
    here = (each for each in removed.values() if each.place == stage.place)
    return next(alike, None) or next(here, None)


def _changed_keys(old: _Stage, new: _Stage, phases: Mapping[str, str]) -> Iterator[Difference]:
    if old.phase != phases.get(new.phase, new.phase):
        yield Difference("moved", "stage", new.name, f"from {old.phase} to {new.phase}")
    for key in dict.fromkeys((*old.document, *new.document)):
        if key != "name" and (old.document.get(key) or None) != (new.document.get(key) or None):
            detail = f"{key}: {_short(old.document.get(key))} → {_short(new.document.get(key))}"
            yield Difference("changed", "stage", new.name, detail)


def _rules(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    old, new = _rule_labels(before), _rule_labels(after)
    yield from (Difference("added", "link rule", rule) for rule in new if rule not in old)
    yield from (Difference("removed", "link rule", rule) for rule in old if rule not in new)


def _rule_labels(document: Mapping[str, Any]) -> list[str]:
    return [
        f"{rule['fromIntegrationName']} {rule.get('fromField') or ''} → "
        f"{rule['toIntegrationName']} {rule.get('toField') or ''} {rule.get('pattern') or ''}".strip()
        for rule in document.get("linkRules") or ()
    ]


def _others(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    known = [key for key in TABLES[""] if key not in _APART]
    unknown = [key for key in {**before, **after} if key not in TABLES[""]]
    for key in (*known, *unknown):
        if (before.get(key) or None) != (after.get(key) or None):
            yield Difference("changed", key, "", f"{_short(before.get(key))} → {_short(after.get(key))}")


def _short(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return "none"
        case str():
            return value if len(value) <= 120 else f"{value[:119]}…"  # noqa: PLR2004 - a line of a list
        case list():
            return "1 entry" if len(value) == 1 else f"{len(value)} entries"
        case dict():
            return _short(", ".join(f"{name} {_short(inner)}" for name, inner in value.items()))
        case _:
            return str(value).lower() if isinstance(value, bool) else str(value)
