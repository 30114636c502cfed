"""Which workspace and projects to read, found out with as few requests as possible.

See rally-api-notes.md#scope and rally-api-notes.md#ambiguous-names.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rally_accelerate.config.model import Properties
from rally_accelerate.errors import AccessRefused, ConfigError, NotFound, Problem
from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.fields import PROJECT_FIELDS, WORKSPACE_FIELDS
from rally_accelerate.rally.keyset import Listing, Row, Rows, everything, next_rows, rows_in
from rally_accelerate.rally.matching import choose_projects, choose_workspace
from rally_accelerate.rally.query import any_of
from rally_accelerate.rally.records import Project, Workspace
from rally_accelerate.rally.wire import WSAPI, Request, parse_ref, ref_id

#: So many ids are asked for by themselves; for more, the whole list of projects is no dearer.
MOST_IDS_IN_A_QUERY = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to read."""

    workspace: Workspace
    #: Empty means the whole workspace.
    projects: tuple[Project, ...]
    #: ObjectIDs of the open projects that the user sees now; only when the whole workspace is read.
    visible: frozenset[int]
    #: What the projects are called that are read, by ObjectID.
    names: dict[int, str]
    #: Closed projects, as far as the list of projects was read.
    closed: tuple[Project, ...]
    #: The service's clock at the first answer; None when no answer carried it.
    now: datetime | None
    notices: tuple[str, ...]


async def find_place(caller: Caller, properties: Properties) -> Place:
    """Resolve the workspace and projects of the settings.

    The default workspace costs no request of its own: a request without ``workspace`` is answered from it,
    and each project tells which one it belongs to. That is the very rule which later requests rely on; the
    user's profile, which could be asked instead, may lack the entry (rally-api-notes.md#scope).

    Raises:
        ConfigError: ``properties.workspace`` or ``properties.projects`` name nothing, too much, or closed
            things.
        AccessRefused: The user sees no project at all.
    """
    search = _Search(caller)
    workspace = await search.named_workspace(properties.workspace) if properties.workspace else None
    if not properties.projects:
        # Which projects are visible is part of what was read: one that is opened later brings items which no
        # LastUpdateDate tells of.
        seen = await search.projects(workspace)
        workspace = workspace or seen.workspace or await search.default_workspace()
        return search.place(workspace, (), seen=seen.projects)
    wanted = properties.projects
    found = await search.by_ids(wanted, workspace) if not properties.include_child_projects else None
    if found is None:
        found = await search.projects(workspace)
    # In a thread: hundreds of patterns and thousands of projects are compared, each with each.
    chosen = await asyncio.to_thread(
        choose_projects, wanted, found.projects, children=properties.include_child_projects
    )
    search.notices.extend(chosen.notices)
    workspace = workspace or found.workspace or await search.default_workspace()
    return search.place(workspace, chosen.projects, seen=found.projects)


async def every_project(caller: Caller, properties: Properties) -> tuple[Workspace, tuple[Project, ...]]:
    """The workspace of the settings and all of its projects that the user sees, for people to choose from.

    Raises:
        ConfigError: ``properties.workspace`` names nothing, or several.
        AccessRefused: The user sees no project at all.
    """
    search = _Search(caller)
    workspace = await search.named_workspace(properties.workspace) if properties.workspace else None
    found = await search.projects(workspace)
    return workspace or found.workspace or await search.default_workspace(), tuple(found.projects)


@dataclass(frozen=True, slots=True)
class _Found:
    projects: list[Project]
    #: The one that all of the projects belong to.
    workspace: Workspace | None


class _Search:
    """The requests of one resolution, with what they said by the way."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._now: datetime | None = None
        self.notices: list[str] = []

    def place(self, workspace: Workspace, projects: tuple[Project, ...], *, seen: Sequence[Project] = ()) -> Place:
        return Place(
            workspace=workspace,
            projects=projects,
            visible=frozenset(each.object_id for each in seen if each.open) if not projects else frozenset(),
            names={each.object_id: each.name for each in projects or seen if each.open},
            closed=tuple(each for each in seen if not each.open),
            now=self._now,
            notices=tuple(dict.fromkeys(self.notices)),
        )

    async def named_workspace(self, wanted: str) -> Workspace:
        workspaces = await self._workspaces()
        try:
            return choose_workspace(wanted, workspaces)
        except ConfigError:
            # The subscription's own list is the second witness before a name is called unknown.
            more = await self._subscription_workspaces()
            if {each.object_id for each in more} <= {each.object_id for each in workspaces}:
                raise
            return choose_workspace(wanted, more)

    async def default_workspace(self) -> Workspace:
        listing = Listing(kind="project", fetch=PROJECT_FIELDS)
        answer = await self._caller.read(listing.request(after=0, size=1))
        page = rows_in(answer, kind="project", after=0, asked_for=1)
        self._note(page)
        if workspace := _workspace_of(row for _, row in page.rows):
            return workspace
        match await self._workspaces():
            case [only]:
                return only
            case []:
                raise AccessRefused(
                    "Rally accepts the login, but this user sees no workspace and no project.",
                    hint="Give the user of this key at least viewer rights, or name the workspace.",
                )
            case several:
                names = ", ".join(f'"{each.name}" ({each.object_id})' for each in several[:8])
                problem = Problem("properties.workspace", f"the user has no default workspace; name one of {names}")
                raise ConfigError(str(problem), problems=(problem,))

    async def by_ids(self, wanted: Sequence[str], workspace: Workspace | None) -> _Found | None:
        """The projects when all that is wanted are ObjectIDs that exist; else None."""
        if len(wanted) > MOST_IDS_IN_A_QUERY or not all(text.isdecimal() for text in wanted):
            return None
        listing = _projects_in(workspace)
        found = await self._read(replace(listing, where=(any_of("ObjectID", [int(text) for text in wanted]),)))
        return found if len(found.projects) == len(set(map(int, wanted))) else None

    async def projects(self, workspace: Workspace | None) -> _Found:
        """Every project of the workspace that the user sees."""
        if workspace is not None:
            return await self._read(_projects_in(workspace))
        listing = _projects_in(None)
        first = await next_rows(self._caller, listing)
        self._note(first)
        default = _workspace_of(row for _, row in first.rows)
        if first.last or default is None:
            return _Found([_project(key, row) for key, row in first.rows], default)
        # From the second page on the workspace is named, so that nobody's change of the default mixes two.
        rest = await self._read(_projects_in(default), after=first.after)
        return _Found([*(_project(key, row) for key, row in first.rows), *rest.projects], default)

    async def _read(self, listing: Listing, *, after: int = 0) -> _Found:
        projects: list[Project] = []
        rows: list[Row] = []
        while True:
            page = await next_rows(self._caller, listing, after=after)
            self._note(page)
            projects.extend(_project(key, row) for key, row in page.rows)
            rows.extend(row for _, row in page.rows[:1])
            if page.last:
                return _Found(projects, _workspace_of(rows))
            after = page.after

    async def _workspaces(self) -> list[Workspace]:
        pages = await everything(self._caller, Listing(kind="workspace", fetch=WORKSPACE_FIELDS))
        for page in pages:
            self._note(page)
        return [_workspace(key, row) for page in pages for key, row in page.rows]

    async def _subscription_workspaces(self) -> list[Workspace]:
        try:
            answer = await self._caller.read(Request(f"{WSAPI}/subscription", {"fetch": "Workspaces,ObjectID"}))
            collection = answer.data.get("Workspaces")
            owner = parse_ref(answer.data.get("_ref"))
            if not isinstance(collection, dict) or owner is None:
                return []
            path = f"{WSAPI}/Subscription/{owner.object_id}/Workspaces"
            params = {
                "fetch": ",".join(WORKSPACE_FIELDS),
                "order": "ObjectID",
                "start": "1",
                "pagesize": "2000",
            }
            listed = await self._caller.read(Request(path, params))
        except (NotFound, AccessRefused):
            # Not everybody may read the subscription; then the first list stands.
            return []
        results = listed.data.get("Results")
        rows = [row for row in results if isinstance(row, dict)] if isinstance(results, list) else []
        return [_workspace(key, row) for row in rows if (key := ref_id(row)) is not None]

    def _note(self, page: Rows) -> None:
        self._now = self._now or page.date
        self.notices.extend(page.notices)


def _projects_in(workspace: Workspace | None) -> Listing:
    return Listing(kind="project", fetch=PROJECT_FIELDS, workspace=workspace.object_id if workspace else None)


def _project(key: int, row: Row) -> Project:
    return Project(
        object_id=key,
        name=_name(row),
        parent=ref_id(row.get("Parent")),
        # Open unless it says otherwise: an absent state must not hide a project.
        open=row.get("State") != "Closed",
    )


def _workspace(key: int, row: Row) -> Workspace:
    return Workspace(object_id=key, name=_name(row), open=row.get("State") != "Closed")


def _workspace_of(rows: Iterable[Row]) -> Workspace | None:
    for row in rows:
        its = row.get("Workspace")
        key = ref_id(its)
        if key is not None:
            return Workspace(object_id=key, name=_name(its) if isinstance(its, dict) else str(key))
    return None


def _name(row: Row) -> str:
    return str(row.get("Name") or row.get("_refObjectName") or "").strip()
