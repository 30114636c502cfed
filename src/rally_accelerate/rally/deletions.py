"""Detection of removed items: lists of visible ids, the recycle bin, and items outside the scope.

See rally-api-notes.md#removed-items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from rally_accelerate.model.progress import Walk
from rally_accelerate.rally.keyset_paging import Listing, build_listing, read_pages, read_rows
from rally_accelerate.rally.query import Condition
from rally_accelerate.rally.records import PERSON_FIELDS, RecycleBinEntry, Scope, person_name
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.wsapi import object_id, parse_instant, ref_id

_BIN_FIELDS = ("ObjectID", "ItemOID", "ID", "Name", "DeletionDate", "DeletedBy", *PERSON_FIELDS)

#: Projects in one condition: the address stays below its limit.
MAX_PROJECTS_IN_QUERY = 40


async def find_visible(session: Session, scope: Scope, ids: Sequence[int] | None) -> set[int]:
    """Return the ObjectIDs of all items in the scope; raise an error if incomplete.

    Args:
        session: Sends requests to Rally.
        scope: Where to look.
        ids: Look for these alone; None lists everything.
    """
    visible: set[int] = set()
    for kind in scope.kinds:
        projects = [project.object_id for project in scope.projects]
        for start in range(0, max(1, len(projects)), MAX_PROJECTS_IN_QUERY):
            walk = Walk(
                kind=kind, projects=tuple(projects[start : start + MAX_PROJECTS_IN_QUERY]), started_at=scope.now
            )
            # Items that are missing from the list would count as removed.
            listing = replace(build_listing(scope, walk), fetch=("ObjectID",), complete=True)
            if ids is None:
                async for page in read_pages(session, listing):
                    visible.update(key for key, _ in page.rows)
            else:
                requested = set(ids)
                async for row in read_rows(session, listing, ids):
                    key = ref_id(row)
                    if key in requested:
                        visible.add(key)
    return visible


async def read_recycle_bin(session: Session, scope: Scope, since: datetime) -> list[RecycleBinEntry]:
    """Return the items that were moved to the recycle bin since an instant.

    Raises:
        RallyAccelerateError: It cannot be read: perhaps not every user can (rally-api-notes.md#recycle-bin).
    """
    listing = Listing(
        kind="recyclebinentry",
        fetch=_BIN_FIELDS,
        where=(Condition("DeletionDate", ">=", since),),
        workspace=scope.workspace.object_id,
    )
    entries: list[RecycleBinEntry] = []
    async for page in read_pages(session, listing):
        for _, row in page.rows:
            # ``ItemOID`` is missing on older servers (rally-api-notes.md#recycle-bin): then only the list of ids shows
            # the deletion.
            item, instant = object_id(row.get("ItemOID")), parse_instant(row.get("DeletionDate"))
            if item is not None and instant is not None:
                user = row.get("DeletedBy")
                name = person_name(user) if isinstance(user, Mapping) else ""
                entries.append(RecycleBinEntry(item, instant, name, ref_id(user)))
    return entries


async def find_moved(session: Session, scope: Scope, ids: Sequence[int]) -> dict[int, str]:
    """Return the project name of each item that still exists outside the scope."""
    project_names: dict[int, str] = {}
    for kind in scope.kinds:
        listing = Listing(kind=kind, fetch=("ObjectID", "Project"), workspace=scope.workspace.object_id)
        async for row in read_rows(session, listing, ids):
            key, project = ref_id(row), row.get("Project")
            if key is not None and key in ids:
                project_names[key] = str(project.get("_refObjectName") or "") if isinstance(project, Mapping) else ""
    return project_names
