"""Iterations, releases and milestones that changed, began or ended (rally-api-notes.md#timeboxes)."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime

from rally_accelerate.errors import AccessDeniedError, NotFoundError, RejectedError
from rally_accelerate.model.progress import Window
from rally_accelerate.rally.keyset_paging import Listing, Row, rows_of, walk
from rally_accelerate.rally.query import And, Condition, Expression, Or
from rally_accelerate.rally.records import Milestone, Scope, TimeboxFacts
from rally_accelerate.rally.session import Caller
from rally_accelerate.rally.wsapi import parse_instant, ref_id

#: The endpoint of each field, and the facts that items are told with. Scheduling items changes a timebox, too, but
#: none of these.
_FACTS = {
    "Iteration": ("iteration", ("Name", "StartDate", "EndDate", "State", "Theme")),
    "Release": ("release", ("Name", "ReleaseStartDate", "ReleaseDate", "State", "Theme")),
    "Milestones": ("milestone", ("Name", "FormattedID", "TargetDate", "TargetProject")),
}

#: Where the beginning and the end decide what an item's issue says: whether its sprint is active.
_BEGINS_AND_ENDS = {"Iteration": ("StartDate", "EndDate")}


async def changed_timeboxes(
    caller: Caller, scope: Scope, field: str, *, since: datetime, passed: Window
) -> list[TimeboxFacts]:
    """Return the timeboxes that changed, began or ended; one request unless there are very many.

    Args:
        caller: Asks Rally.
        scope: The workspace.
        field: One of ``TIMEBOX_FIELDS``.
        since: Changes at or after this instant count.
        passed: Begins and ends in this window count.

    Raises:
        RallyAccelerateError: Rally cannot be asked.
    """
    endpoint, facts = _FACTS[field]
    where: list[Expression] = [Condition("LastUpdateDate", ">=", since)]
    ends = _BEGINS_AND_ENDS.get(field, ())
    if passed.since is not None and passed.until is not None:
        where += [And((Condition(each, ">=", passed.since), Condition(each, "<=", passed.until))) for each in ends]
    fetch = ("ObjectID", "Project", *facts)
    listing = Listing(kind=endpoint, fetch=fetch, where=(Or(tuple(where)),), workspace=scope.workspace.object_id)
    found: list[TimeboxFacts] = []
    async for page in walk(caller, listing):
        for its_id, row in page.rows:
            start, end = (parse_instant(row.get(each)) for each in ends) if ends else (None, None)
            text = json.dumps([_fact(row.get(name)) for name in facts], sort_keys=True, default=str)
            found.append(
                TimeboxFacts(
                    object_id=its_id,
                    name=str(row.get("Name") or row.get("_refObjectName") or its_id),
                    project=ref_id(row.get("Project")),
                    start=start,
                    end=end,
                    digest=hashlib.sha256(text.encode()).hexdigest()[:8],
                )
            )
    return found


def _fact(value: object) -> object:
    # Of a referenced object only its identity counts: its other changes are reported for itself.
    return ref_id(value) if isinstance(value, Mapping) else value


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
            except (AccessDeniedError, NotFoundError, RejectedError) as error:
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
