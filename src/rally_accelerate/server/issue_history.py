"""The state of an issue at any instant, computed by undoing its history. No I/O.

The present is what was uploaded and so the only state that is known whole; a history may begin late, have gaps, or
leave fields out. What it does not tell is said to be so, never guessed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: Fields of an issue under the names that histories have for them (accelerate-api-notes.md#issue-history), in the order
#: of the page. ``None`` is a field whose name is the same in both.
FIELD_NAMES: Mapping[str, str | None] = {
    "name": None,
    "type": None,
    "status": None,
    "owner": None,
    "priority": None,
    "storyPoints": None,
    "project": None,
    "sprint": "sprints",
    "release": "releases",
    "labels": None,
    "components": None,
    "epic": None,
    "severity": None,
    "impact": None,
    "resolution": None,
    "businessValue": None,
    "description": None,
}

#: Other words that histories have for a field, as far as they are known.
ALIASES = {
    "displayname": "name",
    "releases": "release",
    "sprints": "sprint",
    "storypoints": "storyPoints",
    "tags": "labels",
}

#: What changes with every change says nothing; vendor plug-ins tell it beside each
#: (accelerate-api-notes.md#issue-history).
ACCOMPANYING_FIELDS = frozenset({"lastupdate", "revision"})


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one field."""

    #: Milliseconds since 1970; changes at the instant itself have happened.
    at: int
    #: The one name that we have for the field.
    field: str
    content: Mapping[str, Any]

    @property
    def is_accompanying(self) -> bool:
        """Whether it only accompanies another one."""
        return self.field.casefold() in ACCOMPANYING_FIELDS


def list_changes(issue: Mapping[str, Any]) -> list[Change]:
    """Return the changes in an issue's history, oldest first, in recorded order within an instant."""
    return sorted(_parse_entries(issue.get("history") or ()), key=lambda change: change.at)


def list_former_sprints(issue: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the sprints in an issue that it is no longer planned for.

    An uploaded issue has its present and its former sprints in one list. Nothing in the published schema tells them
    apart (accelerate-api-notes.md#sprints), so the last change of the sprint does: what it led to is the present one.
    An issue whose history has no such change has only present sprints. Issues that an earlier version of this connector
    uploaded mark former sprints with ``previous: true``.
    """
    sprints = [sprint for sprint in issue.get("sprints") or () if isinstance(sprint, Mapping)]
    if any(sprint.get("previous") is True for sprint in sprints):
        return [sprint for sprint in sprints if sprint.get("previous") is True]
    last = next(
        (change for change in reversed(list_changes(issue)) if change.field == "sprint" and "to" in change.content),
        None,
    )
    if last is None:
        return []
    led_to = parse_references(last.content["to"])
    ids, names = ({item[key] for item in led_to if item.get(key)} for key in ("id", "name"))
    present = [sprint for sprint in sprints if (sprint.get("id") in ids if ids else sprint.get("name") in names)]
    if led_to and not present:
        # It was renamed after the change: the present sprint is the last in the list.
        present = sprints[-1:]
    return [sprint for sprint in sprints if not any(sprint is one for one in present)]


def parse_references(value: Any) -> list[Mapping[str, Any]]:
    """Return what a history says a field referred to, as objects with a ``name``, an ``id`` or both.

    Histories name references in texts and lists of texts; earlier versions of this connector sent objects.
    """
    listed = value if isinstance(value, list | tuple) else [value]
    result = (item if isinstance(item, Mapping) else {"name": str(item)} for item in listed if item not in (None, ""))
    return [item for item in result if item]


def normalize_field_name(field: str) -> str:
    """Return the canonical name of a history field."""
    return ALIASES.get(field.casefold(), field)


def find_raw_name(raw: Any, field: str) -> str | None:
    """Return the name of a history's field in the raw issue, or None."""
    folded = _fold_field_name(field)
    return (
        next((name for name in raw if _fold_field_name(str(name)) == folded), None)
        if isinstance(raw, Mapping)
        else None
    )


def parse_instant(value: Any) -> int | None:
    """Parse an instant in milliseconds; return None if it is invalid."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _fold_field_name(name: str) -> str:
    # Custom fields have a prefix in the raw issue that histories leave out.
    return name.casefold().removeprefix("c_")


def _parse_entries(history: Iterable[Any]) -> Iterable[Change]:
    for entry in history:
        content = entry.get("content") if isinstance(entry, Mapping) else None
        field = str(content.get("field") or "") if isinstance(content, Mapping) else ""
        at = parse_instant(entry.get("timestamp")) if field else None
        # Broken entries of other plug-ins are passed over.
        if isinstance(content, Mapping) and at is not None:
            yield Change(at, normalize_field_name(field), content)


#: A value as people read it: a text, or those of a list; nothing is nothing.
Value = tuple[str, ...]


class Certainty(StrEnum):
    """How certain a value is according to the history."""

    #: A change before or after the instant tells it.
    RECORDED = "told"
    #: The change before the instant leads elsewhere than the one after it begins: something between is missing.
    GAP = "gap"
    #: No change of the field is known at all: it is taken to be as today.
    UNRECORDED = "untold"
    #: The first change after the instant does not tell what it changed.
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class FieldState:
    """One field at an instant."""

    field: str
    value: Value
    now: Value
    sure: Certainty

    @property
    def differs(self) -> bool:
        """Whether it is another one today."""
        return not _are_equal(self.value, self.now)


@dataclass(frozen=True, slots=True)
class IssueState:
    """An issue at an instant."""

    #: False before its creation: then there are no fields.
    existed: bool
    fields: tuple[FieldState, ...]


#: Fields that servers know in words of their own, and tools in theirs.
SHARED_FIELDS = frozenset({"severity", "impact", "resolution"})


def compute_state_at(issue: Mapping[str, Any], instant: int) -> IssueState:
    """Compute the state of an issue at an instant.

    Args:
        issue: An issue under the wire's names, instants in milliseconds since 1970.
        instant: Changes at the instant itself have happened.
    """
    created = issue.get("created")
    if created is not None and instant < created:
        return IssueState(existed=False, fields=())
    present = _read_current_values(issue)
    changes = _collect_sides(issue)
    for field in changes:
        # Words of the tool's own, such as its severity, are kept beside what servers know under the same name.
        if field not in FIELD_NAMES or (field in SHARED_FIELDS and not present[field]):
            present[field] = _read_tool_value(issue, field, changes[field])
    fields = tuple(
        _compute_field_state(field, now, changes.get(field, ()), instant)
        for field, now in present.items()
        if now or changes.get(field)
    )
    return IssueState(existed=True, fields=fields)


def to_texts(value: Any) -> Value:
    """Return the display texts of a value, the same for an issue and its history."""
    match value:
        case None | "":
            return ()
        case bool():
            return ("true" if value else "false",)
        case float() if value.is_integer():
            return (str(int(value)),)
        case list() | tuple():
            return tuple(text for item in value for text in to_texts(item))
        case Mapping():
            named = next((value[key] for key in ("name", "id", "key") if value.get(key)), None)
            return to_texts(named) if named is not None else (str(dict(value)),)
        case _:
            return (_normalize_number(str(value)),)


def _compute_field_state(field: str, now: Value, changes: Sequence[Mapping[str, Any]], instant: int) -> FieldState:
    if not changes:
        return FieldState(field, now, now, Certainty.UNRECORDED)
    before = [change for change in changes if change["at"] <= instant]
    after = [change for change in changes if change["at"] > instant]
    if after and after[0]["from"] is None:
        # The change itself is known, what it changed is not: the one before it may say.
        message = before[-1]["to"] if before else None
        return FieldState(field, message or (), now, Certainty.LOST if message is None else Certainty.RECORDED)
    value = after[0]["from"] if after else now
    last = before[-1]["to"] if before else None
    return FieldState(
        field, value, now, Certainty.RECORDED if last is None or _are_equal(last, value) else Certainty.GAP
    )


def _collect_sides(issue: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the old and new value of each change by field, oldest first."""
    result: dict[str, list[dict[str, Any]]] = {}
    for change in list_changes(issue):
        if not change.is_accompanying:
            # A side that is not told at all is another thing than one that is empty.
            content = change.content
            sides = {side: to_texts(content[side]) if side in content else None for side in ("from", "to")}
            result.setdefault(change.field, []).append({"at": change.at, **sides})
    return result


def _read_current_values(issue: Mapping[str, Any]) -> dict[str, Value]:
    result = {field: to_texts(issue.get(name or field)) for field, name in FIELD_NAMES.items()}
    former = list_former_sprints(issue)
    result["sprint"] = to_texts([sprint for sprint in issue.get("sprints") or () if sprint not in former])
    return result


def _read_tool_value(issue: Mapping[str, Any], field: str, changes: Sequence[Mapping[str, Any]]) -> Value:
    """Return the current value of a tool's own field, from the raw issue or from its last change."""
    raw: Any = issue.get("rawIssue")
    name = find_raw_name(raw, field)
    if name is not None:
        return to_texts(raw[name])
    return changes[-1]["to"] or ()


def _are_equal(one: Value, other: Value) -> bool:
    """Return whether two values are the same; lists have no order that anybody chose."""
    return sorted(one) == sorted(other)


def _normalize_number(text: str) -> str:
    """Histories hold numbers as texts: ``3.0`` and ``3`` are the same estimate."""
    head, dot, tail = text.partition(".")
    return head if dot and tail and not tail.strip("0") and head.lstrip("-").isdecimal() else text


@dataclass(frozen=True, slots=True)
class LastStatusChange:
    """The last change of status that a history tells."""

    #: Milliseconds since 1970.
    at: int
    #: What it led to; several where one instant has several changes, as their order is not sure in every tool.
    led_to: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class PendingStatusChange:
    """A change of status that a history does not tell yet."""

    #: When it had happened at the latest, in milliseconds since 1970.
    at: int
    #: The status that the history ends with, and the present one.
    before: str
    after: str


def find_last_status_change(history: Iterable[Any]) -> LastStatusChange | None:
    """Return the last status change in a history, or None."""
    latest: int | None = None
    led_to: list[Any] = []
    for entry in history:
        # What is read of JSON is nothing but dictionaries, which are told from the rest at a fraction of the price.
        content = entry.get("content") if isinstance(entry, dict) else None
        if not isinstance(content, dict) or str(content.get("field") or "").lower() != "status":
            continue
        at = parse_instant(entry.get("timestamp"))
        if at is None:
            continue
        if latest is None or at > latest:
            latest, led_to = at, []
        if at == latest:
            led_to.append(content.get("to"))
    return None if latest is None else LastStatusChange(latest, tuple(led_to))


def find_pending_after(
    last: LastStatusChange | None, issue: Mapping[str, Any], history: Sequence[Any]
) -> PendingStatusChange | None:
    """Return the status change that the history does not contain yet, or None.

    Assumed: it happened between the last change that is known and the last update, which is taken for its instant as
    the latest that is possible. A history without a status, or whose last change does not say what it led to, says
    nothing against the issue's status. Neither does one that reaches the last update: nothing is to come there, and the
    statuses differ for another reason, such as a rule that makes one out of other fields.

    Args:
        last: ``last_status`` of the history.
        issue: An issue under the wire's names, instants in milliseconds since 1970.
        history: Its history.
    """
    if last is None or issue.get("status") in last.led_to:
        # So it is nearly always, and every upload asks.
        return None
    updated, status = parse_instant(issue.get("lastUpdate")), _to_text(issue.get("status"))
    if updated is None or not status:
        return None
    ends = [_to_text(item) for item in last.led_to]
    # Queries do not tell statuses apart by the case of letters either (dql/evaluator.py).
    if not all(ends) or status.casefold() in {end.casefold() for end in ends}:
        return None
    # What stands beside each change, and texts that could not be read, do not say that the status was as it was.
    newest = max(change.at for change in list_changes({"history": history}) if not change.is_accompanying)
    return None if newest >= updated else PendingStatusChange(updated, ends[-1], status)


def find_pending_status_change(issue: Mapping[str, Any]) -> PendingStatusChange | None:
    """Return the status change that an issue's history does not contain yet, or None."""
    history = issue.get("history") or ()
    return find_pending_after(find_last_status_change(history), issue, history)


def _to_text(value: Any) -> str:
    return ", ".join(to_texts(value)).strip()
