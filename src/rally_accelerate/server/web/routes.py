"""The route table of the pages."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount

from rally_accelerate import __version__
from rally_accelerate.server.authentication import SignInService
from rally_accelerate.server.dry_runs import DryRuns
from rally_accelerate.server.form_drafts import DraftStore
from rally_accelerate.server.integrations import IntegrationService
from rally_accelerate.server.runner import Runner
from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.value_streams.board import BoardCache
from rally_accelerate.server.value_streams.importer import Importer
from rally_accelerate.server.web.account import ProfilePages, SignInPages
from rally_accelerate.server.web.audit_log import AuditPages
from rally_accelerate.server.web.executions import ExecutionPages
from rally_accelerate.server.web.help import HelpPages
from rally_accelerate.server.web.integration_edit import IntegrationEditPages
from rally_accelerate.server.web.integration_preview import PreviewPages, ProjectPages
from rally_accelerate.server.web.integrations import IntegrationPages, ResyncPages
from rally_accelerate.server.web.issue_detail import IssuePage
from rally_accelerate.server.web.issue_list import IssuePages
from rally_accelerate.server.web.plugins import PluginPages
from rally_accelerate.server.web.routing import public_route, role_route
from rally_accelerate.server.web.security import Cookie
from rally_accelerate.server.web.static_files import StaticFiles
from rally_accelerate.server.web.templating import FOLDER
from rally_accelerate.server.web.users import UserPages
from rally_accelerate.server.web.value_stream_create import ValueStreamCreatePages
from rally_accelerate.server.web.value_stream_file import FilePages, VersionPages
from rally_accelerate.server.web.value_stream_map import CardPages, MapPages
from rally_accelerate.server.web.value_streams import ValueStreamPages


def routes(
    stores: Stores,
    schedule: Scheduler,
    runs: Runner,
    administration: IntegrationService,
    *,
    trials: DryRuns,
    drafts: DraftStore,
    door: SignInService,
    cookie: Cookie,
    importing: Importer,
    boards: BoardCache,
) -> Sequence[BaseRoute]:
    """Return the routes of all pages."""

    async def home(_: Request) -> Response:
        """Redirect to the map if there is one value stream, else to the list."""
        some = await stores.streams.all()
        if not some:
            return RedirectResponse("/settings/integrations")
        return RedirectResponse(f"/value-streams/{some[0].id}" if len(some) == 1 else "/value-streams")

    return [
        role_route("/", home),
        # For operators of the server.
        public_route("/health", _health),
        *SignInPages(stores, door, cookie).routes(),
        *ProfilePages(stores, door, cookie).routes(),
        *UserPages(stores).routes(),
        *AuditPages(stores).routes(),
        *IntegrationEditPages(stores, runs, administration, trials, drafts).routes(),
        *IntegrationPages(stores, schedule, runs, administration).routes(),
        *PreviewPages(stores, runs, trials, drafts).routes(),
        *ProjectPages(stores, runs, trials, drafts).routes(),
        *ResyncPages(stores, runs, administration, trials).routes(),
        *PluginPages(stores, schedule).routes(),
        *ExecutionPages(stores, runs, administration).routes(),
        *IssuePages(stores).routes(),
        *IssuePage(stores).routes(),
        *ValueStreamPages(stores, importing).routes(),
        *ValueStreamCreatePages(stores, importing).routes(),
        *FilePages(stores, schedule, importing).routes(),
        *VersionPages(stores, schedule, importing).routes(),
        *CardPages(stores).routes(),
        *MapPages(stores, boards).routes(),
        *HelpPages().routes(),
        Mount("/static", StaticFiles(FOLDER / "static")),
    ]


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})
