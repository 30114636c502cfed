"""What a walk asks Rally for, as listings; pure (rally-api-notes.md#scope, rally-api-notes.md#query-language)."""

from collections.abc import Sequence
from dataclasses import replace

from rally_accelerate.model.progress import WHOLE_WORKSPACE, Walk
from rally_accelerate.rally.fields import fetched
from rally_accelerate.rally.keyset import Listing
from rally_accelerate.rally.query import Condition, Expression, Raw, any_of
from rally_accelerate.rally.records import Scope
from rally_accelerate.rally.stretches import chunks

#: For the host and the scheme in front of an address.
_ORIGIN_BYTES = 261


def listing_of(scope: Scope, walk: Walk, more: Sequence[str] = ()) -> Listing:
    """The rows that a walk is about, apart from ``walk.only`` and ``walk.after``.

    Args:
        scope: The workspace and the extra filter.
        walk: The kind, projects and window.
        more: Element names to fetch besides the usual ones.
    """
    where: list[Expression] = []
    if walk.window.since is not None:
        where.append(Condition("LastUpdateDate", ">=", walk.window.since))
    if walk.window.until is not None:
        where.append(Condition("LastUpdateDate", "<", walk.window.until))
    projects = [project for project in walk.projects if project != WHOLE_WORKSPACE]
    if len(projects) > 1:
        # The project parameter takes one project; several are a condition on the whole workspace.
        where.append(any_of("Project.ObjectID", projects))
    if walk.carrying and not walk.only:
        where.insert(0, any_of(f"{walk.field}.ObjectID", walk.carrying))
    if query := scope.query_of(walk.kind):
        where.append(Raw(query))
    return Listing(
        kind=walk.kind,
        fetch=fetched(walk.kind, more),
        where=tuple(where),
        workspace=scope.workspace.object_id,
        project=projects[0] if len(projects) == 1 else None,
    )


def listings_of(scope: Scope, walk: Walk, *, page_size: int, more: Sequence[str] = ()) -> Sequence[tuple[Listing, int]]:
    """The listings that make up a walk, ascending, each with how many items it is known to ask for; 0 if unknown.

    Args:
        scope: The workspace and the extra filter.
        walk: The walk; ``only`` is parted so that addresses stay short.
        page_size: The largest page, for the length of the address.
        more: Element names to fetch besides the usual ones.
    """
    listing = listing_of(scope, walk, more)
    if not walk.only:
        return [(listing, 0)]
    # Items that were owed may have left the projects meanwhile; the conditions of the scope still hold for
    # them.
    frame = replace(listing, where=(*listing.where, Condition("ObjectID", "=", 1)))
    taken = len(frame.request(after=10**13, size=page_size).target) + _ORIGIN_BYTES
    ids = sorted(each for each in set(walk.only) if each > walk.after)
    if not ids:
        return []
    return [
        (replace(listing, where=(any_of("ObjectID", part), *listing.where)), len(part))
        for part in chunks(ids, taken=taken, field="ObjectID")
    ]
