"""One execution: its account and its log."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rally_accelerate.host.stores import Stores
from rally_accelerate.host.web.render import missing, page
from rally_accelerate.host.web.routing import routed


class ExecutionPages:
    """The pages about executions."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [routed("/executions/{id:str}", self.one)]

    async def one(self, request: Request) -> Response:
        """One execution."""
        found = await self._stores.executions.one(request.path_params["id"].removesuffix(".json"))
        if found is None:
            return missing(request, "this run")
        integration = await self._stores.integrations.by_id(found.integration_id)
        data = {
            "title": "Run",
            "integration": {"id": found.integration_id, "name": integration.name if integration else ""},
            "execution": {
                "id": found.id,
                "started": found.started,
                "completed": found.completed,
                "outcome": found.outcome or "running",
            },
            "report": dict(found.report),
            "log": found.log,
        }
        return page(request, "execution.html", data)
