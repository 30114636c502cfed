"""What follows when a work item changes its ScheduleState, its flow state or its project, in the past and now."""

from collections.abc import Iterator
from typing import Any

from rally_sandbox.history_shapes import ACCEPTED, CLOSED, FIXED, IN_PROGRESS
from rally_sandbox.records import FieldChange, Values
from rally_sandbox.sample_company import Team
from rally_sandbox.sample_names import SCHEDULE_STATES

#: The first flow state for each ScheduleState, by position; every flavour has the same pattern.
_FIRST_FLOW = (0, 1, 2, 4, 5, 6)
DEFECT_STATES = ("Submitted", "Open", "Fixed", "Closed")


_ORDER = {state: position for position, state in enumerate(SCHEDULE_STATES)}


def state_position(state: str) -> int:
    """The position of a ScheduleState by name.

    Raises:
        KeyError: It is none.
    """
    return _ORDER[state]


def get_first_flow_state(team: Team, state: int) -> Any:
    """The flow state that a ScheduleState brings by itself."""
    return team.flow[_FIRST_FLOW[state]]


def change_schedule_state(values: Values, team: Team, new: int, at: int, *, flow: Any = None) -> list[FieldChange]:
    """The sets of a change of ScheduleState (rally-api-notes.md#revision-examples)."""
    before = values["ScheduleState"]
    old = state_position(before)
    sets: list[FieldChange] = [] if old == new else [("ScheduleState", before, SCHEDULE_STATES[new])]
    sets.append(("FlowStateChangedDate", values["FlowStateChangedDate"], at))
    sets.append(("FlowState", values["FlowState"], flow if flow is not None else get_first_flow_state(team, new)))
    # Only a step over a limit sets or removes a date.
    if (old >= ACCEPTED) != (new >= ACCEPTED):
        sets.append(("AcceptedDate", values["AcceptedDate"], at if new >= ACCEPTED else None))
    if (old >= IN_PROGRESS) != (new >= IN_PROGRESS):
        sets.append(("InProgressDate", values["InProgressDate"], at if new >= IN_PROGRESS else None))
    return sets


def change_defect_state(values: Values, new: int, at: int, *, resolution: str | None) -> Iterator[FieldChange]:
    """The sets of a change of a defect's State; ``resolution`` is what a fix is called."""
    old = DEFECT_STATES.index(values["State"])
    yield "State", values["State"], DEFECT_STATES[new]
    if (old >= FIXED) != (new >= FIXED):
        yield "Resolution", values["Resolution"], resolution if new >= FIXED else None
    if (old == CLOSED) != (new == CLOSED):
        yield "ClosedDate", values["ClosedDate"], at if new == CLOSED else None


def change_project(values: Values, team: Team) -> Iterator[FieldChange]:
    """The sets of a move: timeboxes belong to one project and are lost, the flow state becomes the new project's.

    Assumed, see rally-api-notes.md#timeboxes.
    """
    yield "Project", values["Project"], team.project
    for name in ("Iteration", "Release"):
        if values.get(name) is not None:
            yield name, values[name], None
    flow = values.get("FlowState")
    if flow is not None:
        yield "FlowState", flow, team.flow[flow.values["OrderIndex"]]
