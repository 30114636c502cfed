"""From what somebody enters to what a save changes."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from rally_sandbox.clock import from_datetime, mountain, parse_instant
from rally_sandbox.records import COLLECTIONS, Item, Link, Record, Set, Values
from rally_sandbox.sample_company import Company, Team
from rally_sandbox.schema import (
    CUSTOM_DATES,
    CUSTOM_ITEMS,
    CUSTOM_NAMES,
    CUSTOM_NUMBERS,
    CUSTOM_RECORDS,
    TYPES,
    type_of,
)
from rally_sandbox.transitions import order_of, to_project, to_schedule_state

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
    """What edits need of a world."""

    @property
    def company(self) -> Company:
        """The records around the work items."""

    def record(self, kind: str, key: object) -> Record:
        """Return a record by itself, its ObjectID or name."""

    def find(self, object_id: int) -> Item:
        """Return the item with an ObjectID."""

    def team(self, item: Item) -> Team:
        """Return the team in whose project the item is."""

    def team_of(self, project: Record) -> Team:
        """Return the team that works in a project."""


def sets_of(world: World, item: Item, fields: Mapping[str, Any], at: int) -> tuple[Set, ...]:
    """The sets that turn an item's values into ``fields``; what is equal already is left out.

    Raises:
        KeyError: An attribute is unknown or read-only, or a reference names nothing.
    """
    sets: list[Set] = []
    for name, value in fields.items():
        sets.extend(each for each in _sets(world, item, name, value, at) if each[1] != each[2])
    return tuple(sets)


def _sets(world: World, item: Item, name: str, value: Any, at: int) -> Iterator[Set]:  # noqa: PLR0912 - one table
    values = item.values
    attribute = name.rstrip("+-")
    if attribute in CUSTOM_NAMES and attribute in TYPES[item.type.lower()].attributes:
        yield name, values.get(name), _custom(world, item, name, value)
        return
    if attribute not in values or attribute in _READ_ONLY:
        raise KeyError(f"{attribute} of a {item.type} cannot be edited")
    if attribute in COLLECTIONS:
        yield from _elements(world, values, name, value)
    elif name == "Project":
        project = world.record("Project", value)
        if project is not values["Project"]:
            yield from to_project(values, world.team_of(project))
    elif name == "ScheduleState":
        if value != values[name]:
            yield from to_schedule_state(values, world.team(item), order_of(value), at)
    elif name == "FlowState":
        flow = next(each for each in world.team(item).flow if value in (each, each.name, each.object_id))
        if flow is not values[name]:
            state = order_of(flow.values["ScheduleStateMapping"])
            yield from to_schedule_state(values, world.team(item), state, at, flow=flow)
    elif name in {"Iteration", "Release"} and value is not None:
        yield name, values[name], _timebox(world, item, name, value)
    elif name in _ITEMS:
        yield name, values[name], None if value is None else _link(world, value)
    elif name == "State" and isinstance(values[name], Record):
        yield name, values[name], world.record("State", value)
    elif name in _RECORDS:
        yield name, values[name], None if value is None else world.record(_RECORDS[name], value)
    else:
        yield name, values[name], float(value) if name in _QUANTITIES and value is not None else value


_READ_ONLY = frozenset({"Recycled", "CreatedBy", "AcceptedDate", "InProgressDate", "FlowStateChangedDate"})
_QUANTITIES = frozenset({"PlanEstimate", "Estimate", "ToDo", "Actuals"})


def _custom(world: World, item: Item, name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "c_FirstSprint":
        return _timebox(world, item, "Iteration", value)
    if name in CUSTOM_RECORDS:
        return world.record(CUSTOM_RECORDS[name], value)
    if name in CUSTOM_ITEMS:
        return _link(world, value)
    if name in CUSTOM_DATES and isinstance(value, str):
        return parse_instant(value)
    return float(value) if name in CUSTOM_NUMBERS else value


def _elements(world: World, values: Values, name: str, value: Any) -> Iterator[Set]:
    attribute = name.rstrip("+-")
    present = values[attribute]
    if name.endswith(("+", "-")):
        element = world.record(_RECORDS[attribute], value)
        if name.endswith("+") and element not in present:
            yield attribute, None, element
        if name.endswith("-") and element in present:
            yield attribute, element, None
        return
    wanted = [world.record(_RECORDS[attribute], each) for each in value]
    yield from ((attribute, each, None) for each in present if each not in wanted)
    yield from ((attribute, None, each) for each in wanted if each not in present)


def _timebox(world: World, item: Item, name: str, value: Any) -> Record:
    # Names of timeboxes repeat from project to project, so the item's own project comes first.
    own = [each for each in world.company.of(name.lower()) if each.values["Project"] is item.values["Project"]]
    for box in own:
        if value in (box, box.object_id, box.name):
            return box
    return world.record(name, value)


def _link(world: World, value: Any) -> Link:
    if isinstance(value, Link):
        return value
    return Link(value.index if isinstance(value, Item) else world.find(int(value)).index)


#: Attributes that are kept as milliseconds and given as ISO texts.
DATES = frozenset({"StartDate", "EndDate", "ReleaseStartDate", "ReleaseDate", "TargetDate"})


def changed(record: Record, given: Mapping[str, Any]) -> str:
    """Give a record other values; return the text of the revision.

    Args:
        record: Changed in place.
        given: By attribute name; dates as ISO texts.

    Raises:
        KeyError: The type has no such attribute.
        ValueError: A date cannot be read.
    """
    kind = type_of(record.type)
    known = kind.attributes if kind is not None else {}
    # Every record is shown under a name, whatever the attribute is called.
    if unknown := given.keys() - known.keys() - {"Name"}:
        raise KeyError(f"{record.type} has no attribute {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {
        name: from_datetime(datetime.fromisoformat(value)) if name in DATES and value is not None else value
        for name, value in given.items()
    }
    clauses: list[str] = []
    for name, value in values.items():
        # The shown name of a user is another attribute.
        attribute = "DisplayName" if name == "Name" and record.type == "User" else name
        before = record.name if name == "Name" else record.values.get(attribute)
        clauses.append(f"{_label(name)} changed from [{_shown(name, before)}] to [{_shown(name, value)}]")
        record.values[attribute] = value
        if name == "Name":
            record.name = value
    return ", ".join(clauses)


def _label(name: str) -> str:
    """Return an attribute's name as revisions have it: ``END DATE``."""
    return "".join(f" {char}" if char.isupper() and place else char for place, char in enumerate(name)).upper()


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    return mountain(value) if name in DATES else str(value)
