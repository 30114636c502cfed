"""The history that Accelerate receives, mapped from the changes that Rally recorded.

See accelerate-api-notes.md#issue-history.

Lookback and revisions both come as ``ItemHistory``; nothing here knows which it was.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from rally_accelerate.mapping.item_types import Kind
from rally_accelerate.mapping.rich_text import convert_html_to_text
from rally_accelerate.model.issue import UNKNOWN_PERSON, HistoryEntry, HistoryValue
from rally_accelerate.rally.records import RECYCLED, FieldChange, FieldValue, ItemHistory, TimeboxValue

#: The word that Accelerate computes stage times from (accelerate-api-notes.md#issue-history).
STATUS = "status"

#: A text that cannot be read without guessing is passed on without its markup, under this name.
UNPARSED_FIELD = "revision"

#: The maximum length of an unparsed text.
UNPARSED_LENGTH = 1000

#: Accelerate's names by Rally's names; the field with an item's status is called ``status``.
FIELD_NAMES = {
    "ScheduleState": "scheduleState",
    "State": "state",
    "FlowState": "flowState",
    "LastVerdict": "lastVerdict",
    "Owner": "owner",
    "Priority": "priority",
    "Severity": "severity",
    "Resolution": "resolution",
    "PlanEstimate": "storyPoints",
    "PreliminaryEstimate": "preliminaryEstimate",
    "Iteration": "sprint",
    "Release": "release",
    "Tags": "labels",
    "Milestones": "milestones",
    "Project": "project",
    # One item has one parent, whichever field it stands in (rally-api-notes.md#attributes).
    "Parent": "parent",
    "PortfolioItem": "portfolioItem",
    "Requirement": "requirement",
    "WorkProduct": "workProduct",
    "Name": "name",
    "Blocked": "blocked",
    "BlockedReason": "blockedReason",
    "Ready": "ready",
    "Expedite": "expedite",
}


def map_history(
    past: ItemHistory, kind: Kind, *, status: str, removed: str, rich: Collection[str] = (), site: str = ""
) -> tuple[HistoryEntry, ...]:
    """Return every change, oldest first; empty values are empty, never missing.

    Args:
        past: The recorded changes from Rally.
        kind: Says which field is the status.
        status: The item's status now: what it had at its last deletion is known from it when nothing else changed it.
        removed: The status that a deleted item has.
        rich: The fields whose values are HTML.
        site: The address of the Rally server for people.
    """
    changes = _convert_rich_text(past.changes, rich, site) if rich else past.changes
    entries = [*_map_changes(changes, kind, status=status, removed=removed)]
    if past.unread:
        entries.extend(
            HistoryEntry(
                instant=_to_datetime(unread.at),
                field=UNPARSED_FIELD,
                before="",
                after=convert_html_to_text(unread.text, site=site)[:UNPARSED_LENGTH],
                user=unread.user or UNKNOWN_PERSON,
                user_id=_format_id(unread.user_id),
            )
            for unread in past.unread
        )
        entries.sort(key=lambda entry: entry.instant)
    return tuple(entries)


def _convert_rich_text(changes: Iterable[FieldChange], rich: Collection[str], site: str) -> Iterable[FieldChange]:
    for change in changes:
        if change.field not in rich:
            yield change
            continue
        before, after = (
            convert_html_to_text(value, site=site) if isinstance(value, str) else value
            for value in (change.before, change.after)
        )
        yield change._replace(before=before, after=after)


def _map_changes(changes: Iterable[FieldChange], kind: Kind, *, status: str, removed: str) -> Iterable[HistoryEntry]:
    changes = tuple(changes)
    present = _get_next_status(changes, kind) or status
    # What a deleted item had is not what it is now.
    last = "" if _is_deleted(changes) else status
    status_field, is_removed = kind.status, False
    saved, instant = 0, _to_datetime(0)
    for index, (at, author, field, was, now, author_id) in enumerate(changes):
        if at != saved:
            # Changes of one save share its instant.
            saved, instant = at, _to_datetime(at)
        user, user_id = author or UNKNOWN_PERSON, _format_id(author_id)
        if field == RECYCLED:
            # Deletion and restoration are status changes; if only one of the two is recorded, it is still reported.
            if (now == "true") != is_removed and present != removed:
                # What the item had in the bin is known from both sides; where they differ, a change is missing.
                status_when_removed = (
                    present if (_get_next_status(changes[index:], kind) or last) in ("", present) else ""
                )
                before, after = (status_when_removed, removed) if now == "true" else (removed, status_when_removed)
                yield HistoryEntry(instant, STATUS, before, after, user, user_id=user_id)
            is_removed = now == "true"
            continue
        name = STATUS if field == status_field else FIELD_NAMES.get(field) or field.removeprefix("c_")
        if name == STATUS:
            present = str(now)
        if isinstance(was, str) and isinstance(now, str):
            yield HistoryEntry(instant, name, was, now, user, user_id=user_id)
        else:
            kind_of_value, before_value, after_value = _convert_values(was, now)
            yield HistoryEntry(instant, name, before_value, after_value, user, kind_of_value, user_id)


def _is_deleted(changes: Sequence[FieldChange]) -> bool:
    return next((change.after == "true" for change in reversed(changes) if change.field == RECYCLED), False)


def _get_next_status(changes: Iterable[FieldChange], kind: Kind) -> str:
    """Return the status before the first change of it, or nothing when it does not change."""
    return next((str(change.before) for change in changes if change.field == kind.status), "")


def _convert_values(before: FieldValue, after: FieldValue) -> tuple[str, HistoryValue, HistoryValue]:
    """Return the type of the values, and the values (accelerate-api-notes.md#issue-history)."""
    if isinstance(before, TimeboxValue) or isinstance(after, TimeboxValue):
        # Never as objects: Accelerate reads those back as comments, reviews or steps
        # (accelerate-api-notes.md#issue-history). The ids of the sprints and releases are in the issue itself.
        return "stringArray", _list_names(before), _list_names(after)
    if isinstance(before, tuple) or isinstance(after, tuple):
        return "stringArray", list(before or ()), list(after or ())
    return "string", before or "", after or ""


def _list_names(value: FieldValue) -> list[str]:
    """Return the name of what a field refers to, as the list that it is in an issue."""
    match value:
        case None | "":
            return []
        case TimeboxValue():
            return [value.name] if value.name else []
        case str():
            return [value]
        case _:
            return [str(member) for member in value]


def _format_id(user_id: int | None) -> str:
    return "" if user_id is None else str(user_id)


def _to_datetime(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
