"""Field changes that accompany a change of a work item's ScheduleState, flow state or project."""

from collections.abc import Iterator
from typing import Any

from rally_sandbox.history_shapes import ACCEPTED, CLOSED, FIXED, IN_PROGRESS
from rally_sandbox.records import FieldChange, Values
from rally_sandbox.sample_company import Team
from rally_sandbox.sample_names import SCHEDULE_STATES

#: The first flow state for each ScheduleState, by position; every flavor has the same pattern.
_FIRST_FLOW = (0, 1, 2, 4, 5, 6)
DEFECT_STATES = ("Submitted", "Open", "Fixed", "Closed")


_ORDER = {state: position for position, state in enumerate(SCHEDULE_STATES)}


def state_position(state: str) -> int:
    """Return the position of a ScheduleState by name.

    Raises:
        KeyError: The name is unknown.
    """
    return _ORDER[state]


def get_first_flow_state(team: Team, state: int) -> Any:
    """Return the first flow state of a ScheduleState."""
    return team.flow[_FIRST_FLOW[state]]


def change_schedule_state(values: Values, team: Team, new: int, at: int, *, flow: Any = None) -> list[FieldChange]:
    """Return the field changes of a change of ScheduleState (rally-api-notes.md#revision-examples)."""
    before = values["ScheduleState"]
    old = state_position(before)
    changes: list[FieldChange] = [] if old == new else [("ScheduleState", before, SCHEDULE_STATES[new])]
    changes.append(("FlowStateChangedDate", values["FlowStateChangedDate"], at))
    changes.append(("FlowState", values["FlowState"], flow if flow is not None else get_first_flow_state(team, new)))
    # The dates change only if a change crosses the respective state.
    if (old >= ACCEPTED) != (new >= ACCEPTED):
        changes.append(("AcceptedDate", values["AcceptedDate"], at if new >= ACCEPTED else None))
    if (old >= IN_PROGRESS) != (new >= IN_PROGRESS):
        changes.append(("InProgressDate", values["InProgressDate"], at if new >= IN_PROGRESS else None))
    return changes


def change_defect_state(values: Values, new: int, at: int, *, resolution: str | None) -> Iterator[FieldChange]:
    """Yield the field changes of a change of a defect's State; ``resolution`` is that of a fixed defect."""
    old = DEFECT_STATES.index(values["State"])
    yield "State", values["State"], DEFECT_STATES[new]
    if (old >= FIXED) != (new >= FIXED):
        yield "Resolution", values["Resolution"], resolution if new >= FIXED else None
    if (old == CLOSED) != (new == CLOSED):
        yield "ClosedDate", values["ClosedDate"], at if new == CLOSED else None


def change_project(values: Values, team: Team) -> Iterator[FieldChange]:
    """Yield the field changes of a move: timeboxes are unset, and the flow state becomes that of the new project.

    Assumed, see rally-api-notes.md#timeboxes.
    """
    yield "Project", values["Project"], team.project
    for name in ("Iteration", "Release"):
        if values.get(name) is not None:
            yield name, values[name], None
    flow = values.get("FlowState")
    if flow is not None:
        yield "FlowState", flow, team.flow[flow.values["OrderIndex"]]
