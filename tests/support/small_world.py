"""A source and a sink so small that every history of them can be enumerated.

Every call that the engine makes is a *moment*. At a moment the world may change, and the process may die: ``Crash`` is
no error of the product and travels through everything, as a kill would. Time is the number of moments.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rally_accelerate.accelerate.payload import READ_BACK, READ_BACK_LISTS, Retirement, item_in
from rally_accelerate.model.issue import Issue, SourceRevision
from rally_accelerate.model.progress import Progress, Sent, Walk, Window
from rally_accelerate.model.report import Acknowledgement, Skipped, Usage
from rally_accelerate.rally.records import (
    NamesPage,
    Page,
    Project,
    Record,
    RecycleBinEntry,
    Scope,
    TimeboxFacts,
    WorkItem,
    Workspace,
)
from rally_accelerate.rally.removed_item_values import RemovedItem
from rally_accelerate.sync.state import MemoryState

KIND = "hierarchicalrequirement"
#: More people are read one by one.
MANY_PEOPLE = 2
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Item:
    """One work item: its name is its content."""

    name: str = "A"
    version: int = 1
    changed: int = 0
    project: int = 1
    #: 0 is none.
    sprint: int = 0
    #: 0 is none.
    owner: int = 0


@dataclass
class Sprint:
    """A timebox: when it ends, in moments, and what it is called."""

    name: str = "Sprint"
    end: int = 1_000_000
    changed: int = 0


@dataclass
class World:
    """The truth, its clock, and what is going to happen to it."""

    items: dict[int, Item] = field(default_factory=lambda: {1: Item(), 2: Item()})
    moment: int = 0
    #: Sprints by id.
    sprints: dict[int, Sprint] = field(default_factory=dict)
    #: What people and projects are called, by id; other projects are called P and their id.
    people: dict[int, str] = field(default_factory=dict)
    projects: dict[int, str] = field(default_factory=dict)
    #: What happens at which moment.
    script: Mapping[int, Sequence[Callable[["World"], None]]] = field(default_factory=dict)
    crash_at: int | None = None
    #: When which deleted item was deleted, and what it was.
    bin: dict[int, int] = field(default_factory=dict)
    binned: dict[int, Item] = field(default_factory=dict)
    #: How many moments a change stays invisible to queries by date.
    lag: int = 0

    def tick(self) -> None:
        """One moment passes: what is scripted happens, and then perhaps the end."""
        self.moment += 1
        for happen in self.script.get(self.moment, ()):
            happen(self)
        if self.crash_at == self.moment:
            raise Crash

    @property
    def now(self) -> datetime:
        """The world's clock."""
        return EPOCH + timedelta(seconds=self.moment)

    def edit(self, key: int) -> None:
        """Change an item's name from A to B or from B to A."""
        if item := self.items.get(key):
            item.name = "B" if item.name == "A" else "A"
            item.version += 1
            item.changed = self.moment

    def create(self, key: int) -> None:
        """A new item appears."""
        self.items.setdefault(key, Item(changed=self.moment))

    def rename_sprint(self, key: int) -> None:
        """Call a sprint something else; no item changes by that."""
        sprint = self.sprints[key]
        sprint.name, sprint.changed = f"{sprint.name} again", self.moment

    def get_project_name(self, key: int) -> str:
        """What a project is called."""
        return self.projects.get(key, f"P{key}")

    def delete(self, key: int) -> None:
        """An item disappears from every answer."""
        if item := self.items.pop(key, None):
            self.bin[key] = self.moment
            self.binned[key] = item

    def restore(self, key: int) -> None:
        """A deleted item comes back, as a new revision."""
        if item := self.binned.pop(key, None):
            item.version += 1
            item.changed = self.moment
            self.items[key] = item
            self.bin.pop(key, None)

    def move(self, key: int) -> None:
        """An item goes to the other project."""
        if item := self.items.get(key):
            item.project = 3 - item.project
            item.version += 1
            item.changed = self.moment


class SmallSource:
    """Pages of one item: the worst case for anything that happens between pages."""

    def __init__(self, world: World, *, projects: int = 0) -> None:
        self.world = world
        self.usage = Usage()
        self._count = projects

    @property
    def _projects(self) -> tuple[Project, ...]:
        numbers = range(1, self._count + 1)
        return tuple(Project(object_id=number, name=self.world.get_project_name(number)) for number in numbers)

    async def open(self) -> Scope:
        """The scope, and the world's clock."""
        self.world.tick()
        return Scope(
            workspace=Workspace(object_id=9, name="W"),
            projects=self._projects,
            kinds=(KIND,),
            query="",
            now=self.world.now,
            names={project.object_id: project.name for project in self._projects},
        )

    async def read_changes(self, scope: Scope, walk: Walk) -> AsyncIterator[Page]:
        """A keyset walk, one item a page, until an empty page."""
        assert walk.kind in scope.kinds
        after = walk.after
        while True:
            self.world.tick()
            key = min((key for key in self.world.items if key > after and self.matches(key, walk)), default=None)
            if key is None:
                yield Page(records=(), after=after, last=True, remaining=0)
                return
            after = key
            yield Page(records=(self.record(key),), after=after, last=False, remaining=1)

    def matches(self, key: int, walk: Walk) -> bool:
        """Whether an item belongs to a walk right now."""
        item = self.world.items[key]
        if walk.only:
            return key in walk.only
        carried = {"Iteration": item.sprint, "Owner": item.owner, "Project": item.project}
        if walk.carrying and carried[walk.field] not in walk.carrying:
            return False
        visible_from = EPOCH + timedelta(seconds=item.changed + self.world.lag)
        since = walk.window.since
        recent = since is None or EPOCH + timedelta(seconds=item.changed) >= since
        return recent and visible_from <= self.world.now and (not walk.projects or item.project in walk.projects)

    def record(self, key: int) -> Record:
        """What an item looks like right now."""
        item = self.world.items[key]
        return Record(
            kind=KIND,
            object_id=key,
            revision=SourceRevision(EPOCH + timedelta(seconds=item.changed), item.version),
            fields={
                "FormattedID": f"US{key}",
                "Name": item.name,
                "Project": {"ObjectID": item.project, "Name": self.world.get_project_name(item.project)},
                **({"Iteration": self._iteration(item.sprint)} if item.sprint else {}),
                **({"Owner": self._person(item.owner)} if item.owner else {}),
            },
        )

    def _iteration(self, key: int) -> dict[str, Any]:
        sprint = self.world.sprints[key]
        start, end = (instant.isoformat() for instant in (EPOCH, EPOCH + timedelta(seconds=sprint.end)))
        return {"ObjectID": key, "Name": sprint.name, "StartDate": start, "EndDate": end}

    def _person(self, key: int) -> dict[str, Any]:
        return {"_ref": f"/user/{key}", "ObjectID": key, "DisplayName": self.world.people[key]}

    async def timeboxes(self, scope: Scope, field: str, *, since: datetime, passed: Window) -> list[TimeboxFacts]:
        """Return the sprints that changed or ended."""
        del scope
        self.world.tick()
        changed_sprints = []
        for key, sprint in self.world.sprints.items() if field == "Iteration" else ():
            changed, end = (EPOCH + timedelta(seconds=moment) for moment in (sprint.changed, sprint.end))
            ended = passed.since is not None and passed.until is not None and passed.since <= end <= passed.until
            if changed >= since or ended:
                changed_sprints.append(TimeboxFacts(key, sprint.name, None, EPOCH, end, f"{sprint.name}{sprint.end}"))
        return changed_sprints

    async def names(self, scope: Scope, kind: str, ids: Sequence[int], *, after: int) -> NamesPage:
        """Return everybody, one by one if there are many."""
        del scope
        assert (kind, ids) == ("people", sorted(ids))
        self.world.tick()
        if len(ids) <= MANY_PEOPLE:
            return NamesPage({key: self.world.people[key] for key in ids})
        key = min(key for key in self.world.people if key > after)
        return NamesPage({key: self.world.people[key]}, 0 if key == max(self.world.people) else key)

    async def find_departed(self, scope: Scope, field: str, timeboxes: Sequence[int]) -> set[int]:
        """No item has a past."""
        del scope, field, timeboxes
        return set()

    def count_fitting(self, records: Sequence[Record]) -> int:
        """Each page's items by themselves."""
        return len(records)

    def notices(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def value_notices(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    async def count(self, scope: Scope, kind: str, *, since: datetime | None = None) -> int:
        """How many items the scope shows."""
        del scope, kind
        items = self.world.items.items()
        seconds = (since - EPOCH).total_seconds() if since else 0
        return sum(self.in_scope(key) and item.changed >= seconds for key, item in items)

    async def projects(self) -> tuple[Workspace, tuple[Project, ...]]:
        """Everything is visible."""
        return Workspace(object_id=9, name="W"), self._projects

    def in_scope(self, key: int) -> bool:
        """Whether an item belongs to the projects that are read."""
        projects = {project.object_id for project in self._projects}
        return key in self.world.items and (not projects or self.world.items[key].project in projects)

    async def find_visible(self, scope: Scope, ids: Sequence[int] | None = None) -> set[int]:
        """What is there, in one answer."""
        self.world.tick()
        return {key for key in self.world.items if self.in_scope(key) and (ids is None or key in ids)}

    async def read_recycle_bin(self, scope: Scope, since: datetime) -> list[RecycleBinEntry]:
        """What was deleted, and lies there still."""
        self.world.tick()
        return [
            RecycleBinEntry(key, EPOCH + timedelta(seconds=moment), "Sample User")
            for key, moment in self.world.bin.items()
            if key not in self.world.items and EPOCH + timedelta(seconds=moment) >= since
        ]

    async def recover_removed(
        self, scope: Scope, removed: Mapping[int, datetime], *, commented: Collection[int]
    ) -> Mapping[int, RemovedItem]:
        """What is elsewhere can be read; of the rest nothing is left."""
        self.world.tick()
        return {
            key: RemovedItem(item=WorkItem(record=self.record(key)), lists_comments=True)
            if key in self.world.items
            else RemovedItem(reason="nothing is left")
            for key in removed
        }

    async def find_moved(self, scope: Scope, ids: Sequence[int]) -> Mapping[int, str]:
        """What is in a project that is not read."""
        self.world.tick()
        return {key: f"P{self.world.items[key].project}" for key in ids if key in self.world.items}

    async def history(self, scope: Scope, records: Sequence[Record]) -> list[WorkItem]:
        """No past."""
        # Nobody asks for nothing.
        assert records
        assert {record.kind for record in records} <= set(scope.kinds)
        self.world.tick()
        return [WorkItem(record=record) for record in records]


class SmallSink:
    """Keeps what it is given; one parcel per issue."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.usage = Usage()
        self.stored: dict[str, Issue] = {}
        self.uploads = 0
        self.retired: dict[str, Retirement] = {}

    async def open(self) -> None:
        """Nothing to do."""

    async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
        """Take the issues one by one; the process may die before and after each."""
        for issue in issues:
            self.world.tick()
            self.stored[issue.external_id] = issue
            self.uploads += 1
            self.world.tick()
            yield Acknowledgement(delivered=(issue.external_id,))

    async def retire(self, retirements: Sequence[Retirement]) -> AsyncIterator[Acknowledgement]:
        """Give issues another status; the process may die before and after each."""
        for retirement in retirements:
            self.world.tick()
            self.retired[retirement.external_id] = retirement
            if retirement.external_id in self.stored:
                self.stored[retirement.external_id] = replace(
                    self.stored[retirement.external_id], status=retirement.status
                )
            self.world.tick()
            yield Acknowledgement(delivered=(retirement.external_id,))

    async def read_back(
        self, external_ids: Sequence[str], *, projects: Sequence[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """What a real server returns: no history, comments, raw issue or relations."""
        self.world.tick()
        names = (*READ_BACK, *READ_BACK_LISTS, "releases", "sprints", "project")
        returned = {}
        for key in external_ids:
            if key in self.stored:
                document = item_in(self.stored[key])
                returned[key] = {name: document.get(name) for name in names}
        return returned


class PickySink(SmallSink):
    """Refuses the items it is told to."""

    def __init__(self, world: World, refused: set[str]) -> None:
        super().__init__(world)
        self.refused = refused

    async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
        """Take or refuse the issues one by one."""
        for issue in issues:
            if issue.external_id in self.refused:
                yield Acknowledgement(refused=((issue.external_id, Skipped(issue.display_id, "no")),))
            else:
                async for receipt in super().deliver([issue]):
                    yield receipt


class SmallState(MemoryState):
    """A state in memory that outlives the process; it may die before and after a commit."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    async def commit(self, progress: Progress, sent: Mapping[str, Sent], uploaded: Sequence[Issue] = ()) -> None:
        """Remember all of it."""
        assert isinstance(progress, Progress)
        self.world.tick()
        await super().commit(progress, sent, uploaded)
        self.world.tick()
