"""Simulated activity: the sample company changes its work items in small, realistic steps."""

# ruff: noqa: PLR2004 - the probabilities are the content of this file; names for them would add nothing

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Protocol

from rally_sandbox import sample_names
from rally_sandbox.clock import Clock
from rally_sandbox.history_shapes import (
    COMPLETED,
    DEFECT,
    DEFECT_SUITE,
    DEFINED,
    FEATURE,
    IN_PROGRESS,
    INITIATIVE,
    RELEASED,
    STORY,
    TASK,
    defect_state,
)
from rally_sandbox.item_columns import KINDS, Columns
from rally_sandbox.records import Change, Item, Record
from rally_sandbox.sample_company import Company, Team
from rally_sandbox.transitions import DEFECT_STATES, state_position

#: Share of all items, from the newest back, among which the company picks the next one to change.
_RECENT_SHARE = 0.25


class RecycleBin(Protocol):
    """The part of a recycle bin that the simulated activity uses."""

    def entries(self, *, now: int) -> Iterator[Record]:
        """Return what a query sees at ``now`` (milliseconds)."""


class World(Protocol):
    """The part of a world that the simulated activity uses."""

    @property
    def company(self) -> Company:
        """The records around the work items."""

    @property
    def columns(self) -> Columns:
        """The arrays of all items."""

    @property
    def clock(self) -> Clock:
        """The simulated clock."""

    @property
    def recycle_bin(self) -> RecycleBin:
        """The recycle bin."""

    def item(self, index: int) -> Item:
        """Return the item at an index of ``columns``."""

    def team(self, item: Item) -> Team:
        """Return the team in whose project the item is."""

    def edit(self, object_id: int, fields: Mapping[str, Any], user: object = None) -> Change | None:
        """Save changed fields of one item; return the revision, or None without a change."""

    def create_item(self, kind: str, project: object = None, user: object = None, **fields: object) -> Item:
        """Create an item at the clock's now."""

    def delete(self, object_id: int, user: object = None) -> None:
        """Move an item to the recycle bin."""

    def restore(self, object_id: int, user: object = None) -> None:
        """Restore an item from the recycle bin."""


class Worker:
    """Random changes in a world, deterministic from the random generator and the world's state."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random

    def step(self) -> int:
        """Make one change; return the ObjectID of the item."""
        chance = self._random.random()
        if chance < 0.08:
            return self._create()
        item = self._some_item()
        user = self._random.choice(self._world.company.users)
        if chance < 0.10:
            self._world.delete(item.object_id, user)
            return item.object_id
        if chance < 0.12 and (restored := self._restore()) is not None:
            return restored
        for _ in range(20):
            # A random choice can change nothing, for example if it is the same owner.
            if self._world.edit(item.object_id, self._fields(item), user) is not None:
                break
        return item.object_id

    def _create(self) -> int:
        kind = self._random.choice((STORY, STORY, DEFECT))
        teams = [team for team in self._world.company.teams if self._is_worked_in(team.project)]
        team = self._random.choice(teams)
        return self._world.create_item(
            KINDS[kind], team.project, self._random.choice(self._world.company.users)
        ).object_id

    def _is_worked_in(self, project: Any) -> bool:
        return project.values["State"] == "Open" and project.workspace is self._world.company.workspaces[0]

    def _some_item(self) -> Item:
        columns = self._world.columns
        total = len(columns)
        oldest = int(total * (1 - _RECENT_SHARE))
        while True:
            index = self._random.randrange(oldest, total)
            project = self._world.company.teams[columns.team[index]].project
            if not columns.deleted[index] and self._is_worked_in(project):
                return self._world.item(index)
            # If no recent item qualifies, look further back.
            oldest = max(0, oldest - 1)

    def _restore(self) -> int | None:
        entries = list(self._world.recycle_bin.entries(now=self._world.clock.milliseconds()))
        if not entries:
            return None
        entry = self._random.choice(entries)
        self._world.restore(entry.values["ItemOID"], self._random.choice(self._world.company.users))
        return int(entry.values["ItemOID"])

    def _fields(self, item: Item) -> dict[str, Any]:
        kind = KINDS.index(item.type)
        if kind in {STORY, DEFECT, DEFECT_SUITE} and self._random.random() < 0.75:
            return self._progress(item)
        if kind == TASK and self._random.random() < 0.6:
            return {"State": self._random.choice(("Defined", "In-Progress", "Completed")), "ToDo": self._hours()}
        if kind in {FEATURE, INITIATIVE} and self._random.random() < 0.5:
            return {"State": self._random.choice(sample_names.FEATURE_STATES)}
        company = self._world.company
        return self._random.choice(
            (
                {"Owner": self._random.choice(company.users)},
                {"Name": f"{item.name[:200]} ({self._random.randrange(100)})"},
                {"Tags+": self._random.choice(company.tags)},
                {"Description": f"<p>Sample text {self._random.randrange(1000)}.</p>"},
                {"Ready": not item.values["Ready"]},
            )
        )

    def _hours(self) -> float:
        return float(self._random.randrange(0, 16))

    def _progress(self, item: Item) -> dict[str, Any]:  # noqa: PLR0911 - one table of chances
        chance = self._random.random()
        state = state_position(item.values["ScheduleState"])
        if item.values["Blocked"]:
            return {"Blocked": False, "BlockedReason": None}
        if chance < 0.10:
            return {"Blocked": True, "BlockedReason": self._random.choice(sample_names.REASONS)}
        if chance < 0.20:
            return {"PlanEstimate": self._random.choice(sample_names.POINTS)}
        if chance < 0.32:
            return {"Iteration": self._random.choice(self._world.team(item).sprints[-6:])}
        if chance < 0.36:
            return self._other_project()
        if state >= COMPLETED and chance < 0.5:
            return self._schedule_state_fields(item, self._random.choice((DEFINED, IN_PROGRESS)))
        return self._schedule_state_fields(item, min(state + 1, RELEASED))

    def _other_project(self) -> dict[str, Any]:
        teams = [team for team in self._world.company.teams if self._is_worked_in(team.project)]
        return {"Project": self._random.choice(teams).project}

    def _schedule_state_fields(self, item: Item, state: int) -> dict[str, Any]:
        fields: dict[str, Any] = {"ScheduleState": sample_names.SCHEDULE_STATES[state]}
        if item.type == KINDS[DEFECT]:
            fields["State"] = DEFECT_STATES[defect_state(DEFECT_STATES.index(item.values["State"]), state)]
        return fields
