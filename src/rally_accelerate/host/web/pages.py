"""Which address shows which page."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount

from rally_accelerate import __version__
from rally_accelerate.host.administration import Administration
from rally_accelerate.host.drafts import Drafts
from rally_accelerate.host.runs import Runs
from rally_accelerate.host.schedule import Schedule
from rally_accelerate.host.signin import SignIn
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams.board import Boards
from rally_accelerate.host.streams.importing import Importing
from rally_accelerate.host.trials import Trials
from rally_accelerate.host.web.audit import AuditPages
from rally_accelerate.host.web.cookies import Cookie
from rally_accelerate.host.web.dots import DotPages
from rally_accelerate.host.web.editing import EditingPages
from rally_accelerate.host.web.executions import ExecutionPages
from rally_accelerate.host.web.help import HelpPages
from rally_accelerate.host.web.integrations import IntegrationPages
from rally_accelerate.host.web.issue import IssuePage
from rally_accelerate.host.web.issues import IssuePages
from rally_accelerate.host.web.plugins import PluginPages
from rally_accelerate.host.web.profile import ProfilePages
from rally_accelerate.host.web.projects import ProjectPages
from rally_accelerate.host.web.render import FOLDER
from rally_accelerate.host.web.resyncing import ResyncPages
from rally_accelerate.host.web.routing import opened, routed
from rally_accelerate.host.web.signin import SignInPages
from rally_accelerate.host.web.static_files import StaticFiles
from rally_accelerate.host.web.streamfile import FilePages
from rally_accelerate.host.web.streammap import MapPages
from rally_accelerate.host.web.streamnew import NewStreamPages
from rally_accelerate.host.web.streams import StreamPages
from rally_accelerate.host.web.streamversions import VersionPages
from rally_accelerate.host.web.tryouts import TryoutPages
from rally_accelerate.host.web.users import UserPages


def routes(
    stores: Stores,
    schedule: Schedule,
    runs: Runs,
    administration: Administration,
    *,
    trials: Trials,
    drafts: Drafts,
    door: SignIn,
    cookie: Cookie,
    importing: Importing,
    boards: Boards,
) -> Sequence[BaseRoute]:
    """Every page of the host."""

    async def home(_: Request) -> Response:
        """The map where there is one value stream, their list where there are several."""
        some = await stores.streams.all()
        if not some:
            return RedirectResponse("/settings/integrations")
        return RedirectResponse(f"/value-streams/{some[0].id}" if len(some) == 1 else "/value-streams")

    return [
        routed("/", home),
        # For whoever watches over the host.
        opened("/health", _health),
        *SignInPages(stores, door, cookie).routes(),
        *ProfilePages(stores, door, cookie).routes(),
        *UserPages(stores).routes(),
        *AuditPages(stores).routes(),
        *EditingPages(stores, runs, administration, trials, drafts).routes(),
        *IntegrationPages(stores, schedule, runs, administration).routes(),
        *TryoutPages(stores, runs, trials, drafts).routes(),
        *ProjectPages(stores, runs, trials, drafts).routes(),
        *ResyncPages(stores, runs, administration, trials).routes(),
        *PluginPages(stores, schedule).routes(),
        *ExecutionPages(stores, runs, administration).routes(),
        *IssuePages(stores).routes(),
        *IssuePage(stores).routes(),
        *StreamPages(stores, importing).routes(),
        *NewStreamPages(stores, importing).routes(),
        *FilePages(stores, schedule, importing).routes(),
        *VersionPages(stores, schedule, importing).routes(),
        *DotPages(stores).routes(),
        *MapPages(stores, boards).routes(),
        *HelpPages().routes(),
        Mount("/static", StaticFiles(FOLDER / "static")),
    ]


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})
