"""State that Accelerate stores for an integration between syncs (accelerate-api-notes.md#stored-state).

Uploads do not need it: if the server lacks an operation or stores nothing, the sync continues without it. A server that
cannot be reached is a different error.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rally_accelerate.accelerate import documents
from rally_accelerate.accelerate.client import TRIES_WHEN_BROKEN, AccelerateClient
from rally_accelerate.accelerate.responses import own_issue
from rally_accelerate.errors import (
    AccessDeniedError,
    InternalServerError,
    PermanentError,
    RejectedError,
    UnexpectedResponseError,
)
from rally_accelerate.model.lenient_json import JsonDecodeError, parse_json

log = logging.getLogger(__name__)

#: Clears the wish for a resync (accelerate-api-notes.md#resync).
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
        #: What the server said when it refused something the last time; empty while it refuses nothing.
        self.refusal = ""

    async def recall(self) -> Recalled:
        """Return the stored state of the integration; empty if the server does not return it.

        Raises:
            RallyAccelerateError: The server cannot be reached.
        """
        try:
            data = await self._client.ask(
                "integrationById", documents.RECALL, {"id": self._id}, tries_when_broken=TRIES_WHEN_BROKEN
            )
        except (RejectedError, AccessDeniedError, InternalServerError, UnexpectedResponseError) as error:
            # A key that may upload may still not be allowed to read this: opening shows whether it is accepted, and
            # whether anything else works.
            log.debug("integrationById: %s", error)
            self.refusal = str(error)
            return Recalled()
        self._client.mark_reachable()
        recalled = data.get("integrationById")
        if not isinstance(recalled, Mapping):
            return Recalled()
        successful = recalled.get("last_run_successful")
        return Recalled(
            known=True,
            state=recalled.get("state"),
            last_success=instant(recalled.get("last_successful_execution_time")),
            last_run_successful=successful if isinstance(successful, bool) else None,
        )

    async def keep(self, event: str, state: Mapping[str, Any]) -> bool:
        """Have something kept for the next run; whether the server took it.

        Raises:
            RallyAccelerateError: The server cannot be reached.
        """
        variables = {"integrationId": self._id, "eventName": event, "properties": state}
        return await self._send("updateIntegrationState", documents.KEEP, variables)

    async def resync_done(self, event: str) -> bool:
        """Withdraw the wish for a resync; whether the server took it.

        Raises:
            RallyAccelerateError: The server cannot be reached.
        """
        states = [{"eventName": event, "deltaTime": NO_RESYNC}]
        variables = {"integrationId": self._id, "scheduledEventStates": states}
        return await self._send("updateScheduledEventStates", documents.RESYNC_DONE, variables)

    async def statuses(self, ids: Iterable[int]) -> dict[int, str]:
        """Return the statuses of these issues that the server has for this integration."""
        status_by_id: dict[int, str] = {}
        for one in ids:
            variables = {"tenantId": self._tenant_id, "issueId": str(one)}
            data = await self._client.ask("issue", documents.READ_STATUS, variables)
            issue = own_issue(data.get("issue"), tracker_id=self._client.tracker_id, external_id=str(one))
            if issue is not None:
                status_by_id[one] = str(issue.get("status") or "")
        return status_by_id

    async def all_statuses(self, projects: Sequence[str]) -> dict[int, str]:
        """Return the status of every issue that the server holds for this integration in these projects.

        Raises:
            RallyAccelerateError: As ``AccelerateClient.of_project`` says.
        """
        status_by_id: dict[int, str] = {}
        for project in projects:
            async for issue in self._client.list_project_issues(project, documents.READ_STATUSES):
                if (key := str(issue.get("_id"))).isdigit():
                    status_by_id[int(key)] = str(issue.get("status") or "")
        return status_by_id

    async def _send(self, operation: str, document: str, variables: Mapping[str, Any]) -> bool:
        try:
            await self._client.ask(operation, document, variables, tries_when_broken=TRIES_WHEN_BROKEN)
        except (PermanentError, InternalServerError) as error:
            log.debug("%s: %s", operation, error)
            self.refusal = str(error)
            return False
        self.refusal = ""
        return True


def instant(value: Any) -> datetime | None:
    """Parse an instant in epoch milliseconds (number or text) or ISO 8601; None if unreadable."""
    try:
        if isinstance(value, str) and not value.isdigit():
            match = datetime.fromisoformat(value)
            return match if match.tzinfo else match.replace(tzinfo=UTC)
        return datetime.fromtimestamp(float(value) / 1000, UTC) if value else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def as_state(text: Any) -> Any:
    """Parse a stored state, also if the server returns JSON as text."""
    if not isinstance(text, str):
        return text
    try:
        return parse_json(text).data
    except JsonDecodeError:
        return None
