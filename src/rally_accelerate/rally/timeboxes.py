"""Iterations, releases and milestones that changed, started or ended (rally-api-notes.md#timeboxes)."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime

from rally_accelerate.errors import AccessDeniedError, NotFoundError, RejectedError
from rally_accelerate.model.progress import Window
from rally_accelerate.rally.keyset_paging import Listing, Row, read_pages, read_rows
from rally_accelerate.rally.query import And, Condition, Expression, Or
from rally_accelerate.rally.records import Milestone, Scope, TimeboxFacts
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.wsapi import parse_instant, ref_id

#: The endpoint of each field, and the facts that issues contain. Scheduling an item also updates the timebox, but none
#: of these.
_FACTS = {
    "Iteration": ("iteration", ("Name", "StartDate", "EndDate", "State", "Theme")),
    "Release": ("release", ("Name", "ReleaseStartDate", "ReleaseDate", "State", "Theme")),
    "Milestones": ("milestone", ("Name", "FormattedID", "TargetDate", "TargetProject")),
}

#: Fields whose dates affect issues: whether the sprint is active.
_DATE_FIELDS = {"Iteration": ("StartDate", "EndDate")}


async def read_changed_timeboxes(
    session: Session, scope: Scope, field: str, *, since: datetime, passed: Window
) -> list[TimeboxFacts]:
    """Return the timeboxes that changed, started or ended; one request unless there are very many.

    Args:
        session: Sends requests to Rally.
        scope: The workspace.
        field: One of ``TIMEBOX_FIELDS``.
        since: Changes at or after this instant count.
        passed: Begins and ends in this window count.

    Raises:
        RallyAccelerateError: The request fails.
    """
    endpoint, facts = _FACTS[field]
    where: list[Expression] = [Condition("LastUpdateDate", ">=", since)]
    ends = _DATE_FIELDS.get(field, ())
    if passed.since is not None and passed.until is not None:
        where += [
            And((Condition(field_name, ">=", passed.since), Condition(field_name, "<=", passed.until)))
            for field_name in ends
        ]
    fetch = ("ObjectID", "Project", *facts)
    listing = Listing(kind=endpoint, fetch=fetch, where=(Or(tuple(where)),), workspace=scope.workspace.object_id)
    changed: list[TimeboxFacts] = []
    async for page in read_pages(session, listing):
        for oid, row in page.rows:
            start, end = (parse_instant(row.get(field_name)) for field_name in ends) if ends else (None, None)
            text = json.dumps([_digest_value(row.get(name)) for name in facts], sort_keys=True, default=str)
            changed.append(
                TimeboxFacts(
                    object_id=oid,
                    name=str(row.get("Name") or row.get("_refObjectName") or oid),
                    project=ref_id(row.get("Project")),
                    start=start,
                    end=end,
                    digest=hashlib.sha256(text.encode()).hexdigest()[:8],
                )
            )
    return changed


def _digest_value(value: object) -> object:
    # Only the identity of a referenced object counts: its other changes are reported separately.
    return ref_id(value) if isinstance(value, Mapping) else value


logger = logging.getLogger(__name__)

_FETCH = ("ObjectID", "FormattedID", "Name", "TargetDate", "TargetProject")


class MilestoneReader:
    """Reader of the milestones of one workspace, each once in a run.

    Args:
        session: Sends requests to Rally.
        workspace: The workspace's ObjectID.
    """

    def __init__(self, session: Session, *, workspace: int) -> None:
        self._session = session
        self._listing = Listing(kind="milestone", fetch=_FETCH, workspace=workspace)
        self._known: dict[int, Milestone] = {}
        #: Milestones that were not returned, or all when the list is refused.
        self._unknown: set[int] = set()

    async def read(self, rows: Iterable[Row]) -> Mapping[int, Milestone]:
        """Read the milestones of items, as far as the user can see them, by ObjectID.

        Args:
            rows: The fields of the items.
        """
        requested = {oid for row in rows for oid in milestone_ids(row)}
        missing = sorted(requested - self._known.keys() - self._unknown)
        if missing:
            try:
                async for row in read_rows(self._session, self._listing, missing):
                    if (oid := ref_id(row)) is not None:
                        self._known[oid] = _milestone(oid, row)
            except (AccessDeniedError, NotFoundError, RejectedError) as error:
                # Their names are in the items; only their other fields are missing.
                logger.info("dates of milestones cannot be read: %s", error)
            self._unknown.update(set(missing) - self._known.keys())
        return {oid: self._known[oid] for oid in requested if oid in self._known}


def milestone_ids(fields: Row) -> list[int]:
    """Return the ObjectIDs of the milestones of an item."""
    collection = fields.get("Milestones")
    members = collection.get("_tagsNameArray") if isinstance(collection, Mapping) else None
    ids = (ref_id(member) for member in members) if isinstance(members, list) else ()
    return [oid for oid in ids if oid is not None]


def _milestone(oid: int, row: Row) -> Milestone:
    project = row.get("TargetProject")
    name = str(project.get("Name") or project.get("_refObjectName") or "") if isinstance(project, Mapping) else ""
    return Milestone(
        object_id=oid,
        key=str(row.get("FormattedID") or ""),
        name=str(row.get("Name") or row.get("_refObjectName") or ""),
        target=parse_instant(row.get("TargetDate")),
        project=name.strip(),
    )
