"""Resolution of the configured workspace and projects, with as few requests as possible.

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
from rally_accelerate.model.suggestions import MAX_EXPLAINED, suggest_names
from rally_accelerate.model.text_folding import fold
from rally_accelerate.rally.fetch_fields import PROJECT_FIELDS, WORKSPACE_FIELDS
from rally_accelerate.rally.keyset_paging import Listing, Row, RowPage, parse_answer, read_all, read_page
from rally_accelerate.rally.query import any_of
from rally_accelerate.rally.records import Project, Workspace
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.wsapi import WSAPI, Request, parse_ref, ref_id


class WildcardPattern:
    """A compiled pattern: ``*`` matches any characters, ``?`` matches one, all others are literal.

    Args:
        pattern: The pattern; there is no escape character.
        longest: Maximum length of texts; a pattern that needs more characters is not compiled.
    """

    def __init__(self, pattern: str, *, longest: int) -> None:
        #: Minimum length of matching texts.
        self._length = len(pattern) - pattern.count("*")
        #: By character, the places from which it leads to the next one.
        self._steps: dict[str, int] = {}
        #: The places from which any character leads to the next one.
        self._any = 0
        #: The places that any number of characters stay at.
        self._stays = 0
        if self._length > longest:
            return
        state = 1
        for char in pattern:
            if char == "*":
                self._stays |= state
                continue
            if char == "?":
                self._any |= state
            else:
                self._steps[char] = self._steps.get(char, 0) | state
            state <<= 1

    def match(self, text: str) -> bool:
        """Return whether the pattern matches the entire text."""
        if len(text) < self._length:
            return False
        states = 1
        for char in text:
            states = (states & (self._steps.get(char, 0) | self._any)) << 1 | states & self._stays
            if not states:
                return False
        return bool(states >> self._length & 1)


def match_all(pattern: str, texts: Sequence[str]) -> list[int]:
    """Return the positions of the texts that match a pattern."""
    wildcards = WildcardPattern(pattern, longest=max(map(len, texts), default=0))
    return [position for position, text in enumerate(texts) if wildcards.match(text)]


#: Separates the names of a path, as in pyral: ``Company // Division // Team`` (rally-api-notes.md#ambiguous-names).
PATH_SEPARATOR = " // "

#: Maximum number of candidates, similar names or names in a message.
MAX_LISTED = 8

#: Rally's names have at most 256 characters.
MAX_QUOTED_LENGTH = 300
#: The largest number of unknown names that are listed one by one.
MAX_PROBLEMS = MAX_EXPLAINED
#: Each pattern is compared with every project.
MAX_PATTERNS = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProjectSelection:
    """The projects to read, ascending by ObjectID, and notices about them."""

    projects: tuple[Project, ...]
    notices: tuple[str, ...] = ()


def choose_workspace(name: str, workspaces: Sequence[Workspace]) -> Workspace:
    """Return the only workspace with this name or ObjectID.

    Raises:
        ConfigError: None, several, or a closed one.
    """
    matches = [workspace for workspace in workspaces if str(workspace.object_id) == name] or _find_by_name(
        name, workspaces, lambda workspace: workspace.name
    )
    matches = [workspace for workspace in matches if workspace.open] or matches
    match matches:
        case [Workspace(open=True) as only]:
            return only
        case [only]:
            text = f"the workspace {quote(only.name)} is closed; its items cannot be read"
        case []:
            close = suggest_names(name, [workspace.name for workspace in workspaces])
            seen = join_limited(f"{quote(workspace.name)} ({workspace.object_id})" for workspace in workspaces)
            text = f"this user sees no workspace {quote(name)}{close}; it sees {seen or 'none at all'}"
        case several:
            candidates = join_limited(str(workspace.object_id) for workspace in several)
            text = f"{len(several)} workspaces are called {quote(name)}; give the ObjectID of one of them: {candidates}"
    problem = Problem("properties.workspace", text)
    raise ConfigError(
        str(problem), problems=(problem,), hint="Correct workspace, or leave it empty for the user's default."
    )


def choose_projects(texts: Sequence[str], projects: Sequence[Project], *, children: bool = False) -> ProjectSelection:
    """Return the open projects that the texts refer to.

    Each text is an ObjectID, a name, a path of names, or a pattern with ``*`` and ``?``, in this order, so
    that a name that contains a star matches as a name. Matches are case-sensitive first, then case-insensitive.

    Args:
        texts: The texts of the setting, at least one.
        projects: Every project of the workspace that the user sees.
        children: Whether to include the open projects below the selected ones.

    Raises:
        ConfigError: Unknown or ambiguous texts, all of them at once, or nothing but closed projects.
    """
    tree = _Tree(projects)
    chosen: dict[int, Project] = {}
    problems: list[Problem] = []
    notices: list[str] = []
    if sum(map(is_pattern, texts)) > MAX_PATTERNS:
        text = f"has more than {MAX_PATTERNS} patterns with * or ?; list names instead, or leave it empty for all"
        problem = Problem("properties.projects", text)
        raise ConfigError(str(problem), problems=(problem,), hint="Use fewer patterns.")
    further = 0
    for text in texts:
        matches, fault = _find_projects(text, tree, explain=len(problems) < MAX_PROBLEMS)
        if fault and len(problems) < MAX_PROBLEMS:
            problems.append(Problem("properties.projects", fault))
        elif fault:
            further += 1
        closed = [project for project in matches if not project.open]
        if closed and len(closed) == len(matches):
            notices.append(f"The project {quote(closed[0].name)} is closed: its items cannot be read.")
        chosen.update((project.object_id, project) for project in matches)
    if children:
        below = [
            descendant
            for project in list(chosen.values())
            for descendant in tree.descendants(project)
            if descendant.object_id not in chosen
        ]
        closed = [project for project in {project.object_id: project for project in below}.values() if not project.open]
        if closed:
            names = join_limited(quote(project.name) for project in closed)
            notices.append(f"Closed child projects are skipped because their items cannot be read: {names}.")
        chosen.update((project.object_id, project) for project in below)
    if further:
        problems.append(Problem("properties.projects", f"and {further:,} more that mean no project, or several"))
    readable = tuple(
        sorted((project for project in chosen.values() if project.open), key=lambda project: project.object_id)
    )
    if chosen and not readable and not problems:
        names = join_limited(quote(project.name) for project in chosen.values())
        problems.append(
            Problem("properties.projects", f"all of these projects are closed, so their items cannot be read: {names}")
        )
    if problems:
        raise ConfigError(
            "; ".join(str(problem) for problem in problems),
            problems=problems,
            hint=(
                "Correct projects: names, patterns such as Team *, paths such as A // B, or ObjectIDs. "
                "Projects that this user is not allowed to read are missing here."
            ),
        )
    return ProjectSelection(readable, tuple(notices))


def is_pattern(text: str) -> bool:
    """Return whether a text is a pattern: only ``*`` and ``?`` are special, because names contain brackets."""
    return "*" in text or "?" in text


class _Index:
    """Index of projects by name."""

    def __init__(self, projects: Iterable[Project], form: Callable[[str], str]) -> None:
        self.form = form
        self.names: list[str] = []
        self.by_name: dict[str, list[Project]] = {}
        #: By the last part of their paths: a name can contain the separator itself.
        self.by_last: dict[str, list[Project]] = {}
        for project in projects:
            name = form(project.name)
            self.names.append(name)
            self.by_name.setdefault(name, []).append(project)
            self.by_last.setdefault(form(project.name.split(PATH_SEPARATOR)[-1]), []).append(project)


class _Tree:
    """Tree of projects."""

    def __init__(self, projects: Sequence[Project]) -> None:
        self.projects = projects
        self.by_id: Mapping[int, Project] = {project.object_id: project for project in projects}
        self._children: dict[int, list[Project]] = {}
        for project in projects:
            if project.parent is not None:
                self._children.setdefault(project.parent, []).append(project)

    @cached_property
    def indexes(self) -> tuple[_Index, ...]:
        """The names unchanged, and normalized in case and typography."""
        return _Index(self.projects, str), _Index(self.projects, _normalize)

    def path(self, project: Project) -> str:
        """Return the names from the topmost visible ancestor down to the project."""
        names = [project.name]
        seen = {project.object_id}
        above = project.parent
        while above is not None and above in self.by_id and above not in seen:
            seen.add(above)
            names.append(self.by_id[above].name)
            above = self.by_id[above].parent
        return PATH_SEPARATOR.join(reversed(names))

    def descendants(self, project: Project) -> list[Project]:
        """Return every project below this one, at any depth."""
        descendants: dict[int, Project] = {}
        waiting = list(self._children.get(project.object_id, ()))
        while waiting:
            descendant = waiting.pop()
            if descendant.object_id not in descendants:
                descendants[descendant.object_id] = descendant
                waiting.extend(self._children.get(descendant.object_id, ()))
        return list(descendants.values())


def _find_projects(text: str, tree: _Tree, *, explain: bool) -> tuple[Sequence[Project], str]:
    """Find the projects that a text refers to; return them and a problem, which is brief unless ``explain``."""
    if text.isdecimal() and int(text) in tree.by_id:
        return [tree.by_id[int(text)]], ""
    matches = next((some for index in tree.indexes if (some := index.by_name.get(index.form(text)))), [])
    if not matches and PATH_SEPARATOR.strip() in text:
        matches = _find_by_path(text, tree)
    if not matches and is_pattern(text):
        matches = _find_by_pattern(text, tree)
        return (matches, "") if matches else ((), f"no project matches {quote(text)}")
    # A closed project of the same name is ignored: its items cannot be read.
    matches = [project for project in matches if project.open] or matches
    if not explain and len(matches) != 1:
        return (), "means no project, or several"
    if not matches:
        close = suggest_names(text, [project.name for project in tree.projects])
        what = f"no project has the ObjectID {text}" if text.isdecimal() else f"no project is called {quote(text)}"
        return (), f"{what}{close}"
    if len(matches) > 1:
        candidates = join_limited(f"{project.object_id} ({tree.path(project)})" for project in matches)
        return (
            (),
            f"{len(matches)} projects are called {quote(text)}; give the ObjectID or path of one: {candidates}",
        )
    return matches, ""


def _find_by_name(text: str, things: Iterable[T], name: Callable[[T], str]) -> list[T]:
    things = list(things)
    exact = [thing for thing in things if name(thing) == text]
    return exact or [thing for thing in things if _normalize(name(thing)) == _normalize(text)]


def _find_by_path(text: str, tree: _Tree) -> list[Project]:
    """Return the projects whose path is, or ends with, a text."""
    parts = [part.strip() for part in text.split(PATH_SEPARATOR.strip())]
    for index in tree.indexes:
        tail = [index.form(part) for part in parts]
        matches = [
            project
            for project in index.by_last.get(tail[-1], ())
            if [index.form(part) for part in tree.path(project).split(PATH_SEPARATOR)][-len(tail) :] == tail
        ]
        if matches:
            return matches
    return []


def _find_by_pattern(text: str, tree: _Tree) -> list[Project]:
    for index in tree.indexes:
        if positions := match_all(index.form(text), index.names):
            return [tree.projects[position] for position in positions]
    return []


def _normalize(text: str) -> str:
    # A name that was copied from a page can contain no-break spaces, typographic quotes and invisible characters.
    return " ".join(fold(text).split())


def join_limited(texts: Iterable[str], *, most: int = MAX_LISTED) -> str:
    """Join the first texts and the number of remaining ones."""
    all_texts = list(texts)
    joined = ", ".join(all_texts[:most])
    return f"{joined} and {len(all_texts) - most} more" if len(all_texts) > most else joined


def quote(name: str) -> str:
    """Return a name in double quotes, shortened when it is longer than any name of Rally."""
    return f'"{name}"' if len(name) <= MAX_QUOTED_LENGTH else f'"{name[:MAX_QUOTED_LENGTH]}…"'


#: Maximum number of ids in a query; for more, reading all projects is not slower.
MAX_IDS_IN_QUERY = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The resolved workspace and projects."""

    workspace: Workspace
    #: Empty for all projects of the workspace.
    projects: tuple[Project, ...]
    #: ObjectIDs of the open projects that the user can see; only if all projects are read.
    visible: frozenset[int]
    #: Names of the projects to read, by ObjectID.
    names: dict[int, str]
    #: Closed projects in the part of the list that was read.
    closed: tuple[Project, ...]
    #: The service's clock at the first answer; None when no answer carried it.
    now: datetime | None
    notices: tuple[str, ...]


async def resolve_location(session: Session, properties: Properties) -> Location:
    """Resolve the workspace and projects of the settings.

    The default workspace needs no separate request: Rally uses it for a request without ``workspace``,
    and each project contains its workspace. Later requests rely on the same rule; the
    user's profile, which could be read instead, can lack the entry (rally-api-notes.md#scope).

    Raises:
        ConfigError: ``properties.workspace`` or ``properties.projects`` name nothing, too much, or closed
            things.
        AccessDeniedError: The user sees no project at all.
    """
    search = _Resolver(session)
    workspace = await search.find_workspace(properties.workspace) if properties.workspace else None
    if not properties.projects:
        # The visible projects are part of the scope: a project that is opened later adds items with an old
        # LastUpdateDate.
        seen = await search.list_projects(workspace)
        workspace = workspace or seen.workspace or await search.find_default_workspace()
        return search.to_location(workspace, (), seen=seen.projects)
    texts = properties.projects
    candidates = await search.find_by_ids(texts, workspace) if not properties.include_child_projects else None
    if candidates is None:
        candidates = await search.list_projects(workspace)
    # In a thread: hundreds of patterns and thousands of projects are compared, each with each.
    chosen = await asyncio.to_thread(
        choose_projects, texts, candidates.projects, children=properties.include_child_projects
    )
    search.notices.extend(chosen.notices)
    workspace = workspace or candidates.workspace or await search.find_default_workspace()
    return search.to_location(workspace, chosen.projects, seen=candidates.projects)


async def list_projects(session: Session, properties: Properties) -> tuple[Workspace, tuple[Project, ...]]:
    """Return the configured workspace and all its projects that the user can see, as choices in a form.

    Raises:
        ConfigError: ``properties.workspace`` names nothing, or several.
        AccessDeniedError: The user sees no project at all.
    """
    search = _Resolver(session)
    workspace = await search.find_workspace(properties.workspace) if properties.workspace else None
    candidates = await search.list_projects(workspace)
    return workspace or candidates.workspace or await search.find_default_workspace(), tuple(candidates.projects)


@dataclass(frozen=True, slots=True)
class _ProjectList:
    projects: list[Project]
    #: The workspace of all the projects.
    workspace: Workspace | None


class _Resolver:
    """Resolver of one workspace and its projects, with the notices of its requests."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._now: datetime | None = None
        self.notices: list[str] = []

    def to_location(
        self, workspace: Workspace, projects: tuple[Project, ...], *, seen: Sequence[Project] = ()
    ) -> Location:
        return Location(
            workspace=workspace,
            projects=projects,
            visible=frozenset(project.object_id for project in seen if project.open) if not projects else frozenset(),
            names={project.object_id: project.name for project in projects or seen if project.open},
            closed=tuple(project for project in seen if not project.open),
            now=self._now,
            notices=tuple(dict.fromkeys(self.notices)),
        )

    async def find_workspace(self, name: str) -> Workspace:
        workspaces = await self._list_workspaces()
        try:
            return choose_workspace(name, workspaces)
        except ConfigError:
            # The list of the subscription is checked before a name is reported as unknown.
            more = await self._list_subscription_workspaces()
            if {workspace.object_id for workspace in more} <= {workspace.object_id for workspace in workspaces}:
                raise
            return choose_workspace(name, more)

    async def find_default_workspace(self) -> Workspace:
        listing = Listing(kind="project", fetch=PROJECT_FIELDS)
        answer = await self._session.read(listing.request(after=0, size=1))
        page = parse_answer(answer, kind="project", after=0, requested_size=1)
        self._add_notices(page)
        if workspace := _workspace_of(row for _, row in page.rows):
            return workspace
        match await self._list_workspaces():
            case [only]:
                return only
            case []:
                raise AccessDeniedError(
                    "Rally accepts the login, but this user sees no workspace and no project.",
                    hint="Give the user of this key at least viewer rights, or name the workspace.",
                )
            case several:
                names = ", ".join(f'"{workspace.name}" ({workspace.object_id})' for workspace in several[:8])
                problem = Problem("properties.workspace", f"the user has no default workspace; name one of {names}")
                raise ConfigError(str(problem), problems=(problem,))

    async def find_by_ids(self, texts: Sequence[str], workspace: Workspace | None) -> _ProjectList | None:
        """Return the projects if all texts are ObjectIDs that exist; None otherwise."""
        if len(texts) > MAX_IDS_IN_QUERY or not all(text.isdecimal() for text in texts):
            return None
        listing = _projects_in(workspace)
        candidates = await self._read_projects(
            replace(listing, where=(any_of("ObjectID", [int(text) for text in texts]),))
        )
        return candidates if len(candidates.projects) == len(set(map(int, texts))) else None

    async def list_projects(self, workspace: Workspace | None) -> _ProjectList:
        """Return every project of the workspace that the user can see."""
        if workspace is not None:
            return await self._read_projects(_projects_in(workspace))
        listing = _projects_in(None)
        first = await read_page(self._session, listing)
        self._add_notices(first)
        default = _workspace_of(row for _, row in first.rows)
        if first.last or default is None:
            return _ProjectList([_project(key, row) for key, row in first.rows], default)
        # Later pages name the workspace, so that a change of the default workspace cannot mix two.
        rest = await self._read_projects(_projects_in(default), after=first.after)
        return _ProjectList([*(_project(key, row) for key, row in first.rows), *rest.projects], default)

    async def _read_projects(self, listing: Listing, *, after: int = 0) -> _ProjectList:
        projects: list[Project] = []
        rows: list[Row] = []
        while True:
            page = await read_page(self._session, listing, after=after)
            self._add_notices(page)
            projects.extend(_project(key, row) for key, row in page.rows)
            rows.extend(row for _, row in page.rows[:1])
            if page.last:
                return _ProjectList(projects, _workspace_of(rows))
            after = page.after

    async def _list_workspaces(self) -> list[Workspace]:
        pages = await read_all(self._session, Listing(kind="workspace", fetch=WORKSPACE_FIELDS))
        for page in pages:
            self._add_notices(page)
        return [_workspace(key, row) for page in pages for key, row in page.rows]

    async def _list_subscription_workspaces(self) -> list[Workspace]:
        try:
            answer = await self._session.read(Request(f"{WSAPI}/subscription", {"fetch": "Workspaces,ObjectID"}))
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
            listed = await self._session.read(Request(path, params))
        except (NotFoundError, AccessDeniedError):
            # Some users cannot read the subscription; then the first list is used.
            return []
        results = listed.data.get("Results")
        rows = [row for row in results if isinstance(row, dict)] if isinstance(results, list) else []
        return [_workspace(key, row) for row in rows if (key := ref_id(row)) is not None]

    def _add_notices(self, page: RowPage) -> None:
        self._now = self._now or page.date
        self.notices.extend(page.notices)


def _projects_in(workspace: Workspace | None) -> Listing:
    return Listing(kind="project", fetch=PROJECT_FIELDS, workspace=workspace.object_id if workspace else None)


def _project(key: int, row: Row) -> Project:
    return Project(
        object_id=key,
        name=_name(row),
        parent=ref_id(row.get("Parent")),
        # Open by default: a missing state must not hide a project.
        open=row.get("State") != "Closed",
    )


def _workspace(key: int, row: Row) -> Workspace:
    return Workspace(object_id=key, name=_name(row), open=row.get("State") != "Closed")


def _workspace_of(rows: Iterable[Row]) -> Workspace | None:
    for row in rows:
        workspace = row.get("Workspace")
        key = ref_id(workspace)
        if key is not None:
            return Workspace(object_id=key, name=_name(workspace) if isinstance(workspace, dict) else str(key))
    return None


def _name(row: Row) -> str:
    return str(row.get("Name") or row.get("_refObjectName") or "").strip()
