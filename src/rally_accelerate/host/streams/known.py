"""The integrations of the host, with the word for how each of them does."""

from rally_accelerate.host.schedule import Schedule
from rally_accelerate.host.store.executions import Execution
from rally_accelerate.host.store.integrations import StoredIntegration
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams.download import Known


async def known_integrations(stores: Stores, schedule: Schedule) -> dict[str, Known]:
    """Every integration by its id."""
    found = {}
    for one in await stores.integrations.all():
        latest = next(iter(await stores.executions.of(one.id, limit=1)), None)
        found[one.id] = Known(one, _word(one, latest, running=schedule.running(one.id)))
    return found


def _word(one: StoredIntegration, latest: Execution | None, *, running: bool) -> str:
    """The status in the vendor's words (accelerate-api-notes.md#integration-status)."""
    if one.disabled:
        return "Disabled"
    if running:
        return "Sync in progress"
    good = latest is None or latest.outcome in {"", "complete"}
    return "Online" if good else "Failed"
