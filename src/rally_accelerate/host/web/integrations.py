"""Settings > Integrations: the list, and one integration with its runs."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.host.runs import Runs
from rally_accelerate.host.schedule import Schedule
from rally_accelerate.host.store.executions import Execution
from rally_accelerate.host.store.integrations import StoredIntegration
from rally_accelerate.host.store.vault import masked
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.web.render import missing, page
from rally_accelerate.host.web.routing import posted, routed, shown
from rally_accelerate.observe.pace import sentence

#: What a last run's outcome means for people (accelerate-host.md 5.1).
WORDS = {"complete": "Online", "partial": "Partial", "failed": "Failed", "interrupted": "Interrupted", "": "New"}


class IntegrationPages:
    """The pages about integrations."""

    def __init__(self, stores: Stores, schedule: Schedule, runs: Runs) -> None:
        self._stores = stores
        self._schedule = schedule
        self._runs = runs

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            *shown("/settings/integrations", self.listed),
            posted("/settings/integrations/{id:str}/run", self.run),
            posted("/settings/integrations/{id:str}/toggle", self.toggle),
            routed("/settings/integrations/{id:str}", self.one),
        ]

    async def listed(self, request: Request) -> Response:
        """Every integration with its last run, and trackers that others upload to."""
        counts = await self._stores.issues.counts()
        known = await self._stores.integrations.all()
        rows = [await self._row(one, counts.get(one.id, 0)) for one in known]
        ids = {one.id for one in known}
        elsewhere = [{"id": key, "issues": count} for key, count in sorted(counts.items()) if key not in ids]
        data = {"title": "Integrations", "integrations": rows, "elsewhere": elsewhere}
        return page(request, "integrations.html", data)

    async def one(self, request: Request) -> Response:
        """One integration: its settings without secrets, its last runs."""
        its_id = request.path_params["id"].removesuffix(".json")
        found = await self._stores.integrations.by_id(its_id)
        if found is None:
            return missing(request, "this integration")
        counts = await self._stores.issues.counts()
        data = {
            "title": found.name,
            "integration": await self._row(found, counts.get(found.id, 0)),
            "properties": masked(found.properties),
            "executions": [_execution(one) for one in await self._stores.executions.of(found.id, limit=50)],
        }
        return page(request, "integration.html", data)

    async def run(self, request: Request) -> Response:
        """Run now."""
        its_id = request.path_params["id"]
        if await self._stores.integrations.by_id(its_id) is None:
            return missing(request, "this integration")
        self._schedule.run_soon(its_id)
        return RedirectResponse(f"/settings/integrations/{its_id}", 303)

    async def toggle(self, request: Request) -> Response:
        """Disable an enabled integration, or the other way round; enabling runs at once."""
        its_id = request.path_params["id"]
        found = await self._stores.integrations.by_id(its_id)
        if found is None:
            return missing(request, "this integration")
        await self._stores.integrations.change(its_id, {"disabled": not found.disabled})
        if found.disabled:
            self._schedule.run_soon(its_id)
        else:
            await self._schedule.stop(its_id)
        return RedirectResponse("/settings/integrations", 303)

    async def _row(self, found: StoredIntegration, issues: int) -> dict[str, Any]:
        latest = next(iter(await self._stores.executions.of(found.id, limit=1)), None)
        tally = self._runs.tally(found.id)
        status = (
            "Disabled" if found.disabled else "Sync in progress" if tally else WORDS[latest.outcome if latest else ""]
        )
        return {
            "id": found.id,
            "name": found.name,
            "type": found.type,
            "status": status,
            "disabled": found.disabled,
            "issues": issues,
            "lastSync": latest.completed if latest else None,
            "nextRun": None if found.disabled else self._schedule.due(found.id),
            "lastRun": _execution(latest) if latest else None,
            "progress": sentence(tally, seconds=0.0) if tally else "",
        }


def _execution(found: Execution) -> dict[str, Any]:
    report = found.report
    return {
        "id": found.id,
        "started": found.started,
        "completed": found.completed,
        "outcome": found.outcome or "running",
        "seconds": report.get("seconds", 0.0),
        "read": report.get("read", 0),
        "uploaded": report.get("uploaded", 0),
        "unchanged": report.get("unchanged", 0),
        "skipped": report.get("skipped", 0),
    }
