"""A first value stream, drawn by the host itself from the statuses that an integration's issues have."""

from dataclasses import replace
from datetime import UTC, datetime

from rally_accelerate.host.access import HOST
from rally_accelerate.host.store.search import Wanted
from rally_accelerate.host.store.streams import StoredStream
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams import beginning
from rally_accelerate.host.streams.importing import Importing

#: Limits that a team might have set.
LIMITS = {"In-Progress": 10, "Completed": 25}

#: Issues of a sample, or of a Rally that is looked at for the first time, may be a year old.
AGE_DAYS = 365


async def first_stream(stores: Stores, importing: Importing, integration_id: str) -> StoredStream | None:
    """Draw a value stream where there is none yet; None where there is one, or nothing to draw it from.

    Args:
        stores: Where issues and value streams are.
        importing: Takes the drawing as it takes any file.
        integration_id: Whose issues it shows.
    """
    integration = await stores.integrations.by_id(integration_id)
    if integration is None or await stores.streams.any():
        return None
    wanted = Wanted(tenant_id=integration.tenant_id, tracker_ids=(integration_id,))
    facets = await stores.search.facets(wanted, now=datetime.now(UTC), fields=("status",))
    rows = [
        replace(row, wip_limit=LIMITS.get(row.status))
        for row in beginning.suggested([status for status, _ in facets["status"]])
    ]
    document = beginning.made_of(
        rows,
        description="Where the work stands, by the status of each item.",
        tenant_id=integration.tenant_id,
        integrations=[integration.name],
    )
    if not document["phases"]:
        return None
    name = integration.name.replace("-", " ").capitalize()
    return await importing.create({**document, "ageThresholdDays": AGE_DAYS}, actor=HOST, name=name)
