"""The ASGI application: the simulated Rally, its control API below ``/_sandbox``, and an information page."""

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from rally_sandbox import control
from rally_sandbox.auth import create_accounts
from rally_sandbox.control import Stats
from rally_sandbox.faults import Faults
from rally_sandbox.gateway import HTML, LOGIN_PATH, Connections, Gateway, format_http_date

if TYPE_CHECKING:
    from rally_sandbox.world import World


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Simulated Rally</title></head>
<body style="font-family: sans-serif; max-width: 40em; margin: 3em auto">
<h1>Simulated Rally</h1>
<p>This is the simulator of rally-accelerate, with a sample company. It is not Rally and has no pages
for work items; links to work items lead here.</p>
<p>The API is available at <code>/slm/webservice/v2.0/</code>, the simulator's control API at
<code>/_sandbox/</code>.</p>
</body></html>
"""


def create_app(
    world: "World",
    *,
    faults: Faults | None = None,
    stats: Stats | None = None,
    connections: Connections | None = None,
    api_keys_enabled: bool = True,
) -> Starlette:
    """Create the application that serves a world.

    Args:
        world: The simulated subscription.
        faults: The faults to play; None starts without faults.
        stats: Counts the requests.
        connections: The server's connections, for the faults that close them.
        api_keys_enabled: Whether API keys are accepted (rally-api-notes.md#authentication).
    """
    active_faults = faults if faults is not None else Faults()
    active_stats = stats if stats is not None else Stats()
    users = create_accounts(world.company, keys_enabled=api_keys_enabled)
    gateway = Gateway(
        world,
        users,
        faults=active_faults,
        stats=active_stats,
        connections=connections if connections is not None else Connections(),
    )

    async def show_page(_: Request) -> Response:
        return Response(_PAGE, media_type="text/html")

    async def show_login_page(_: Request) -> Response:
        return Response("<!DOCTYPE html><html><body><h1>Sample sign-in</h1></body></html>", media_type=HTML)

    def add_date(app: Starlette) -> "_DateMiddleware":
        return _DateMiddleware(app, world)

    inner = Starlette(
        routes=[
            Route("/", show_page, methods=["GET"]),
            Route(LOGIN_PATH, show_login_page, methods=["GET"]),
            Mount("/_sandbox", routes=control.create_routes(world, active_faults, active_stats, users)),
        ]
    )
    return Starlette(
        routes=[
            Route("/slm/{rest:path}", gateway),
            Route("/analytics/{rest:path}", gateway),
            Mount("/", add_date(inner)),
        ]
    )


class _DateMiddleware:
    """Middleware that adds the simulated clock's ``Date`` header; the gateway's responses already have one."""

    def __init__(self, app: Starlette, world: "World") -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_date(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                date = format_http_date(self._world.clock.milliseconds()).encode("ascii")
                message = {**message, "headers": [*message.get("headers", ()), (b"date", date)]}  # type: ignore[misc]  # ASGI messages are untyped
            await send(message)

        await self._app(scope, receive, send_with_date)  # type: ignore[arg-type]  # likewise
