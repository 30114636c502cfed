"""What a work item of each kind begins with."""

from dataclasses import dataclass

from rally_sandbox.company import Company, Team
from rally_sandbox.names import SCHEDULE_STATES
from rally_sandbox.records import Record, Values
from rally_sandbox.shapes import DEFECT, DEFECT_SUITE, FEATURE, INITIATIVE, STORY, TASK, TEST_CASE
from rally_sandbox.transitions import DEFECT_STATES, first_flow

TASK_STATES = ("Defined", "In-Progress", "Completed")

#: The attribute by which an item of a kind refers to what it belongs to.
OWNERS = {
    STORY: "PortfolioItem",
    DEFECT: "Requirement",
    TASK: "WorkProduct",
    TEST_CASE: "WorkProduct",
    FEATURE: "Parent",
    INITIATIVE: "Parent",
}


@dataclass(frozen=True, slots=True)
class Beginning:
    """The circumstances in which an item is made."""

    index: int
    team: Team
    creator: Record
    #: Milliseconds.
    at: int
    #: Position in ``SCHEDULE_STATES``.
    state: int


def first_values(kind: int, begin: Beginning, company: Company) -> Values:
    """The values of a new item of a kind; who makes it adds the name and the references."""
    values: Values = {
        "Name": "",
        "Description": "",
        "Notes": "",
        "Owner": None,
        "CreatedBy": begin.creator,
        "Project": begin.team.project,
        "Ready": False,
        "Expedite": False,
        "DisplayColor": "#21a2e0",
        # Scattered, so that rank is no order of creation.
        "DragAndDropRank": (begin.index * 2_654_435_761) & 0xFFFFFFFF,
        "Tags": (),
        "Milestones": (),
        "Recycled": False,
    }
    if kind in OWNERS:
        values[OWNERS[kind]] = None
    if kind == DEFECT_SUITE:
        values |= _schedulable(begin)
    elif kind == STORY:
        values |= {"Parent": None} | _schedulable(begin)
    elif kind == DEFECT:
        values |= _schedulable(begin) | _defect(begin)
    elif kind == TASK:
        values |= {
            "State": TASK_STATES[0],
            "Estimate": None,
            "ToDo": None,
            "Actuals": 0.0,
            "Blocked": False,
            "BlockedReason": None,
        }
    elif kind == TEST_CASE:
        values |= {"Method": "Manual", "Type": "Acceptance", "Priority": "Useful"}
    else:
        # A portfolio item's State is an object (rally-api-notes.md#states-and-choices).
        values |= {
            "State": company.feature_states[0],
            "StateChangedDate": begin.at,
            "PlannedStartDate": None,
            "PlannedEndDate": None,
        }
    return values


def _schedulable(begin: Beginning) -> Values:
    return {
        "ScheduleState": SCHEDULE_STATES[begin.state],
        "FlowState": first_flow(begin.team, begin.state),
        "FlowStateChangedDate": begin.at,
        "AcceptedDate": None,
        "InProgressDate": None,
        "PlanEstimate": None,
        "Iteration": None,
        "Release": None,
        "Blocked": False,
        "BlockedReason": None,
    }


def _defect(begin: Beginning) -> Values:
    return {
        "State": DEFECT_STATES[0],
        "Priority": None,
        "Severity": None,
        "Resolution": None,
        "Environment": None,
        "SubmittedBy": begin.creator,
        "OpenedDate": None,
        "ClosedDate": None,
    }
