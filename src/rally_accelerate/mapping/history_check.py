"""Verification of a history: replayed from the creation, it must end at the current values of the item. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rally_accelerate.mapping import field_readers
from rally_accelerate.rally.history_fields import TIMEBOXES, choice_text, date_text, flag_text, number_text
from rally_accelerate.rally.records import (
    RECYCLED,
    FieldChange,
    FieldValue,
    HistorySource,
    Record,
    TimeboxValue,
    WorkItem,
)


class Verdict(StrEnum):
    """The result of checking a history."""

    COMPLETE = "complete"
    #: Something is missing, and it is known what.
    INCOMPLETE = "incomplete"
    #: There is nothing to check, or what there is cannot be read without guessing.
    UNVERIFIABLE = "unverifiable"


@dataclass(frozen=True, slots=True)
class Gap:
    """A place where the changes of a history do not fit together."""

    #: Rally's element name.
    field: str
    #: Milliseconds since 1970 of the change that does not fit; None where the last one does not lead to today.
    at: int | None
    expected: str
    actual: str

    def __str__(self) -> str:
        where = "today" if self.at is None else "at its next change"
        return f"{self.field} was left at {self.expected!r} and is {self.actual!r} {where}"


@dataclass(frozen=True, slots=True)
class HistoryCheck:
    """The verdict on one history, with the gaps or the reason."""

    verdict: Verdict
    gaps: tuple[Gap, ...] = ()
    reason: str = ""


def check_history(item: WorkItem) -> HistoryCheck:
    """Return the verdict on the history of a work item."""
    past = item.past
    if past.source is HistorySource.NONE:
        return HistoryCheck(Verdict.UNVERIFIABLE, reason="no history was requested")
    if not past.up_to_date:
        return HistoryCheck(Verdict.INCOMPLETE, reason="the source does not have the last change yet")
    if past.unread and past.whole:
        return HistoryCheck(Verdict.UNVERIFIABLE, reason=f"{len(past.unread)} changes cannot be read without guessing")
    gaps = tuple(_find_gaps(past.changes, item.record))
    if gaps:
        return HistoryCheck(Verdict.INCOMPLETE, gaps)
    if not past.whole:
        return HistoryCheck(Verdict.INCOMPLETE, reason="the source does not contain the complete history")
    return HistoryCheck(Verdict.COMPLETE)


def _find_gaps(changes: Sequence[FieldChange], record: Record) -> list[Gap]:
    gaps: list[Gap] = []
    latest: dict[str, FieldValue] = {}
    for at, _, name, before, after, _ in changes:
        expected = latest.get(name, before)
        # Usually identical; ``_is_same`` is slow.
        if expected != before and not _is_same(expected, before):
            gaps.append(Gap(name, at, _format_value(expected), _format_value(before)))
        latest[name] = after
    for name, value in latest.items():
        if name == RECYCLED:
            if value == "true":
                gaps.append(Gap(name, None, "deleted", "there"))
            continue
        now = read_current_value(record.fields, name)
        if now is not _UNKNOWN and not _is_same(value, now):
            gaps.append(Gap(name, None, _format_value(value), _format_value(now)))
    return gaps


class _Unknown:
    pass


_UNKNOWN = _Unknown()


def read_current_value(row: Mapping[str, object], name: str) -> "FieldValue | _Unknown":  # noqa: PLR0911 - one table
    """Return the current value of a field in the form that histories have; unknown if the row lacks the field."""
    if name not in row:
        return _UNKNOWN
    match name:
        case "Blocked" | "Ready" | "Expedite":
            return flag_text(row[name])
        case "PlanEstimate":
            return number_text(field_readers.read_number(row, name))
        case "Owner":
            return field_readers.read_person_name(row, name) or ""
        case "Tags" | "Milestones":
            return field_readers.read_names(row, name)
        case "Iteration" | "Release":
            reference = field_readers.read_reference(row, name)
            if reference is None:
                return None
            object_id = field_readers.get_object_id(reference)
            return TimeboxValue(int(object_id) if object_id.isdecimal() else None, field_readers.get_name(reference))
        case "Parent" | "PortfolioItem" | "Requirement" | "WorkProduct":
            return _UNKNOWN
        case _:
            return _read_custom_value(row, name)


def _read_custom_value(row: Mapping[str, object], name: str) -> FieldValue:
    """Return the current value of a custom field of any type."""
    match row[name]:
        case bool() as value:
            return flag_text(value)
        case int() | float() as value:
            return number_text(value)
        case Mapping() as value if value.get("_type") in TIMEBOXES:
            object_id = field_readers.get_object_id(value)
            return TimeboxValue(int(object_id) if object_id.isdecimal() else None, field_readers.get_name(value))
        case Mapping() as value if value.get("FormattedID"):
            return str(value["FormattedID"])
        case Mapping():
            return field_readers.read_person_name(row, name) or field_readers.read_text(row, name)
        case _:
            return choice_text(field_readers.read_text(row, name))


def _is_same(one: FieldValue, other: "FieldValue | _Unknown") -> bool:
    if isinstance(one, TimeboxValue) and isinstance(other, TimeboxValue):
        # Names change, ids do not; without both ids the names must do.
        if one.object_id is not None and other.object_id is not None:
            return one.object_id == other.object_id
        return one.name == other.name
    # There are several representations of an unset value.
    if one == other or (not one and not other):
        return True
    # A flag that was never set is no flag, and dates are compared to the second.
    return {one, other} == {"false", ""} or date_text(one) == date_text(other)


def _format_value(value: "FieldValue | _Unknown") -> str:
    match value:
        case TimeboxValue():
            return value.name
        case str():
            return value
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return ""
