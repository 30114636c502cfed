"""The application: the simulated Rally, its controls below ``/_sandbox``, and a page for people."""

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
<p>This is the simulator of rally-accelerate, with a sample company in it. It is not Rally, and it has no pages
for work items; a link to one leads here.</p>
<p>Programs find the API below <code>/slm/webservice/v2.0/</code> and the simulator's own controls below
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
    """An application that shows a world.

    Args:
        world: What is shown.
        faults: What goes wrong; None is nothing at first.
        stats: Where requests are counted.
        connections: Where the server's connections can be ended, for the faults that do so.
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

    def dated(app: Starlette) -> "_DateMiddleware":
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
            Mount("/", dated(inner)),
        ]
    )


class _DateMiddleware:
    """Adds the virtual clock's ``Date``, which the gateway's answers have already."""

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
