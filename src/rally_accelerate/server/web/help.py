"""The documentation under ``/help``, for everyone who is signed in."""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.server.web.help_site import HOME, HelpSite, help_site
from rally_accelerate.server.web.routing import role_route
from rally_accelerate.server.web.static_files import tags
from rally_accelerate.server.web.templating import not_found, render_page


class HelpPages:
    """Serve the documentation site, or say how to get it.

    Args:
        site: The site; None for the one that is installed with the server.
    """

    def __init__(self, site: HelpSite | None = None) -> None:
        self._site = site or help_site()

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [role_route("/help", self._home), role_route("/help/{name:path}", self._file)]

    async def _home(self, _: Request) -> Response:
        return RedirectResponse(HOME, 308)

    async def _file(self, request: Request) -> Response:
        if not self._site.is_built:
            status = 404 if request.path_params["name"] else 200
            return render_page(request, "help.html", {"title": "Help"}, status=status)
        path = await asyncio.to_thread(self._site.read, request.path_params["name"])
        if path is None:
            return not_found(request, "this page")
        headers = {"ETag": path.tag, "Content-Security-Policy": self._site.policy}
        if path.tag in tags(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        return Response(path.content, media_type=path.media_type, headers=headers)
