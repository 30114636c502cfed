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
    return [
        # The two that need no role: one leads on, the other is for whoever watches over the host.
        Route("/", _home),
        Route("/health", _health),
        *IntegrationPages(stores, schedule, runs).routes(),
        *ExecutionPages(stores).routes(),
        *IssuePages(stores).routes(),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]


async def _home(_: Request) -> Response:
    return RedirectResponse("/settings/integrations")


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})
