"""The plan of a sync: which walks to read. No I/O.

Every lane (kind and project) has its own cursor, so a project that comes into scope later is read completely while the
others continue with their changes. Lanes with the same cursor are read together: a sync without changes needs a handful
of requests, independent of the number of projects.

When the whole workspace is in scope, one lane for each kind follows all changes, and the lanes of single projects only
record which ones have been read completely: a project that is opened, or becomes visible to the user, later brings
items that changed long ago, and is read once in a separate walk.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rally_accelerate.model.progress import ALL_PROJECTS, Lane, Progress, Walk, Window, get_next_window
from rally_accelerate.rally.records import Scope

#: Project conditions are joined with OR; more than this and the address grows past 4 KB
#: (rally-api-notes.md#address-length).
MOST_PROJECTS_IN_A_WALK = 40

#: Timeboxes and other references in one condition, for the same reason.
MOST_CARRIED_IN_A_WALK = 25

#: Kinds whose items have no such field (rally-api-notes.md#attributes).
_WITHOUT = {"Iteration": ("portfolioitem", "testcase"), "Release": ("testcase",)}

#: Into how many walks of one kind a first sync is parted, so that several requests can be under way: pages of one
#: walk follow each other, each needs the last id of the one before.
FIRST_WALKS_PER_KIND = 4


def valid_progress(
    progress: Progress, scope: Scope, *, rules_version: str, reads: frozenset[str] = frozenset()
) -> Progress:
    """Return the part of the progress that is valid for this scope and these rules.

    Cursors of another workspace or filter say nothing about this one. Under new mapping rules everything is to be
    mapped and uploaded again; the ledger, keyed by rules version too, lets it through. Lanes that left the scope
    are forgotten, so that they are read whole if they come back.
    """
    if progress.scope != scope.signature or progress.rules_version != rules_version:
        owed = progress.owed if progress.scope == scope.signature else frozenset()
        same = progress.scope == scope.signature
        return Progress(
            scope=scope.signature,
            rules_version=rules_version,
            read_with=reads,
            owed=owed,
            missing=progress.missing if same else {},
            listed_at=progress.listed_at if same else None,
            learned=progress.learned,
            former=former_projects(progress, scope),
            # Items that did not change are read and not sent: what they carry may have changed since.
            timeboxes=progress.timeboxes,
            names=progress.names,
        )
    lanes = lanes_of(scope)
    # A project that went out of sight in the middle of a walk may come back behind the walk's place.
    unfinished = [
        replace(walk, covers=tuple(project for project in walk.covers if project in scope.visible))
        for walk in progress.unfinished
    ]
    return replace(
        progress,
        cursors={lane: cursor for lane, cursor in progress.cursors.items() if lane in lanes},
        unfinished=tuple(walk for walk in unfinished if walk.kind in scope.kinds and lanes.issuperset(walk.lanes)),
        owed=frozenset((kind, item) for kind, item in progress.owed if kind in scope.kinds),
        former=former_projects(progress, scope),
    )


def former_projects(progress: Progress, scope: Scope) -> frozenset[int]:
    """Return the projects that were read before and are not in the scope: their issues are still held somewhere.

    Args:
        progress: As an earlier run left it.
        scope: What is read now.
    """
    lanes = (*progress.cursors, *(lane for walk in progress.unfinished for lane in walk.lanes))
    before = progress.former | {lane.project for lane in lanes}
    return frozenset(before - {lane.project for lane in lanes_of(scope)} - {ALL_PROJECTS})


def lanes_of(scope: Scope) -> frozenset[Lane]:
    """Return every lane of the scope."""
    projects = [project.object_id for project in scope.projects] or [ALL_PROJECTS, *scope.visible]
    return frozenset(Lane(kind, project) for kind in scope.kinds for project in projects)


def walks(
    progress: Progress, scope: Scope, *, overlap: timedelta, without: frozenset[Lane] | None = None
) -> tuple[Walk, ...]:
    """Return every walk of this sync, unfinished ones of earlier syncs first.

    Args:
        progress: What ``valid_progress`` returned.
        scope: What is to be read now.
        overlap: How far to look back behind each cursor.
        without: For a second round: the lanes that the first one already brought up to date; what is owed was
            asked for then, too. None for the first round.
    """
    planned = list(progress.unfinished)
    busy = {lane for walk in planned for lane in walk.lanes}
    by_cursor: dict[tuple[str, datetime | None], list[int]] = defaultdict(list)
    for lane in sorted(_to_walk(progress, scope) - busy - (without or frozenset())):
        by_cursor[lane.kind, progress.cursors.get(lane)].append(lane.project)
    for kind in scope.kinds:
        for (walk_kind, cursor), projects in by_cursor.items():
            if walk_kind == kind:
                planned.extend(
                    Walk(
                        kind=kind,
                        projects=group,
                        window=get_next_window(cursor, overlap=overlap) if cursor else Window(progress.since),
                        started_at=scope.now,
                        covers=tuple(sorted(scope.visible)) if not group and cursor is None else (),
                    )
                    for group in _groups(projects, first=cursor is None)
                )
    if without is not None:
        return tuple(planned)
    planned.extend(
        Walk(kind=kind, only=tuple(sorted(items)), started_at=scope.now)
        for kind, items in _by_kind(progress.owed).items()
    )
    return tuple(planned)


def read_until(progress: Progress, scope: Scope) -> datetime | None:
    """Until when the lanes that follow changes have been read, those that are new apart; None when all are new.

    In a whole workspace the lanes of single projects only say that they were read once, and stay at that instant.
    """
    projects = [project.object_id for project in scope.projects] or [ALL_PROJECTS]
    lanes = [Lane(kind, project) for kind in scope.kinds for project in projects]
    return min((progress.cursors[lane] for lane in lanes if lane in progress.cursors), default=None)


def walks_over(scope: Scope, window: Window) -> tuple[Walk, ...]:
    """Walks over everything in a window; they say nothing about cursors, which stay where they are."""
    projects = [project.object_id for project in scope.projects] or [ALL_PROJECTS]
    return tuple(
        Walk(kind=kind, projects=group, window=window, started_at=scope.now, aside=True)
        for kind in scope.kinds
        for group in _groups(projects, first=window.since is None)
    )


def walks_carrying(
    scope: Scope, field: str, timeboxes: Sequence[int], *, since: datetime | None, removed: Iterable[int] = ()
) -> tuple[Walk, ...]:
    """Walks over the items that carry some timeboxes, which are sent again although they did not change.

    Args:
        scope: What is read.
        field: Where items carry them.
        timeboxes: ObjectIDs.
        since: Items that changed before are not wanted.
        removed: ObjectIDs of items that carried one of them, of whatever kind.
    """
    places = [(kind, field) for kind in scope.kinds if not kind.startswith(_WITHOUT.get(field, ()))]
    walks = walks_carrying_in(scope, places, timeboxes, since=since)
    items, first = tuple(sorted(removed)), tuple(timeboxes[:MOST_CARRIED_IN_A_WALK])
    return walks + tuple(replace(walk, only=items) for walk in walks if items and walk.carrying == first)


def walks_carrying_in(
    scope: Scope, places: Iterable[tuple[str, str]], carried: Sequence[int], *, since: datetime | None
) -> tuple[Walk, ...]:
    """Return walks over the items that carry something, which are sent again although they did not change.

    Args:
        scope: What is read.
        places: Types of items, and the fields in which those carry it.
        carried: ObjectIDs.
        since: Items that changed before are not wanted.
    """
    parts = [
        tuple(carried[start : start + MOST_CARRIED_IN_A_WALK])
        for start in range(0, len(carried), MOST_CARRIED_IN_A_WALK)
    ]
    return tuple(
        Walk(kind=kind, field=field, carrying=part, window=Window(since), started_at=scope.now)
        for kind in scope.kinds
        for of_kind, field in sorted(places)
        if of_kind == kind
        for part in parts
    )


def _to_walk(progress: Progress, scope: Scope) -> frozenset[Lane]:
    lanes = lanes_of(scope)
    if scope.projects:
        return lanes
    # The lane of the whole workspace follows every change; single projects are walked when it has been at its end
    # without them.
    read = {lane.kind for lane in progress.cursors if lane.project == ALL_PROJECTS}
    return frozenset(
        lane for lane in lanes if lane.project == ALL_PROJECTS or (lane.kind in read and lane not in progress.cursors)
    )


def _groups(projects: Sequence[int], *, first: bool) -> Iterable[tuple[int, ...]]:
    if list(projects) == [ALL_PROJECTS]:
        return [()]
    size = MOST_PROJECTS_IN_A_WALK
    if first:
        size = min(size, math.ceil(len(projects) / FIRST_WALKS_PER_KIND))
    return [tuple(projects[start : start + size]) for start in range(0, len(projects), size)]


def _by_kind(owed: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    grouped: dict[str, list[int]] = defaultdict(list)
    for kind, item in sorted(owed):
        grouped[kind].append(item)
    return grouped


def identity(walk: Walk) -> tuple[object, ...]:
    """Return a key that is the same for a walk at every position."""
    return (walk.kind, walk.projects, walk.window, walk.started_at, walk.only, walk.field, walk.carrying)


def advance(progress: Progress, walk: Walk, *, after: int) -> Progress:
    """Return the progress after everything up to ``after`` of a walk was delivered."""
    if (walk.only and not walk.carrying) or walk.aside:
        return progress
    rest = tuple(other for other in progress.unfinished if identity(other) != identity(walk))
    return replace(progress, unfinished=(*rest, replace(walk, after=after)))


def finish(progress: Progress, walk: Walk) -> Progress:
    """Return the progress after a complete walk: its cursors move to the start of the walk."""
    rest = tuple(other for other in progress.unfinished if identity(other) != identity(walk))
    cursors = {**progress.cursors, **dict.fromkeys(walk.lanes, walk.started_at)}
    return replace(progress, unfinished=rest, cursors=cursors)
