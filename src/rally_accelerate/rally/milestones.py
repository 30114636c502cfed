"""Milestones with their dates and projects (rally-api-notes.md#timeboxes); rows of items carry their names alone."""

import logging
from collections.abc import Iterable, Mapping

from rally_accelerate.errors import AccessRefused, NotFound, Rejected
from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.keyset import Listing, Row
from rally_accelerate.rally.records import Milestone
from rally_accelerate.rally.selection import rows_of
from rally_accelerate.rally.wire import parse_instant, ref_id

logger = logging.getLogger(__name__)

_FETCH = ("ObjectID", "FormattedID", "Name", "TargetDate", "TargetProject")


class Milestones:
    """Reads the milestones of one workspace, each once in a run.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
    """

    def __init__(self, caller: Caller, *, workspace: int) -> None:
        self._caller = caller
        self._listing = Listing(kind="milestone", fetch=_FETCH, workspace=workspace)
        self._known: dict[int, Milestone] = {}
        #: Asked for and not shown, or everything when the list is refused.
        self._unknown: set[int] = set()

    async def of(self, rows: Iterable[Row]) -> Mapping[int, Milestone]:
        """The milestones that items carry, as far as they can be read, by ObjectID.

        Args:
            rows: The fields of the items.
        """
        wanted = {its_id for row in rows for its_id in carried(row)}
        missing = sorted(wanted - self._known.keys() - self._unknown)
        if missing:
            try:
                async for row in rows_of(self._caller, self._listing, missing):
                    if (its_id := ref_id(row)) is not None:
                        self._known[its_id] = _milestone(its_id, row)
            except (AccessRefused, NotFound, Rejected) as error:
                # Their names came with the items; only what else is known of them is missing.
                logger.info("dates of milestones cannot be read: %s", error)
            self._unknown.update(set(missing) - self._known.keys())
        return {its_id: self._known[its_id] for its_id in wanted if its_id in self._known}


def carried(fields: Row) -> list[int]:
    """ObjectIDs of the milestones of an item."""
    collection = fields.get("Milestones")
    members = collection.get("_tagsNameArray") if isinstance(collection, Mapping) else None
    found = (ref_id(member) for member in members) if isinstance(members, list) else ()
    return [its_id for its_id in found if its_id is not None]


def _milestone(its_id: int, row: Row) -> Milestone:
    project = row.get("TargetProject")
    name = str(project.get("Name") or project.get("_refObjectName") or "") if isinstance(project, Mapping) else ""
    return Milestone(
        object_id=its_id,
        key=str(row.get("FormattedID") or ""),
        name=str(row.get("Name") or row.get("_refObjectName") or ""),
        target=parse_instant(row.get("TargetDate")),
        project=name.strip(),
    )
