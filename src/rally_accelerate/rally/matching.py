"""Which workspace and projects the settings mean: names, patterns, ids and paths against what Rally has; pure.

Names are not unique (rally-api-notes.md#ambiguous-names): nothing is chosen silently where two things could be
meant.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.model.folding import fold
from rally_accelerate.model.likeness import MOST_EXPLAINED, suggestion
from rally_accelerate.rally.records import Project, Workspace
from rally_accelerate.rally.wildcards import matching

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
