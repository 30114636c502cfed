"""Migration check: whether an integration's issues in Accelerate would be updated or duplicated.

An issue is known by the integration and by its id in the external tool (accelerate-api-notes.md#updates-and-deletion);
which of Rally's ids an earlier plug-in took for that is seen in what it left.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rally_accelerate.accelerate import documents
from rally_accelerate.accelerate.client import ISSUES_IN_A_PAGE, AccelerateClient
from rally_accelerate.accelerate.responses import own_issue
from rally_accelerate.errors import RejectedError
from rally_accelerate.model.progress import Walk
from rally_accelerate.rally.client import RallyClient

_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)

#: So many examples are named of each kind.
EXAMPLES = 5


class Identity(StrEnum):
    """By which of Rally's ids an issue is known."""

    OBJECT_ID = "ObjectID"
    FORMATTED_ID = "FormattedID"
    OBJECT_UUID = "ObjectUUID"
    OTHER = "something else"


@dataclass(slots=True)
class Comparison:
    """What Accelerate holds of an integration beside what would be uploaded."""

    #: Items that Rally shows.
    items: int = 0
    #: Issues that Accelerate holds for this integration.
    issues: int = 0
    #: By which id those issues are known.
    identities: Counter[Identity] = field(default_factory=Counter)
    #: Issues that an upload would update.
    updated: int = 0
    #: FormattedIDs of items that are there under another id: an upload would add them a second time.
    duplicated: list[str] = field(default_factory=list)
    #: FormattedIDs of items that Accelerate does not hold yet.
    added: list[str] = field(default_factory=list)
    #: Display ids of issues whose item Rally does not show: deleted, moved out, or out of reach.
    not_in_rally: list[str] = field(default_factory=list)


async def compare_identities(source: RallyClient, sink: AccelerateClient) -> Comparison:
    """Compare identities; nothing is changed on either side.

    Args:
        source: Connected.
        sink: Connected; opened here.

    Raises:
        RallyAccelerateError: One of the two cannot be asked.
    """
    scope = await source.open()
    await sink.open()
    items: dict[str, str] = {}
    projects: dict[str, None] = {}
    for kind in scope.kinds:
        walk = Walk(kind=kind, projects=tuple(sorted(one.object_id for one in scope.projects)), started_at=scope.now)
        async for page in source.read_changes(scope, walk):
            for record in page.records:
                items[str(record.object_id)] = record.key
                projects.update(dict.fromkeys(_keys_of(record.fields.get("Project"))))
    comparison = Comparison(items=len(items))
    by_key = {key.casefold(): its_id for its_id, key in items.items()}
    there: set[str] = set()
    async for issue in _read_issues(sink, list(projects)):
        item_id, display = str(issue.get("_id")), str(issue.get("id") or "")
        comparison.issues += 1
        comparison.identities[_identity(item_id, display, items)] += 1
        if item_id in items:
            comparison.updated += 1
            there.add(item_id)
        elif (known := by_key.get(display.casefold()) or by_key.get(item_id.casefold())) is not None:
            comparison.duplicated.append(items[known])
            there.add(known)
        else:
            comparison.not_in_rally.append(display or item_id)
    comparison.added = [key for its_id, key in items.items() if its_id not in there]
    return comparison


def _identity(item_id: str, display: str, items: Mapping[str, str]) -> Identity:
    if item_id in items or (item_id.isdigit() and item_id != display):
        return Identity.OBJECT_ID
    if item_id == display:
        return Identity.FORMATTED_ID
    return Identity.OBJECT_UUID if _UUID.fullmatch(item_id) else Identity.OTHER


def _keys_of(project: Any) -> list[str]:
    # What earlier plug-ins gave as a project's key is not public: its id or its name.
    if not isinstance(project, Mapping):
        return []
    project_id = str(project.get("_ref") or "").rstrip("/").rpartition("/")[2]
    names = (project_id, str(project.get("Name") or ""), str(project.get("_refObjectName") or ""))
    return [name for name in names if name]


async def _read_issues(sink: AccelerateClient, projects: list[str]) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the integration's issues without duplicates, from the list of newer servers or project by project."""
    seen: set[str] = set()
    try:
        async for one in _list_issues(sink):
            if (key := str(one.get("_id"))) not in seen:
                seen.add(key)
                yield one
    except RejectedError:
        # Older servers have no such query.
        for project in projects:
            async for one in sink.list_project_issues(project, documents.read_issues(("_id", "id"))):
                if (key := str(one.get("_id"))) not in seen:
                    seen.add(key)
                    yield one


async def _list_issues(sink: AccelerateClient) -> AsyncIterator[Mapping[str, Any]]:
    skip = 0
    known: set[str] = set()
    while True:
        filter_ = {"tenantId": sink.tenant_id, "skip": skip, "limit": ISSUES_IN_A_PAGE}
        data = await sink.ask("issues", documents.LIST_ISSUES, {"filter": filter_})
        listed = data.get("issues")
        page = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
        for one in page:
            if (issue := own_issue(one, tracker_id=sink.tracker_id)) is not None:
                yield issue
        skip += len(page)
        fresh = {str(one.get("_id")) for one in page} - known
        known |= fresh
        # A server that passes over nothing would answer the same page for ever.
        if len(page) < ISSUES_IN_A_PAGE or not fresh:
            return
