"""Which workspace and projects to read, found out with as few requests as possible.

See rally-api-notes.md#scope and rally-api-notes.md#ambiguous-names.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from rally_accelerate.config.model import Properties
from rally_accelerate.errors import AccessDeniedError, ConfigError, NotFoundError, Problem
from rally_accelerate.model.suggestions import MOST_EXPLAINED, suggestion
from rally_accelerate.model.text_folding import fold
from rally_accelerate.rally.fetch_fields import PROJECT_FIELDS, WORKSPACE_FIELDS
from rally_accelerate.rally.keyset_paging import Listing, Row, Rows, everything, next_rows, rows_in
from rally_accelerate.rally.query import any_of
from rally_accelerate.rally.records import Project, Workspace
from rally_accelerate.rally.session import Caller
from rally_accelerate.rally.wsapi import WSAPI, Request, parse_ref, ref_id


class Wildcards:
    """A compiled pattern: ``*`` stands for any characters, ``?`` for one, everything else for itself.

    Args:
        pattern: The pattern; there is no escape character.
        longest: Longer texts are not matched: a pattern that needs more characters is not compiled.
    """

    def __init__(self, pattern: str, *, longest: int) -> None:
        #: The number of characters that the pattern needs at least.
        self._length = len(pattern) - pattern.count("*")
        #: By character, the places from which it leads to the next one.
        self._steps: dict[str, int] = {}
        #: The places from which any character leads to the next one.
        self._any = 0
        #: The places that any number of characters stay at.
        self._stays = 0
        if self._length > longest:
            return
        place = 1
        for char in pattern:
            if char == "*":
                self._stays |= place
                continue
            if char == "?":
                self._any |= place
            else:
                self._steps[char] = self._steps.get(char, 0) | place
            place <<= 1

    def match(self, text: str) -> bool:
        """Return whether the pattern stands for the whole text."""
        if len(text) < self._length:
            return False
        places = 1
        for char in text:
            places = (places & (self._steps.get(char, 0) | self._any)) << 1 | places & self._stays
            if not places:
                return False
        return bool(places >> self._length & 1)


def matching(pattern: str, texts: Sequence[str]) -> list[int]:
    """Return the positions of the texts that a pattern stands for."""
    wildcards = Wildcards(pattern, longest=max(map(len, texts), default=0))
    return [position for position, text in enumerate(texts) if wildcards.match(text)]


#: Separates the names of a path, as in pyral: ``Company // Division // Team`` (rally-api-notes.md#ambiguous-names).
PATH_SEPARATOR = " // "

#: So many candidates, near matches or names are told of each wanted name.
MOST_TOLD = 8

#: Rally's names have at most 256 characters.
LONGEST_SHOWN = 300
#: The largest number of unknown names that are listed one by one.
MOST_FAULTS = MOST_EXPLAINED
#: Each pattern is compared with every project.
MOST_PATTERNS = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The projects to read, ascending by ObjectID, and what is worth telling about the choice."""

    projects: tuple[Project, ...]
    notices: tuple[str, ...] = ()


def choose_workspace(wanted: str, workspaces: Sequence[Workspace]) -> Workspace:
    """The one workspace of this name or ObjectID.

    Raises:
        ConfigError: None, several, or a closed one.
    """
    found = [each for each in workspaces if str(each.object_id) == wanted] or _by_name(
        wanted, workspaces, lambda each: each.name
    )
    found = [each for each in found if each.open] or found
    match found:
        case [Workspace(open=True) as only]:
            return only
        case [only]:
            text = f"the workspace {quoted(only.name)} is closed; its items cannot be read"
        case []:
            close = suggestion(wanted, [each.name for each in workspaces])
            seen = listing(f"{quoted(each.name)} ({each.object_id})" for each in workspaces)
            text = f"this user sees no workspace {quoted(wanted)}{close}; it sees {seen or 'none at all'}"
        case several:
            candidates = listing(str(each.object_id) for each in several)
            text = (
                f"{len(several)} workspaces are called {quoted(wanted)}; give the ObjectID of one of them: {candidates}"
            )
    problem = Problem("properties.workspace", text)
    raise ConfigError(
        str(problem), problems=(problem,), hint="Correct workspace, or leave it empty for the user's default."
    )


def choose_projects(wanted: Sequence[str], projects: Sequence[Project], *, children: bool = False) -> Chosen:
    """The open projects that these texts mean.

    Each text is an ObjectID, a name, a path of names, or a pattern with ``*`` and ``?``; in this order, so
    that a name that contains a star is found by itself. Letters' case counts first; where nothing matches so,
    it does not.

    Args:
        wanted: The texts of the setting, at least one.
        projects: Every project of the workspace that the user sees.
        children: Whether the open projects below the chosen ones belong to them.

    Raises:
        ConfigError: Unknown or ambiguous texts, all of them at once, or nothing but closed projects.
    """
    tree = _Tree(projects)
    chosen: dict[int, Project] = {}
    problems: list[Problem] = []
    notices: list[str] = []
    if sum(map(is_pattern, wanted)) > MOST_PATTERNS:
        text = f"has more than {MOST_PATTERNS} patterns with * or ?; list names instead, or leave it empty for all"
        problem = Problem("properties.projects", text)
        raise ConfigError(str(problem), problems=(problem,), hint="Use fewer patterns.")
    further = 0
    for text in wanted:
        found, fault = _find(text, tree, explain=len(problems) < MOST_FAULTS)
        if fault and len(problems) < MOST_FAULTS:
            problems.append(Problem("properties.projects", fault))
        elif fault:
            further += 1
        closed = [each for each in found if not each.open]
        if closed and len(closed) == len(found):
            notices.append(f"The project {quoted(closed[0].name)} is closed: its items cannot be read.")
        chosen.update((each.object_id, each) for each in found)
    if children:
        below = [
            each for project in list(chosen.values()) for each in tree.below(project) if each.object_id not in chosen
        ]
        closed = [each for each in {each.object_id: each for each in below}.values() if not each.open]
        if closed:
            names = listing(quoted(each.name) for each in closed)
            notices.append(f"Closed child projects are left out, their items cannot be read: {names}.")
        chosen.update((each.object_id, each) for each in below)
    if further:
        problems.append(Problem("properties.projects", f"and {further:,} more that mean no project, or several"))
    readable = tuple(sorted((each for each in chosen.values() if each.open), key=lambda each: each.object_id))
    if chosen and not readable and not problems:
        names = listing(quoted(each.name) for each in chosen.values())
        problems.append(
            Problem("properties.projects", f"every project named is closed, their items cannot be read: {names}")
        )
    if problems:
        raise ConfigError(
            "; ".join(str(problem) for problem in problems),
            problems=problems,
            hint=(
                "Correct projects: names, patterns such as Team *, paths such as A // B, or ObjectIDs. "
                "A project that exists in Rally is missing here when the user of the key has no right to read it."
            ),
        )
    return Chosen(readable, tuple(notices))


def is_pattern(text: str) -> bool:
    """Whether a text may be a pattern: only ``*`` and ``?`` are special, as names contain brackets."""
    return "*" in text or "?" in text


class _Index:
    """Projects by their names in one form."""

    def __init__(self, projects: Iterable[Project], form: Callable[[str], str]) -> None:
        self.form = form
        self.names: list[str] = []
        self.by_name: dict[str, list[Project]] = {}
        #: By the last part of their paths: a name may hold the separator itself.
        self.by_last: dict[str, list[Project]] = {}
        for each in projects:
            name = form(each.name)
            self.names.append(name)
            self.by_name.setdefault(name, []).append(each)
            self.by_last.setdefault(form(each.name.split(PATH_SEPARATOR)[-1]), []).append(each)


class _Tree:
    """Projects with their places in the tree."""

    def __init__(self, projects: Sequence[Project]) -> None:
        self.projects = projects
        self.by_id: Mapping[int, Project] = {each.object_id: each for each in projects}
        self._children: dict[int, list[Project]] = {}
        for each in projects:
            if each.parent is not None:
                self._children.setdefault(each.parent, []).append(each)

    @cached_property
    def indexes(self) -> tuple[_Index, ...]:
        """The names as they are, and without regard to case and typography."""
        return _Index(self.projects, str), _Index(self.projects, _folded)

    def path(self, project: Project) -> str:
        """The names from the topmost visible ancestor down to the project."""
        names = [project.name]
        seen = {project.object_id}
        above = project.parent
        while above is not None and above in self.by_id and above not in seen:
            seen.add(above)
            names.append(self.by_id[above].name)
            above = self.by_id[above].parent
        return PATH_SEPARATOR.join(reversed(names))

    def below(self, project: Project) -> list[Project]:
        """Every project under this one, at any depth."""
        found: dict[int, Project] = {}
        waiting = list(self._children.get(project.object_id, ()))
        while waiting:
            each = waiting.pop()
            if each.object_id not in found:
                found[each.object_id] = each
                waiting.extend(self._children.get(each.object_id, ()))
        return list(found.values())


def _find(text: str, tree: _Tree, *, explain: bool) -> tuple[Sequence[Project], str]:
    """What a text means, and what is wrong with it; briefly unless it shall be explained."""
    if text.isdecimal() and int(text) in tree.by_id:
        return [tree.by_id[int(text)]], ""
    found = next((some for each in tree.indexes if (some := each.by_name.get(each.form(text)))), [])
    if not found and PATH_SEPARATOR.strip() in text:
        found = _by_path(text, tree)
    if not found and is_pattern(text):
        found = _by_pattern(text, tree)
        return (found, "") if found else ((), f"no project matches {quoted(text)}")
    # A closed project of the same name is no rival: its items cannot be read.
    found = [each for each in found if each.open] or found
    if not explain and len(found) != 1:
        return (), "means no project, or several"
    if not found:
        close = suggestion(text, [each.name for each in tree.projects])
        what = f"no project has the ObjectID {text}" if text.isdecimal() else f"no project is called {quoted(text)}"
        return (), f"{what}{close}"
    if len(found) > 1:
        candidates = listing(f"{each.object_id} ({tree.path(each)})" for each in found)
        return (
            (),
            f"{len(found)} projects are called {quoted(text)}; give the ObjectID or path of one: {candidates}",
        )
    return found, ""


def _by_name(wanted: str, things: Iterable[T], name: Callable[[T], str]) -> list[T]:
    things = list(things)
    exact = [each for each in things if name(each) == wanted]
    return exact or [each for each in things if _folded(name(each)) == _folded(wanted)]


def _by_path(wanted: str, tree: _Tree) -> list[Project]:
    """Projects whose path is, or ends with, the wanted one."""
    parts = [part.strip() for part in wanted.split(PATH_SEPARATOR.strip())]
    for index in tree.indexes:
        tail = [index.form(part) for part in parts]
        found = [
            each
            for each in index.by_last.get(tail[-1], ())
            if [index.form(part) for part in tree.path(each).split(PATH_SEPARATOR)][-len(tail) :] == tail
        ]
        if found:
            return found
    return []


def _by_pattern(wanted: str, tree: _Tree) -> list[Project]:
    for index in tree.indexes:
        if found := matching(index.form(wanted), index.names):
            return [tree.projects[position] for position in found]
    return []


def _folded(text: str) -> str:
    # A name that was copied from a page may hold no-break spaces, typographic quotes and invisible characters.
    return " ".join(fold(text).split())


def listing(texts: Iterable[str], *, most: int = MOST_TOLD) -> str:
    """Return the first texts and how many more there are."""
    every = list(texts)
    told = ", ".join(every[:most])
    return f"{told} and {len(every) - most} more" if len(every) > most else told


def quoted(name: str) -> str:
    """Return a name in double quotes, shortened when it is longer than any name of Rally."""
    return f'"{name}"' if len(name) <= LONGEST_SHOWN else f'"{name[:LONGEST_SHOWN]}…"'


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
        AccessDeniedError: The user sees no project at all.
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
        AccessDeniedError: The user sees no project at all.
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
                raise AccessDeniedError(
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
        except (NotFoundError, AccessDeniedError):
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
