"""What Accelerate keeps for one integration between the runs of its plug-in (accelerate-host.md 1.8).

None of this is needed to deliver issues: a server that lacks an operation, or keeps nothing, is told apart from one
that cannot be reached, and the run goes on without.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.accelerate import documents
from rally_accelerate.accelerate.client import ISSUES_IN_A_PAGE, AccelerateClient
from rally_accelerate.errors import AccessRefused, Rejected
from rally_accelerate.model.decoding import Undecodable, parse_json

log = logging.getLogger(__name__)

#: What a server says to a document whose selection does not fit the answer's type.
_SELECTION = re.compile(r"(?i)selection|subfield")

#: Clears the wish for a resync (accelerate-host.md 1.8).
NO_RESYNC = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What the platform tells of the integration at the start of a run."""

    #: Whether it could be asked at all.
    known: bool = False
    #: Whatever a plug-in asked to keep, in the form that the server returns it in.
    state: Any = None
    #: None when it is not told, or no run succeeded yet.
    last_success: datetime | None = None
    #: None when it is not told.
    last_run_successful: bool | None = None


class Platform:
    """One integration, as the platform knows it.

    Args:
        client: Entered, for the same server and tenant.
        integration_id: The integration's id, which is the issues' ``trackerId`` as well.
        tenant_id: The tenant.
    """

    def __init__(self, client: AccelerateClient, *, integration_id: str, tenant_id: str) -> None:
        self._client = client
        self._id = integration_id
        self._tenant_id = tenant_id

    async def recall(self) -> Recalled:
        """What is known of the integration; empty when the server does not tell.

        Raises:
            RallyAccelerateError: The server cannot be reached.
        """
        try:
            data = await self._client.ask("integrationById", documents.RECALL, {"id": self._id})
        except (Rejected, AccessRefused) as error:
            # A key that may upload may still not be allowed to read this [U]: opening shows whether it is accepted.
            log.debug("integrationById: %s", error)
            return Recalled()
        self._client.accepted()
        found = data.get("integrationById")
        if not isinstance(found, Mapping):
            return Recalled()
        successful = found.get("last_run_successful")
        return Recalled(
            known=True,
            state=found.get("state"),
            last_success=instant(found.get("last_successful_execution_time")),
            last_run_successful=successful if isinstance(successful, bool) else None,
        )

    async def keep(self, event: str, state: Mapping[str, Any]) -> bool:
        """Have something kept for the next run; whether the server took it.

        Raises:
            RallyAccelerateError: The server cannot be reached.
        """
        variables = {"integrationId": self._id, "eventName": event, "properties": state}
        return await self._told("updateIntegrationState", documents.KEEP, variables)

    async def resync_done(self, event: str) -> bool:
        """Withdraw the wish for a resync; whether the server took it.

        Raises:
            RallyAccelerateError: The server cannot be reached.
        """
        states = [{"eventName": event, "deltaTime": NO_RESYNC}]
        variables = {"integrationId": self._id, "scheduledEventStates": states}
        return await self._told("updateScheduledEventStates", documents.RESYNC_DONE, variables)

    async def statuses(self, ids: Iterable[int]) -> dict[int, str]:
        """The status of each of these issues that the server holds for this integration."""
        found: dict[int, str] = {}
        for each in ids:
            variables = {"tenantId": self._tenant_id, "issueId": str(each)}
            data = await self._client.ask("issue", documents.READ_STATUS, variables)
            self._note(found, data.get("issue"), only=each)
        return found

    async def all_statuses(self, projects: Sequence[str]) -> dict[int, str]:
        """The status of every issue that the server holds for this integration, by the projects they belong to.

        The form of the cursor is not public [U]: see ``AccelerateClient.held``.
        """
        found: dict[int, str] = {}
        for project in projects:
            passed = 0
            while True:
                variables = {
                    "tenantId": self._tenant_id,
                    "projectKey": project,
                    "limit": ISSUES_IN_A_PAGE,
                    "cursor": str(passed) if passed else None,
                }
                data = await self._client.ask("issuesForProjectKey", documents.READ_STATUSES, variables)
                listed = data.get("issuesForProjectKey")
                page = listed if isinstance(listed, list) else []
                before = len(found)
                for each in page:
                    self._note(found, each)
                passed += len(page)
                if len(page) < ISSUES_IN_A_PAGE or len(found) == before:
                    break
        return found

    def _note(self, found: dict[int, str], told: Any, *, only: int | None = None) -> None:
        issue = told.get("issue") if isinstance(told, Mapping) else None
        # Another tracker's issue of the same number is not ours.
        if not isinstance(issue, Mapping) or told.get("trackerId") not in (None, self._id):
            return
        key = str(issue.get("_id"))
        if key.isdigit() and only in (None, int(key)):
            found[int(key)] = str(issue.get("status") or "")

    async def _told(self, operation: str, document: str, variables: Mapping[str, Any]) -> bool:
        try:
            try:
                await self._client.ask(operation, document, variables)
            except Rejected as error:
                # Whether the answer is an object is not public for every version [U]: ask the other way.
                if not _SELECTION.search(str(error)):
                    raise
                await self._client.ask(operation, documents.with_other_selection(document), variables)
        except (Rejected, AccessRefused) as error:
            log.debug("%s: %s", operation, error)
            return False
        return True


def instant(value: Any) -> datetime | None:
    """An instant as the platform writes it: epoch milliseconds, the same as text, or ISO 8601; None when unreadable."""
    try:
        if isinstance(value, str) and not value.isdigit():
            found = datetime.fromisoformat(value)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        return datetime.fromtimestamp(float(value) / 1000, UTC) if value else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def as_state(text: Any) -> Any:
    """A kept state, also where a server returns JSON as text."""
    if not isinstance(text, str):
        return text
    try:
        return parse_json(text).data
    except Undecodable:
        return None
