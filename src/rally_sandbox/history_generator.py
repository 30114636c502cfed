"""Generator of one work item with its full history, from its shape and its entries in the arrays."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from random import Random
from typing import Any

from rally_sandbox import sample_names
from rally_sandbox.clock import DAY
from rally_sandbox.history_shapes import (
    DEFECT,
    DEFECT_SUITE,
    FEATURE,
    INITIATIVE,
    OPEN,
    STORY,
    TASK,
    TEST_CASE,
    Catalog,
)
from rally_sandbox.item_columns import KINDS, NO_ITEM, Columns, make_revision_id
from rally_sandbox.records import Change, FieldChange, Item, Link, Record, Values, apply_changes
from rally_sandbox.revision_text import LONGEST_VALUE, ORIGINAL
from rally_sandbox.sample_company import QUARTER, SPRINT, Company, Team
from rally_sandbox.sample_names import SCHEDULE_STATES
from rally_sandbox.transitions import (
    DEFECT_STATES,
    change_defect_state,
    change_project,
    change_schedule_state,
    get_first_flow_state,
)

TASK_STATES = ("Defined", "In-Progress", "Completed")

#: The attribute that refers to the item to which an item of a kind belongs.
PARENT_ATTRIBUTES = {
    STORY: "PortfolioItem",
    DEFECT: "Requirement",
    TASK: "WorkProduct",
    TEST_CASE: "WorkProduct",
    FEATURE: "Parent",
    INITIATIVE: "Parent",
}


@dataclass(frozen=True, slots=True)
class CreationContext:
    """The circumstances in which an item is created."""

    index: int
    team: Team
    creator: Record
    #: Milliseconds.
    at: int
    #: Position in ``SCHEDULE_STATES``.
    state: int


def create_initial_values(kind: int, context: CreationContext, company: Company) -> Values:
    """Create the values of a new item of a kind; the caller adds the name and the references."""
    values: Values = {
        "Name": "",
        "Description": "",
        "Notes": "",
        "Owner": None,
        "CreatedBy": context.creator,
        "Project": context.team.project,
        "Ready": False,
        "Expedite": False,
        "DisplayColor": "#21a2e0",
        # Scattered, so that the rank differs from the order of creation.
        "DragAndDropRank": (context.index * 2_654_435_761) & 0xFFFFFFFF,
        "Tags": (),
        "Milestones": (),
        "Recycled": False,
    }
    if kind in PARENT_ATTRIBUTES:
        values[PARENT_ATTRIBUTES[kind]] = None
    if kind == DEFECT_SUITE:
        values |= _schedulable_fields(context)
    elif kind == STORY:
        values |= {"Parent": None} | _schedulable_fields(context)
    elif kind == DEFECT:
        values |= _schedulable_fields(context) | _defect_fields(context)
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
            "StateChangedDate": context.at,
            "PlannedStartDate": None,
            "PlannedEndDate": None,
        }
    return values


def _schedulable_fields(context: CreationContext) -> Values:
    return {
        "ScheduleState": SCHEDULE_STATES[context.state],
        "FlowState": get_first_flow_state(context.team, context.state),
        "FlowStateChangedDate": context.at,
        "AcceptedDate": None,
        "InProgressDate": None,
        "PlanEstimate": None,
        "Iteration": None,
        "Release": None,
        "Blocked": False,
        "BlockedReason": None,
    }


def _defect_fields(context: CreationContext) -> Values:
    return {
        "State": DEFECT_STATES[0],
        "Priority": None,
        "Severity": None,
        "Resolution": None,
        "Environment": None,
        "SubmittedBy": context.creator,
        "OpenedDate": None,
        "ClosedDate": None,
    }


# ruff: noqa: PLR2004 - the probabilities are the content of this file; names for them would add nothing


SAMPLE_TEXT = "<p>Sample text {} &amp; <b>details</b>, for the {} team.</p>"
ENDINGS = ("(second try)", "[v2]", "& more", "for real", "<draft>")
COLORS = ("#21a2e0", "#df1a7b", "#fad200")


class ItemGenerator:
    """Generates items by index; the same index always gives the same item."""

    def __init__(self, seed: int, company: Company, catalog: Catalog, columns: Columns) -> None:
        self._seed = seed
        self._company = company
        self._catalog = catalog
        self._columns = columns
        # Reseeding one generator is faster than creating one for each item.
        self._random = Random()

    def generate(self, index: int) -> Item:
        """Generate the item at ``index`` with its generated history."""
        columns = self._columns
        random = self._random
        random.seed(self._seed * 0x9E3779B1 + index * 0x85EBCA6B + 1)
        kind = columns.kind[index]
        shape = self._catalog.shapes[columns.shape[index]]
        # The array has the item's current team; an item that was moved started in another team.
        team = self._company.teams[columns.team[index]]
        first_team = self._choose_other_team(team) if shape.moved else team
        created = columns.created[index]
        users = self._company.users
        creator = users[int(random.random() * len(users))]
        values = self._create_initial_values(
            index, kind, CreationContext(index, first_team, creator, created, shape.initial)
        )
        item = Item(
            index=index,
            type=KINDS[kind],
            object_id=columns.object_id[index],
            history_id=columns.history_id[index],
            created=created,
            workspace=team.workspace,
            values=values,
            initial=dict(values),
        )
        first = columns.revisions[index]
        changes = item.changes
        changes.append(Change(0, make_revision_id(first), created, creator, (), ORIGINAL))
        history = _ItemHistory(random, self._company, values, first_team, team)
        span = columns.updated[index] - created
        for number, (operations, when) in enumerate(zip(shape.steps, shape.when, strict=True), start=1):
            at = created + int(span * when)
            # Strictly after the previous change, even in the shortest history.
            at = max(at, changes[-1].at + 1) if number < len(shape.steps) else created + span
            sets: list[FieldChange] = []
            for name, old, new in operations:
                step_changes = tuple(_OPERATIONS[name](history, old, new, at))
                apply_changes(values, step_changes)
                sets.extend(step_changes)
            user = users[int(random.random() * len(users))] if random.random() < 0.4 else history.owner or creator
            changes.append(Change(number, make_revision_id(first + number), at, user, tuple(sets)))
        return item

    def _choose_other_team(self, team: Team) -> Team:
        # Flow states of one flavor have the same names, so that the text of a move contains only the move.
        others = [
            other
            for other in self._company.teams
            if other is not team and other.workspace is team.workspace and other.flavor == team.flavor
        ]
        return others[int(self._random.random() * len(others))]

    def _create_initial_values(self, index: int, kind: int, context: CreationContext) -> Values:
        random, columns = self._random, self._columns
        link, parent = columns.link[index], columns.parent[index]
        values = create_initial_values(kind, context, self._company)
        values["Name"] = generate_title(random, kind)
        values["Description"] = f"<p>{escape(random.choice(sample_names.THINGS))}: sample text.</p>"
        if link != NO_ITEM:
            values[PARENT_ATTRIBUTES[kind]] = Link(link)
        if parent != NO_ITEM:
            values["Parent"] = Link(parent)
        if kind == DEFECT:
            values["Environment"] = random.choice(sample_names.ENVIRONMENTS)
        return values


def generate_title(random: Random, kind: int) -> str:
    """Generate a name for an item of a kind."""
    thing = sample_names.THINGS[int(random.random() * len(sample_names.THINGS))]
    way = sample_names.WAYS[int(random.random() * len(sample_names.WAYS))]
    number = int(random.random() * 900) + 100
    match kind:
        case 0:
            return f"{random.choice(sample_names.VERBS)} {thing} {way}"
        case 1:
            return f"{random.choice(sample_names.FAULTS)} {thing} {way} (sample {number})"
        case 2:
            return f"{random.choice(sample_names.CHORES)} {thing}"
        case 3:
            return f"Check {thing} {way}"
        case _:
            return f"{random.choice(sample_names.THEMES)} {number}"


class _ItemHistory:
    """The state of one item's history, for the operations."""

    def __init__(self, random: Random, company: Company, values: Values, team: Team, home: Team) -> None:
        self.random = random
        self.company = company
        self.values = values
        self.team = team
        self.home = home
        self.count = 0

    @property
    def owner(self) -> Record | None:
        return self.values["Owner"]  # type: ignore[no-any-return]  # values are Any; an owner is a user or unset

    def pick(self, choices: Any) -> Any:
        return choices[int(self.random.random() * len(choices))]

    def pick_other(self, choices: Any, than: Any) -> Any:
        """Pick a choice that differs from the current one."""
        position = int(self.random.random() * len(choices))
        return choices[position] if choices[position] != than else choices[(position + 1) % len(choices)]


def _state(history: _ItemHistory, _: int, new: int, at: int) -> Iterable[FieldChange]:
    return change_schedule_state(history.values, history.team, new, at)


def _flow(history: _ItemHistory, _: int, __: int, at: int) -> Iterable[FieldChange]:
    values = history.values
    yield "FlowStateChangedDate", values["FlowStateChangedDate"], at
    # Position 3 is the second flow state for work in progress.
    yield "FlowState", values["FlowState"], history.team.flow[3]


def _defect(history: _ItemHistory, _: int, new: int, at: int) -> Iterable[FieldChange]:
    return change_defect_state(history.values, new, at, resolution=history.pick(sample_names.RESOLUTIONS))


def _triage(history: _ItemHistory, _: int, __: int, at: int) -> Iterable[FieldChange]:
    values = history.values
    yield "Priority", values["Priority"], history.pick(sample_names.PRIORITIES)
    yield "Severity", values["Severity"], history.pick(sample_names.SEVERITIES)
    yield "State", values["State"], DEFECT_STATES[OPEN]
    yield "OpenedDate", values["OpenedDate"], at


def _setter(
    name: str, choose: Callable[[_ItemHistory, Any, int], Any]
) -> Callable[[_ItemHistory, int, int, int], Iterable[FieldChange]]:
    def operation(history: _ItemHistory, _: int, __: int, at: int) -> Iterable[FieldChange]:
        old = history.values[name]
        return ((name, old, choose(history, old, at)),)

    return operation


def _timebox(boxes: list[Record], old: Record | None, at: int, length: int, first_day: str) -> Record:
    now = min(max((at - int(boxes[0].values[first_day])) // length, 0), len(boxes) - 1)
    if old is None:
        return boxes[now]
    position = bisect_left(boxes, old.object_id, key=lambda box: box.object_id)
    return boxes[position + 1] if position + 1 < len(boxes) else boxes[position - 1]


def _sprint(history: _ItemHistory, old: Record | None, at: int) -> Record:
    return _timebox(history.team.sprints, old, at, SPRINT, "StartDate")


def _release(history: _ItemHistory, old: Record | None, at: int) -> Record:
    return _timebox(history.team.releases, old, at, QUARTER, "ReleaseStartDate")


def _owner(history: _ItemHistory, old: Record | None, _: int) -> Record:
    users = history.company.users
    chosen = users[int(history.random.random() * len(users))]
    while old is not None and chosen.name == old.name:
        chosen = users[int(history.random.random() * len(users))]
    return chosen


def _rename(history: _ItemHistory, old: str, _: int) -> str:
    history.count += 1
    return f"{old} {ENDINGS[history.count % len(ENDINGS)]}"[:256]


def _describe(history: _ItemHistory, _: str, __: int) -> str:
    history.count += 1
    text = SAMPLE_TEXT.format(history.count, history.pick(sample_names.THEMES))
    # Sometimes longer than a revision text can contain (rally-api-notes.md#revision-texts).
    return text * (LONGEST_VALUE // len(text) + 1) if history.random.random() < 0.1 else text


def _tag(history: _ItemHistory, _: int, __: int, ___: int) -> Iterable[FieldChange]:
    present = history.values["Tags"]
    absent = [tag for tag in history.company.tags if tag not in present]
    return (("Tags", None, history.pick(absent)),)


def _untag(history: _ItemHistory, _: int, __: int, ___: int) -> Iterable[FieldChange]:
    return (("Tags", history.pick(history.values["Tags"]), None),)


def _milestone(history: _ItemHistory, _: int, __: int, ___: int) -> Iterable[FieldChange]:
    return (("Milestones", None, history.pick(history.company.milestones)),)


def _block(history: _ItemHistory, _: int, __: int, ___: int) -> Iterable[FieldChange]:
    return ("Blocked", False, True), ("BlockedReason", None, history.pick(sample_names.REASONS))


def _reason(history: _ItemHistory, _: int, __: int, ___: int) -> Iterable[FieldChange]:
    old = history.values["BlockedReason"]
    return (("BlockedReason", old, history.pick_other(sample_names.REASONS, old)),)


def _unblock(history: _ItemHistory, _: int, __: int, ___: int) -> Iterable[FieldChange]:
    return ("Blocked", True, False), ("BlockedReason", history.values["BlockedReason"], None)


def _rank(history: _ItemHistory, down: int, _: int, __: int) -> Iterable[FieldChange]:
    old = history.values["DragAndDropRank"]
    return (("DragAndDropRank", old, old + 4096 if down else old - 4096),)


def _move(history: _ItemHistory, _: int, __: int, ___: int) -> Iterable[FieldChange]:
    history.team = history.home
    return change_project(history.values, history.home)


def _hours(history: _ItemHistory, _: int, __: int, ___: int) -> Iterable[FieldChange]:
    hours = float(int(history.random.random() * 15) + 4)
    return ("Estimate", None, hours), ("ToDo", None, hours)


def _burn(history: _ItemHistory, _: int, __: int, ___: int) -> Iterable[FieldChange]:
    remaining, spent = history.values["ToDo"], history.values["Actuals"]
    return ("ToDo", remaining, remaining - 1.0), ("Actuals", spent, spent + 1.5)


def _task(history: _ItemHistory, _: int, new: int, __: int) -> Iterable[FieldChange]:
    values = history.values
    yield "State", values["State"], TASK_STATES[new]
    if new == len(TASK_STATES) - 1 and values["ToDo"] is not None:
        yield "ToDo", values["ToDo"], 0.0


def _phase(history: _ItemHistory, _: int, new: int, at: int) -> Iterable[FieldChange]:
    values = history.values
    yield "State", values["State"], history.company.feature_states[new]
    yield "StateChangedDate", values["StateChangedDate"], at


def _dates(_: _ItemHistory, __: int, ___: int, at: int) -> Iterable[FieldChange]:
    begin = at // DAY * DAY
    return ("PlannedStartDate", None, begin), ("PlannedEndDate", None, begin + 90 * DAY)


_OPERATIONS: dict[str, Callable[[_ItemHistory, int, int, int], Iterable[FieldChange]]] = {
    "state": _state,
    "flow": _flow,
    "defect": _defect,
    "triage": _triage,
    "estimate": _setter("PlanEstimate", lambda history, old, _: history.pick_other(sample_names.POINTS, old)),
    "owner": _setter("Owner", _owner),
    "sprint": _setter("Iteration", _sprint),
    "release": _setter("Release", _release),
    "rename": _setter("Name", _rename),
    "describe": _setter("Description", _describe),
    "color": _setter("DisplayColor", lambda history, old, _: history.pick_other(COLORS, old)),
    "tag": _tag,
    "untag": _untag,
    "milestone": _milestone,
    "block": _block,
    "reason": _reason,
    "unblock": _unblock,
    "rank": _rank,
    "move": _move,
    "hours": _hours,
    "burn": _burn,
    "task": _task,
    "phase": _phase,
    "dates": _dates,
    "recycle": lambda *_: (("Recycled", False, True),),
    "recover": lambda *_: (("Recycled", True, False),),
}
