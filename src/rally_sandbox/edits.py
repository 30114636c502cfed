"""From what somebody enters to what a save changes."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rally_sandbox.customs import CUSTOM_DATES, CUSTOM_ITEMS, CUSTOM_NAMES, CUSTOM_NUMBERS, CUSTOM_RECORDS
from rally_sandbox.instants import parse as moment
from rally_sandbox.journal import COLLECTIONS, Item, Set
from rally_sandbox.records import Link, Record, Values
from rally_sandbox.schema import TYPES
from rally_sandbox.transitions import order_of, to_project, to_schedule_state

if TYPE_CHECKING:
    from rally_sandbox.world import World

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


def sets_of(world: "World", item: Item, fields: Mapping[str, Any], at: int) -> tuple[Set, ...]:
    """The sets that turn an item's values into ``fields``; what is equal already is left out.

    Raises:
        KeyError: An attribute is unknown or read-only, or a reference names nothing.
    """
    sets: list[Set] = []
    for name, value in fields.items():
        sets.extend(each for each in _sets(world, item, name, value, at) if each[1] != each[2])
    return tuple(sets)


def _sets(world: "World", item: Item, name: str, value: Any, at: int) -> Iterator[Set]:  # noqa: PLR0912 - one table
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


def _custom(world: "World", item: Item, name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "c_FirstSprint":
        return _timebox(world, item, "Iteration", value)
    if name in CUSTOM_RECORDS:
        return world.record(CUSTOM_RECORDS[name], value)
    if name in CUSTOM_ITEMS:
        return _link(world, value)
    if name in CUSTOM_DATES and isinstance(value, str):
        return moment(value)
    return float(value) if name in CUSTOM_NUMBERS else value


def _elements(world: "World", values: Values, name: str, value: Any) -> Iterator[Set]:
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


def _timebox(world: "World", item: Item, name: str, value: Any) -> Record:
    # Names of timeboxes repeat from project to project, so the item's own project comes first.
    own = [each for each in world.company.of(name.lower()) if each.values["Project"] is item.values["Project"]]
    for box in own:
        if value in (box, box.object_id, box.name):
            return box
    return world.record(name, value)


def _link(world: "World", value: Any) -> Link:
    if isinstance(value, Link):
        return value
    return Link(value.index if isinstance(value, Item) else world.find(int(value)).index)
