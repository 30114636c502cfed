"""The field changes that an edit of an item or a record saves."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from rally_sandbox.clock import format_mountain_time, from_datetime, parse_instant
from rally_sandbox.records import COLLECTIONS, FieldChange, Item, Link, Record, Values
from rally_sandbox.sample_company import Company, Team
from rally_sandbox.schema import (
    CUSTOM_DATES,
    CUSTOM_ITEMS,
    CUSTOM_NAMES,
    CUSTOM_NUMBERS,
    CUSTOM_RECORDS,
    TYPES,
    find_type,
)
from rally_sandbox.transitions import change_project, change_schedule_state, state_position

#: Attributes that refer to records, with the record's type.
_RECORDS = {
    "Owner": "User",
    "SubmittedBy": "User",
    "Iteration": "Iteration",
    "Release": "Release",
    "Tags": "Tag",
    "Milestones": "Milestone",
    "Project": "Project",
}
_ITEMS = frozenset({"PortfolioItem", "Requirement", "WorkProduct", "Parent"})


class World(Protocol):
    """The part of a world that edits use."""

    @property
    def company(self) -> Company:
        """The records around the work items."""

    def record(self, kind: str, key: object) -> Record:
        """Return the record with an ObjectID or name."""

    def find(self, object_id: int) -> Item:
        """Return the item with an ObjectID."""

    def team(self, item: Item) -> Team:
        """Return the team in whose project the item is."""

    def team_of(self, project: Record) -> Team:
        """Return the team that works in a project."""


def compute_field_changes(world: World, item: Item, fields: Mapping[str, Any], at: int) -> tuple[FieldChange, ...]:
    """Compute the field changes that turn an item's values into ``fields``, without unchanged fields.

    Raises:
        KeyError: An attribute is unknown or read-only, or a reference does not exist.
    """
    field_changes: list[FieldChange] = []
    for name, value in fields.items():
        field_changes.extend(
            change for change in _iter_field_changes(world, item, name, value, at) if change[1] != change[2]
        )
    return tuple(field_changes)


def _iter_field_changes(world: World, item: Item, name: str, value: Any, at: int) -> Iterator[FieldChange]:  # noqa: PLR0912 - one table
    values = item.values
    attribute = name.rstrip("+-")
    if attribute in CUSTOM_NAMES and attribute in TYPES[item.type.lower()].attributes:
        yield name, values.get(name), _parse_custom_value(world, item, name, value)
        return
    if attribute not in values or attribute in _READ_ONLY:
        raise KeyError(f"{attribute} of a {item.type} cannot be edited")
    if attribute in COLLECTIONS:
        yield from _iter_collection_changes(world, values, name, value)
    elif name == "Project":
        project = world.record("Project", value)
        if project is not values["Project"]:
            yield from change_project(values, world.team_of(project))
    elif name == "ScheduleState":
        if value != values[name]:
            yield from change_schedule_state(values, world.team(item), state_position(value), at)
    elif name == "FlowState":
        flow = next(state for state in world.team(item).flow if value in (state, state.name, state.object_id))
        if flow is not values[name]:
            state = state_position(flow.values["ScheduleStateMapping"])
            yield from change_schedule_state(values, world.team(item), state, at, flow=flow)
    elif name in {"Iteration", "Release"} and value is not None:
        yield name, values[name], _find_timebox(world, item, name, value)
    elif name in _ITEMS:
        yield name, values[name], None if value is None else _resolve_link(world, value)
    elif name == "State" and isinstance(values[name], Record):
        yield name, values[name], world.record("State", value)
    elif name in _RECORDS:
        yield name, values[name], None if value is None else world.record(_RECORDS[name], value)
    else:
        yield name, values[name], float(value) if name in _QUANTITIES and value is not None else value


_READ_ONLY = frozenset({"Recycled", "CreatedBy", "AcceptedDate", "InProgressDate", "FlowStateChangedDate"})
_QUANTITIES = frozenset({"PlanEstimate", "Estimate", "ToDo", "Actuals"})


def _parse_custom_value(world: World, item: Item, name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "c_FirstSprint":
        return _find_timebox(world, item, "Iteration", value)
    if name in CUSTOM_RECORDS:
        return world.record(CUSTOM_RECORDS[name], value)
    if name in CUSTOM_ITEMS:
        return _resolve_link(world, value)
    if name in CUSTOM_DATES and isinstance(value, str):
        return parse_instant(value)
    return float(value) if name in CUSTOM_NUMBERS else value


def _iter_collection_changes(world: World, values: Values, name: str, value: Any) -> Iterator[FieldChange]:
    attribute = name.rstrip("+-")
    present = values[attribute]
    if name.endswith(("+", "-")):
        element = world.record(_RECORDS[attribute], value)
        if name.endswith("+") and element not in present:
            yield attribute, None, element
        if name.endswith("-") and element in present:
            yield attribute, element, None
        return
    elements = [world.record(_RECORDS[attribute], member) for member in value]
    yield from ((attribute, member, None) for member in present if member not in elements)
    yield from ((attribute, None, member) for member in elements if member not in present)


def _find_timebox(world: World, item: Item, name: str, value: Any) -> Record:
    # Timeboxes of different projects share names, so the item's project is searched first.
    own_timeboxes = [
        record
        for record in world.company.records_of(name.lower())
        if record.values["Project"] is item.values["Project"]
    ]
    for box in own_timeboxes:
        if value in (box, box.object_id, box.name):
            return box
    return world.record(name, value)


def _resolve_link(world: World, value: Any) -> Link:
    if isinstance(value, Link):
        return value
    return Link(value.index if isinstance(value, Item) else world.find(int(value)).index)


#: Attributes that are stored in milliseconds and entered as ISO texts.
DATES = frozenset({"StartDate", "EndDate", "ReleaseStartDate", "ReleaseDate", "TargetDate"})


def edit_record(record: Record, fields: Mapping[str, Any]) -> str:
    """Change values of a record in place; return the text of the revision.

    Args:
        record: The record.
        fields: By attribute name; dates as ISO texts.

    Raises:
        KeyError: The type has no such attribute.
        ValueError: A date cannot be read.
    """
    kind = find_type(record.type)
    known = kind.attributes if kind is not None else {}
    # Every record has a display name, whichever attribute contains it.
    if unknown := fields.keys() - known.keys() - {"Name"}:
        raise KeyError(f"{record.type} has no attribute {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {
        name: from_datetime(datetime.fromisoformat(value)) if name in DATES and value is not None else value
        for name, value in fields.items()
    }
    clauses: list[str] = []
    for name, value in values.items():
        # A user's display name is a different attribute.
        attribute = "DisplayName" if name == "Name" and record.type == "User" else name
        before = record.name if name == "Name" else record.values.get(attribute)
        clauses.append(
            f"{_format_label(name)} changed from [{_format_value(name, before)}] to [{_format_value(name, value)}]"
        )
        record.values[attribute] = value
        if name == "Name":
            record.name = value
    return ", ".join(clauses)


def _format_label(name: str) -> str:
    """Format an attribute's name as in revisions, for example ``END DATE``."""
    return "".join(f" {char}" if char.isupper() and place else char for place, char in enumerate(name)).upper()


def _format_value(name: str, value: Any) -> str:
    if value is None:
        return ""
    return format_mountain_time(value) if name in DATES else str(value)
