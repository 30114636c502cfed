"""Which address shows which page."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from rally_accelerate import __version__
from rally_accelerate.host.runs import Runs
from rally_accelerate.host.schedule import Schedule
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.web.executions import ExecutionPages
from rally_accelerate.host.web.integrations import IntegrationPages
from rally_accelerate.host.web.issues import IssuePages
from rally_accelerate.host.web.render import FOLDER


def routes(stores: Stores, schedule: Schedule, runs: Runs) -> Sequence[BaseRoute]:
    """Every page of the host."""
    integrations = IntegrationPages(stores, schedule, runs)
    executions = ExecutionPages(stores)
    issues = IssuePages(stores)
    return [
        Route("/", _home),
        Route("/health", _health),
        Route("/settings/integrations", integrations.listed),
        Route("/settings/integrations.json", integrations.listed),
        Route("/settings/integrations/{id:str}/run", integrations.run, methods=["POST"]),
        Route("/settings/integrations/{id:str}/toggle", integrations.toggle, methods=["POST"]),
        Route("/settings/integrations/{id:str}", integrations.one),
        Route("/executions/{id:str}", executions.one),
        Route("/issues", issues.listed),
        Route("/issues.json", issues.listed),
        Route("/issues/{tracker:str}/{id:str}", issues.one),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]


async def _home(_: Request) -> Response:
    return RedirectResponse("/settings/integrations")


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})
