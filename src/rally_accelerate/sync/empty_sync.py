"""Diagnosis of integrations that have never synced an item.

An integration without items runs without a failure, and looks as if all were well.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from rally_accelerate.config.model import DEFAULT_KINDS
from rally_accelerate.errors import RallyAccelerateError
from rally_accelerate.model.progress import Empty, Progress
from rally_accelerate.rally.records import Project, Scope
from rally_accelerate.sync.ports import Source, State

log = logging.getLogger(__name__)

#: Items were brought, now or earlier: whatever comes next, nothing is to be explained.
NOT_EMPTY = Empty()

#: So many projects are counted in at once; more would make the address of a request too long.
MOST_COUNTED = 40

#: So many projects are named.
MOST_NAMED = 5


async def examine(
    source: Source, state: State, progress: Progress, scope: Scope, *, read: int, since: datetime | None
) -> Progress:
    """Return the progress with the cause in it when nothing was ever brought; asks once a day for the same settings.

    Args:
        source: Where items would come from.
        state: Knows whether anything was sent before.
        progress: As it is at the end of a run.
        scope: What was read.
        read: How many items the run read.
        since: Items that changed before are not wanted.
    """
    known, key = progress.empty, _key(scope, since)
    if known == NOT_EMPTY or (not read and known is not None and known.key == key):
        return progress
    if read or (known is None and await state.list_versions()):
        outcome = NOT_EMPTY
    else:
        try:
            outcome = Empty(key, await find_cause(source, scope, since=since))
        except RallyAccelerateError as error:
            log.debug("why there are no items cannot be found out: %s", error)
            return progress
    progress = replace(progress, empty=outcome)
    await state.commit(progress, {})
    return progress


# A table of causes reads better than one exit.
async def find_cause(source: Source, scope: Scope, *, since: datetime | None = None) -> str:  # noqa: PLR0911
    """Return why a scope shows no items, with what to do, in a few sentences; counts with a few requests.

    Raises:
        RallyAccelerateError: Rally cannot be asked.
    """
    if count := await _count(source, scope, scope.kinds):
        if since is None or await _count(source, scope, scope.kinds, since=since):
            # They came in just now: the next run brings them.
            return ""
        return f"No items: there {_are(count)}, but none changed since initialSyncDate. Choose an earlier date."
    if scope.is_filtered and (count := await _count(source, scope.unfiltered, scope.kinds)):
        return f"No items: the filter (query) excludes all items. Without it there {_are(count)}. Correct the filter."
    hidden: Sequence[Project] = scope.closed if not scope.visible else ()
    if scope.projects:
        _, every = await source.projects()
        below = _below(every, {project.object_id for project in scope.projects})
        hidden = (*scope.projects, *below)
        children = [project for project in below if project.open]
        inside = replace(scope.unfiltered, projects=tuple(children[:MOST_COUNTED]))
        if children and (count := await _count(source, inside, scope.kinds)):
            return (
                f"No items: the chosen projects have none of their own, but their child projects have {count:,} "
                f"({_names(children)}). Turn on includeChildProjects, or choose these projects."
            )
    others = [kind for kind in DEFAULT_KINDS if kind not in scope.kinds]
    if others and (count := await _count(source, scope, others)):
        return f"No items of the chosen types, but there {_are(count)} among stories and defects. Check types."
    if closed := [project for project in hidden if not project.open]:
        return (
            f"No items: items of closed projects cannot be read, and {_names(closed)} "
            f"{'is' if len(closed) == 1 else 'are'} closed. Open the project in Rally, or choose others."
        )
    return _no_access_text(scope)


def _no_access_text(scope: Scope) -> str:
    """Return the cause if this user can see nothing: Rally omits what the user cannot read.

    See rally-api-notes.md#scope.
    """
    if scope.projects:
        names = _names(scope.projects)
        return (
            f"No items: this user sees none in {names}, and none in child projects. Choose the projects that contain "
            "the items, and grant the user of the key viewer access to them and their child projects."
        )
    workspace = scope.workspace.name
    if not scope.visible:
        return (
            f"No items: this user sees no project of the workspace {workspace}. "
            "Grant the user of the key viewer access to its projects, or choose another workspace."
        )
    return (
        f"No items: this user sees {_projects(len(scope.visible))} of the workspace {workspace}, and no items there. "
        "Grant the user of the key viewer access to the projects that contain the items, or choose another workspace."
    )


async def count_items(source: Source, scope: Scope, parents: Sequence[Project]) -> Mapping[int, tuple[int, int]]:
    """Return how many items parent projects have, and how many the open projects below each, by ObjectID.

    Raises:
        RallyAccelerateError: Rally cannot be asked.
    """
    _, every = await source.projects()
    counts: dict[int, tuple[int, int]] = {}
    for parent in parents[:MOST_COUNTED]:
        children = [project for project in _below(every, {parent.object_id}) if project.open][:MOST_COUNTED]
        inside = replace(scope.unfiltered, projects=tuple(children))
        own = await _count(source, replace(inside, projects=(parent,)), scope.kinds)
        counts[parent.object_id] = (own, await _count(source, inside, scope.kinds) if children else 0)
    return counts


def _key(scope: Scope, since: datetime | None) -> str:
    projects = ",".join(str(project.object_id) for project in scope.projects)
    kinds = ",".join(scope.kinds)
    # Rights and projects change without a change of the settings.
    seen = f"{len(scope.visible)} on {scope.now:%Y-%m-%d}"
    return f"{scope.signature};projects={projects};kinds={kinds};since={since};seen={seen}"


async def _count(source: Source, scope: Scope, kinds: Iterable[str], *, since: datetime | None = None) -> int:
    return sum([await source.count(scope, kind, since=since) for kind in kinds])


def _below(every: Sequence[Project], roots: set[int]) -> list[Project]:
    """Return all descendants of some projects, in listing order."""
    inside = set(roots)
    while more := {project.object_id for project in every if project.parent in inside} - inside:
        inside |= more
    return [project for project in every if project.object_id in inside - roots]


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count:,} items"


def _projects(count: int) -> str:
    return "1 project" if count == 1 else f"{count:,} projects"


def _are(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {_items(count)}"


def _names(projects: Sequence[Project]) -> str:
    listed = ", ".join(project.name for project in projects[:MOST_NAMED])
    return f"{listed} and {len(projects) - MOST_NAMED:,} more" if len(projects) > MOST_NAMED else listed
