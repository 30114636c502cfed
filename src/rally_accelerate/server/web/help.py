"""The documentation under ``/help``, for everyone who is signed in."""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.server.web.help_site import HOME, HelpSite, installed
from rally_accelerate.server.web.routing import routed
from rally_accelerate.server.web.static_files import tags
from rally_accelerate.server.web.templating import missing, page


class HelpPages:
    """Serve the documentation site, or say how to get it.

    Args:
        site: The site; None for the one that is installed with the server.
    """

    def __init__(self, site: HelpSite | None = None) -> None:
        self._site = site or installed()

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [routed("/help", self._home), routed("/help/{name:path}", self._file)]

    async def _home(self, _: Request) -> Response:
        return RedirectResponse(HOME, 308)

    async def _file(self, request: Request) -> Response:
        if not self._site.is_built:
            status = 404 if request.path_params["name"] else 200
            return page(request, "help.html", {"title": "Help"}, status=status)
        found = await asyncio.to_thread(self._site.read, request.path_params["name"])
        if found is None:
            return missing(request, "this page")
        headers = {"ETag": found.tag, "Content-Security-Policy": self._site.policy}
        if found.tag in tags(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)
