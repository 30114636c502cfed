"""The text of a revision: display text, upper-case labels, nothing escaped (rally-api-notes.md#revision-texts)."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from rally_sandbox.clock import format_mountain_time
from rally_sandbox.records import FieldChange, Link, Record
from rally_sandbox.schema import CUSTOM_DATES, CUSTOM_NAMES

ORIGINAL = "Original revision"
TOO_LONG = "value too long to display"
LONGEST_VALUE = 1985
LONGEST_TEXT = 4000

#: Fields that write revisions, with their labels, in the order of the clauses of one text
#: (rally-api-notes.md#revision-examples).
LABELS = {
    "DragAndDropRank": "RANK",
    "ScheduleState": "SCHEDULE STATE",
    "Ready": "READY",
    "FlowStateChangedDate": "FLOW STATE CHANGED DATE",
    "FlowState": "FLOW STATE",
    "AcceptedDate": "ACCEPTED DATE",
    "InProgressDate": "IN PROGRESS DATE",
    "State": "STATE",
    "StateChangedDate": "STATE CHANGED DATE",
    "OpenedDate": "OPENED DATE",
    "ClosedDate": "CLOSED DATE",
    "Resolution": "RESOLUTION",
    "Priority": "PRIORITY",
    "Severity": "SEVERITY",
    "Environment": "ENVIRONMENT",
    "Blocked": "BLOCKED",
    "BlockedReason": "BLOCKED REASON",
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "Notes": "NOTES",
    "Owner": "OWNER",
    "PlanEstimate": "PLAN ESTIMATE",
    "Estimate": "ESTIMATE",
    "ToDo": "TO DO",
    "Actuals": "ACTUALS",
    "Project": "PROJECT",
    "Iteration": "ITERATION",
    "Release": "RELEASE",
    "PortfolioItem": "FEATURE",
    "Parent": "PARENT",
    "Requirement": "REQUIREMENT",
    "WorkProduct": "WORK PRODUCT",
    "PlannedStartDate": "PLANNED START DATE",
    "PlannedEndDate": "PLANNED END DATE",
    "Expedite": "EXPEDITE",
    "DisplayColor": "DISPLAY COLOR",
    "Tags": "TAGS",
    "Milestones": "MILESTONES",
    **{name: label.upper() for name, label in CUSTOM_NAMES.items()},
}
_ORDER = {name: position for position, name in enumerate(LABELS)}

#: Dates by the names of their fields.
DATES = frozenset(name for name in LABELS if name.endswith("Date")) | CUSTOM_DATES

#: Fields whose first value is written as ``changed from [] to [x]`` instead of ``added [x]`` (both exist,
#: rally-api-notes.md#revision-texts).
_FROM_NOTHING = frozenset({"Owner", "Priority", "Severity", "Environment", "Resolution", "Description", "Notes"})

#: Names of references at the time of the text.
NameOf = Callable[[Any], str]


def get_first_name(value: Record | Link) -> str:
    """Return a record's original name, for the texts of the generated history."""
    return value.first_name if isinstance(value, Record) else str(value)


def format_description(
    field_changes: tuple[FieldChange, ...], name_of: NameOf, labels: Mapping[str, str] = LABELS
) -> str:
    """Format the text of one revision.

    Args:
        field_changes: The changed fields.
        name_of: Returns the name, at that time, of a referenced record or item.
        labels: The fields' labels at that time.
    """
    clauses: list[str] = []
    for name, old, new in sorted(field_changes, key=_position) if len(field_changes) > 1 else field_changes:
        text = format_clause(name, old, new, name_of=name_of, labels=labels)
        if text:
            clauses.append(text)
    return ", ".join(clauses)[:LONGEST_TEXT]


def _position(change: FieldChange) -> int:
    return _ORDER.get(change[0], len(_ORDER))


def format_clause(  # noqa: PLR0911 - one table
    name: str, old: Any, new: Any, *, name_of: NameOf, labels: Mapping[str, str] = LABELS
) -> str:
    """Format one clause; the result is empty if both values have the same text or the field writes no revision."""
    if name == "Recycled":
        return "Moved to Recycle Bin" if new else "Recovered from Recycle Bin"
    label = labels.get(name)
    if label is None:
        return ""
    if name == "DragAndDropRank":
        return f"{label} moved up" if new < old else f"{label} moved down"
    before = "" if old is None else format_value(name, old, name_of)
    after = "" if new is None else format_value(name, new, name_of)
    # A move sets the flow state of the same name in the other project: the object changes, its text does not.
    if before == after and (name == "FlowState" or not before):
        return ""
    if name == "BlockedReason" and not before:
        return f"{label} changed to [{after}]"
    if (before and after) or name in _FROM_NOTHING:
        return f"{label} changed from [{before}] to [{after}]"
    return f"{label} added [{after}]" if after else f"{label} removed [{before}]"


def format_value(name: str, value: Any, name_of: NameOf) -> str:
    """Format a value for a revision text."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() if name in DATES:
            return format_mountain_time(value)
        case float():
            return f"{value} Points" if name == "PlanEstimate" else f"{value}"
        case Record(type="Milestone"):
            return f"{value.values['FormattedID']}: {name_of(value)}"
        case Record() | Link():
            return name_of(value)
        case _:
            # Rich text is HTML already; plain text is shown as HTML (rally-api-notes.md#revision-examples).
            text = str(value) if name in {"Description", "Notes"} else escape(str(value), quote=False)
            return text if len(text) <= LONGEST_VALUE else TOO_LONG
