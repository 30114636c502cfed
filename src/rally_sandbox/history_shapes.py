"""Shapes of item histories: which kinds of change an item goes through, without the values.

A world has a catalog of several hundred shapes, and each item follows one. The number of an item's revisions and
the words in their texts are thus known without generating the item. Therefore a world of a million items can count
the revisions that match a query.
"""

# ruff: noqa: PLR2004 - the probabilities are the content of this file; names for them would add nothing

from dataclasses import dataclass
from functools import lru_cache
from random import Random

from rally_sandbox.revision_text import LABELS, ORIGINAL

#: An operation of ``history_generator.py`` with its fixed arguments.
Operation = tuple[str, int, int]
Step = tuple[Operation, ...]

IDEA, DEFINED, IN_PROGRESS, COMPLETED, ACCEPTED, RELEASED = range(6)

STORY, DEFECT, TASK, TEST_CASE, FEATURE, INITIATIVE = range(6)
#: Created on request only: the generated history contains none.
DEFECT_SUITE = 6

SUBMITTED, OPEN, FIXED, CLOSED = range(4)


def defect_state(old: int, schedule_state: int) -> int:
    """Return a defect's State after its ScheduleState changes to ``schedule_state``."""
    if schedule_state >= ACCEPTED:
        return CLOSED
    if schedule_state == COMPLETED:
        return FIXED
    return OPEN if old >= FIXED else old


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of one item's history."""

    #: ScheduleState at creation for stories and defects.
    initial: int
    steps: tuple[Step, ...]
    #: When each step happens, ascending in (0, 1]; the last is 1, the time of the last change.
    when: tuple[float, ...]
    #: For each revision, starting with 0, the constant prefixes of its clauses: label and verb.
    clause_prefixes: tuple[tuple[str, ...], ...]
    #: Approximate length of the history, in days.
    days: float
    moved: bool
    deleted: bool


@dataclass(frozen=True, slots=True)
class Catalog:
    """The shapes of a world; items refer to them by position."""

    shapes: tuple[Shape, ...]
    #: Per kind: positions of the shapes of finished items, and of items in progress.
    finished: tuple[range, ...]
    running: tuple[range, ...]


#: How many shapes there are of each kind: finished, running.
_SIZES = {
    STORY: (260, 140),
    DEFECT: (200, 100),
    TASK: (80, 50),
    TEST_CASE: (30, 20),
    FEATURE: (60, 60),
    INITIATIVE: (20, 20),
}


@lru_cache(maxsize=8)
def create_catalog(seed: int) -> Catalog:
    """Create the shapes of a seed."""
    random = Random(seed * 104_729 + 3)
    shapes: list[Shape] = []
    finished: list[range] = []
    running: list[range] = []
    for kind, (over, open_) in _SIZES.items():
        for ranges, count, done in ((finished, over, True), (running, open_, False)):
            begin = len(shapes)
            shapes.extend(_ShapeGenerator(random, kind, done=done).generate() for _ in range(count))
            ranges.append(range(begin, len(shapes)))
    return Catalog(tuple(shapes), tuple(finished), tuple(running))


class _ShapeGenerator:
    """Generates one shape, with the state that decides which operations are possible."""

    def __init__(self, random: Random, kind: int, *, done: bool) -> None:
        self._random = random
        self._kind = kind
        self._done = done
        self._steps: list[Step] = []
        self._clause_prefixes: list[tuple[str, ...]] = [(ORIGINAL,)]
        self._set: set[str] = set()
        self._state = DEFINED
        self._defect = SUBMITTED
        self._moved = False

    def generate(self) -> Shape:
        self._state = initial = self._random.choice((IDEA, DEFINED, DEFINED))
        match self._kind:
            case 0 | 1:
                self._schedulable()
            case 2:
                self._task()
            case 3:
                self._add_noise(self._random.randrange(1, 6), _QUIET)
            case _:
                self._portfolio()
        deleted = False
        if self._random.random() < 0.012 and self._steps:
            self._add_step(("recycle", 0, 0))
            self._add_step(("recover", 0, 0))
            self._add_noise(1, _QUIET)
        if self._kind < FEATURE and self._random.random() < 0.02:
            self._add_step(("recycle", 0, 0))
            deleted = True
        while not self._steps:
            self._add_noise(1, _QUIET)
        total = len(self._steps)
        cuts = sorted(self._random.uniform(0.02, 0.98) for _ in range(total - 1))
        return Shape(
            initial=initial,
            steps=tuple(self._steps),
            when=(*cuts, 1.0),
            clause_prefixes=tuple(self._clause_prefixes),
            days=self._random.uniform(3, 60) * (3 if self._kind >= FEATURE else 1),
            moved=self._moved,
            deleted=deleted,
        )

    def _schedulable(self) -> None:
        chance = self._random
        target = chance.choice((ACCEPTED, ACCEPTED, RELEASED)) if self._done else chance.randrange(IDEA, COMPLETED + 1)
        if self._kind == DEFECT and chance.random() < 0.8:
            self._defect = OPEN
            self._add_step(("triage", 0, 0))
        self._add_noise(chance.randrange(0, 4), _PLANNING)
        reopened = 0
        while self._state < target:
            self._forward()
            if self._state == IN_PROGRESS:
                self._working()
            self._add_noise(chance.choice((0, 0, 1)), _LATER)
            if self._state in {COMPLETED, ACCEPTED} and reopened < 2 and chance.random() < 0.22:
                reopened += 1
                self._transition(chance.choice((IN_PROGRESS, IN_PROGRESS, DEFINED)))
        self._add_noise(chance.choice((0, 0, 1)), _LATER)

    def _forward(self) -> None:
        step = 2 if self._state == DEFINED and self._random.random() < 0.05 else 1
        self._transition(min(self._state + step, RELEASED))

    def _transition(self, state: int) -> None:
        old, self._state = self._state, state
        more: list[Operation] = []
        if self._random.random() < 0.25:
            more.append(("rank", self._random.choice((0, 1)), 0))
        if self._kind == DEFECT:
            before, self._defect = self._defect, defect_state(self._defect, state)
            if before != self._defect:
                more.append(("defect", before, self._defect))
        self._add_step(("state", old, state), *more)

    def _working(self) -> None:
        chance = self._random
        if chance.random() < 0.5:
            self._add_step(("flow", 0, 0))
        if chance.random() < 0.2:
            self._add_step(("block", 0, 0))
            if chance.random() < 0.3:
                self._add_step(("reason", 0, 0))
            if chance.random() < 0.95:
                self._add_step(("unblock", 0, 0))
            else:
                self._set.add("blocked")

    def _task(self) -> None:
        chance = self._random
        target = 2 if self._done else chance.choice((0, 0, 1))
        if chance.random() < 0.7:
            self._add_step(("hours", 0, 0))
        self._add_noise(chance.randrange(0, 2), ("owner", "rename", "rank"))
        for state in range(target):
            self._add_step(("task", state, state + 1))
            if state == 0:
                for _ in range(chance.randrange(0, 3) if "hours" in self._set else 0):
                    self._add_step(("burn", 0, 0))

    def _portfolio(self) -> None:
        chance = self._random
        target = 3 if self._done else chance.randrange(0, 3)
        self._add_noise(chance.randrange(1, 3), ("owner", "tag", "rename", "dates", "describe"))
        for state in range(target):
            self._add_step(("phase", state, state + 1))
            self._add_noise(chance.choice((0, 1)), _QUIET)

    def _add_noise(self, count: int, choices: tuple[str, ...]) -> None:
        for _ in range(count):
            name = self._random.choice(choices)
            if name == "move" and (self._moved or self._random.random() < 0.5):
                continue
            self._add_step((name, self._random.choice((0, 1)), 0))

    def _add_step(self, *operations: Operation) -> None:
        clause_prefixes: list[str] = []
        applied: list[Operation] = []
        for operation in operations:
            prefixes = self._apply_operation(operation)
            if prefixes is not None:
                applied.append(operation)
                clause_prefixes += prefixes
        if applied:
            self._steps.append(tuple(applied))
            self._clause_prefixes.append(tuple(clause_prefixes))

    def _apply_operation(self, operation: Operation) -> list[str] | None:
        """Apply an operation; return the prefixes of its clauses, or None if it is impossible now."""
        name, old, new = operation
        if name == "state":
            return self._schedule_state_prefixes(old, new)
        if name == "move":
            self._moved = True
            prefixes = [_change_prefix("Project")]
            for attribute_name in ("Iteration", "Release"):
                if attribute_name in self._set:
                    self._set.discard(attribute_name)
                    prefixes.append(_removal_prefix(attribute_name))
            return prefixes
        if name in _SETTERS:
            attribute = _SETTERS[name]
            is_set = attribute in self._set
            self._set.add(attribute)
            return [_change_prefix(attribute) if is_set or attribute in _NEVER_ADDED else _addition_prefix(attribute)]
        if name in _AT_MOST_ONCE:
            after = _AT_MOST_ONCE[name]
            if name in self._set or (after and after not in self._set):
                return None
            self._set.add(name)
        if name == "tag":
            self._set.add("Tags")
        return _stateless_prefixes(operation, has_hours="hours" in self._set)

    def _schedule_state_prefixes(self, old: int, new: int) -> list[str]:
        prefixes = [
            _change_prefix("ScheduleState"),
            _change_prefix("FlowStateChangedDate"),
            _change_prefix("FlowState"),
        ]
        if (old >= ACCEPTED) != (new >= ACCEPTED):
            prefixes.append((_addition_prefix if new >= ACCEPTED else _removal_prefix)("AcceptedDate"))
        if (old >= IN_PROGRESS) != (new >= IN_PROGRESS):
            prefixes.append((_addition_prefix if new >= IN_PROGRESS else _removal_prefix)("InProgressDate"))
        return prefixes


_PLANNING = ("estimate", "owner", "sprint", "release", "rename", "describe", "tag", "move", "color", "rank")
_LATER = ("sprint", "owner", "tag", "untag", "rename", "rank", "milestone", "move", "estimate", "describe")
_QUIET = ("owner", "rename", "describe", "tag", "untag", "rank")

#: Operations that set one attribute; only a move unsets it.
_SETTERS = {
    "estimate": "PlanEstimate",
    "owner": "Owner",
    "sprint": "Iteration",
    "release": "Release",
    "rename": "Name",
    "describe": "Description",
    "color": "DisplayColor",
}
_NEVER_ADDED = frozenset({"Owner", "Name", "Description", "DisplayColor"})

#: Operations that happen at most once per item, with the attribute that must be set first.
_AT_MOST_ONCE = {"untag": "Tags", "milestone": "", "dates": "", "hours": "", "triage": ""}


def _change_prefix(name: str) -> str:
    return f"{LABELS[name]} changed from ["


def _addition_prefix(name: str) -> str:
    return f"{LABELS[name]} added ["


def _removal_prefix(name: str) -> str:
    return f"{LABELS[name]} removed ["


_CLAUSE_PREFIXES = {
    "flow": (_change_prefix("FlowStateChangedDate"), _change_prefix("FlowState")),
    "block": (_change_prefix("Blocked"), "BLOCKED REASON changed to ["),
    "reason": (_change_prefix("BlockedReason"),),
    "unblock": (_change_prefix("Blocked"), _removal_prefix("BlockedReason")),
    "triage": (
        _change_prefix("Priority"),
        _change_prefix("Severity"),
        _change_prefix("State"),
        _addition_prefix("OpenedDate"),
    ),
    "tag": (_addition_prefix("Tags"),),
    "untag": (_removal_prefix("Tags"),),
    "milestone": (_addition_prefix("Milestones"),),
    "hours": (_addition_prefix("Estimate"), _addition_prefix("ToDo")),
    "burn": (_change_prefix("ToDo"), _change_prefix("Actuals")),
    "phase": (_change_prefix("State"), _change_prefix("StateChangedDate")),
    "dates": (_addition_prefix("PlannedStartDate"), _addition_prefix("PlannedEndDate")),
    "recycle": ("Moved to Recycle Bin",),
    "recover": ("Recovered from Recycle Bin",),
}
_TASK_DONE = 2


def _stateless_prefixes(operation: Operation, *, has_hours: bool) -> list[str]:
    """Return the clause prefixes of an operation that depends on earlier ones only for a task's hours."""
    name, old, new = operation
    if name == "rank":
        return ["RANK moved down" if old else "RANK moved up"]
    if name == "task":
        return [_change_prefix("State"), *([_change_prefix("ToDo")] if new == _TASK_DONE and has_hours else [])]
    if name == "defect":
        prefixes = [_change_prefix("State")]
        if (old >= FIXED) != (new >= FIXED):
            prefixes.append(_change_prefix("Resolution"))
        if (old == CLOSED) != (new == CLOSED):
            prefixes.append((_addition_prefix if new == CLOSED else _removal_prefix)("ClosedDate"))
        return prefixes
    return list(_CLAUSE_PREFIXES[name])
