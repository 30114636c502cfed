"""Looking for items that are no longer shown: listings of ids, the recycle bin, other places.

See rally-api-notes.md#removed-items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from rally_accelerate.model.progress import Walk
from rally_accelerate.rally.keyset_paging import Listing, listing_of, rows_of, walk
from rally_accelerate.rally.query import Condition
from rally_accelerate.rally.records import PERSON_FIELDS, Binned, Scope, person_name
from rally_accelerate.rally.session import Caller
from rally_accelerate.rally.wsapi import object_id, parse_instant, ref_id

_BIN_FIELDS = ("ObjectID", "ItemOID", "ID", "Name", "DeletionDate", "DeletedBy", *PERSON_FIELDS)

#: Projects in one condition: the address stays below its limit.
PROJECTS_AT_ONCE = 40


async def shown(caller: Caller, scope: Scope, ids: Sequence[int] | None) -> set[int]:
    """ObjectIDs of the items that the scope shows now; complete, or an error.

    Args:
        caller: Asks Rally.
        scope: Where to look.
        ids: Look for these alone; None lists everything.
    """
    found: set[int] = set()
    for kind in scope.kinds:
        projects = [project.object_id for project in scope.projects]
        for start in range(0, max(1, len(projects)), PROJECTS_AT_ONCE):
            its_walk = Walk(kind=kind, projects=tuple(projects[start : start + PROJECTS_AT_ONCE]), started_at=scope.now)
            # What is not listed would count as removed.
            listing = replace(listing_of(scope, its_walk), fetch=("ObjectID",), complete=True)
            if ids is None:
                async for page in walk(caller, listing):
                    found.update(key for key, _ in page.rows)
            else:
                wanted = set(ids)
                async for row in rows_of(caller, listing, ids):
                    key = ref_id(row)
                    if key in wanted:
                        found.add(key)
    return found


async def binned(caller: Caller, scope: Scope, since: datetime) -> list[Binned]:
    """Return what was put into the recycle bin since an instant.

    Raises:
        RallyAccelerateError: It cannot be read: perhaps not every user can (rally-api-notes.md#recycle-bin).
    """
    listing = Listing(
        kind="recyclebinentry",
        fetch=_BIN_FIELDS,
        where=(Condition("DeletionDate", ">=", since),),
        workspace=scope.workspace.object_id,
    )
    found: list[Binned] = []
    async for page in walk(caller, listing):
        for _, row in page.rows:
            # ``ItemOID`` is missing on older servers (rally-api-notes.md#recycle-bin): then the listing alone tells of
            # the deletion.
            item, instant = object_id(row.get("ItemOID")), parse_instant(row.get("DeletionDate"))
            if item is not None and instant is not None:
                user = row.get("DeletedBy")
                name = person_name(user) if isinstance(user, Mapping) else ""
                found.append(Binned(item, instant, name, ref_id(user)))
    return found


async def elsewhere(caller: Caller, scope: Scope, ids: Sequence[int]) -> dict[int, str]:
    """The project's name of each item that is still there, only not in the scope."""
    found: dict[int, str] = {}
    for kind in scope.kinds:
        listing = Listing(kind=kind, fetch=("ObjectID", "Project"), workspace=scope.workspace.object_id)
        async for row in rows_of(caller, listing, ids):
            key, project = ref_id(row), row.get("Project")
            if key is not None and key in ids:
                found[key] = str(project.get("_refObjectName") or "") if isinstance(project, Mapping) else ""
    return found
