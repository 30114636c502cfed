"""Iterations, releases and milestones that changed, began or ended (rally-api-notes.md#timeboxes)."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from rally_accelerate.model.progress import Window
from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.keyset import Listing, walk
from rally_accelerate.rally.query import And, Condition, Expression, Or
from rally_accelerate.rally.records import Scope, TimeboxFacts
from rally_accelerate.rally.wire import parse_instant, ref_id

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
