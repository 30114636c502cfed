"""Factories for routes, which require every route to state its role."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rally_accelerate.server.authentication import Identity
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.web.templating import render_page

Endpoint = Callable[[Request], Awaitable[Response]]


def role_route(path: str, endpoint: Endpoint, *, role: Role = Role.VIEWER, methods: Sequence[str] = ("GET",)) -> Route:
    """Create a route for users with a role or a higher one.

    Args:
        path: The path pattern.
        endpoint: Handles the request.
        role: The required role.
        methods: The accepted HTTP methods.
    """

    async def check_role(request: Request) -> Response:
        actor: Actor | None = getattr(request.state, "actor", None)
        if actor is None or not actor.may(role):
            return forbidden(request, role)
        return await endpoint(request)

    route = Route(path, check_role, methods=list(methods))
    route.role = role  # type: ignore[attr-defined] # for the test that walks every route as everybody
    return route


def page_routes(path: str, endpoint: Endpoint, *, role: Role = Role.VIEWER) -> list[Route]:
    """Create the routes of a page and of its data, whose path ends in ``.json``."""
    return [role_route(path, endpoint, role=role), role_route(f"{path}.json", endpoint, role=role)]


def post_route(path: str, endpoint: Endpoint, *, role: Role = Role.EDITOR) -> Route:
    """Create a route for a submitted form."""
    return role_route(path, endpoint, role=role, methods=("POST",))


def public_route(path: str, endpoint: Endpoint, *, methods: Sequence[str] = ("GET",)) -> Route:
    """Create a public route, which ``security.OPEN`` must list too."""
    route = Route(path, endpoint, methods=list(methods))
    route.role = None  # type: ignore[attr-defined] # as above
    return route


def known_of(request: Request) -> Identity:
    """Return the authenticated caller with its session or access key."""
    known: Identity = request.state.known
    return known


def actor_of(request: Request) -> Actor:
    """Return the authenticated user, which the guard has already required."""
    actor: Actor = request.state.actor
    return actor


def forbidden(request: Request, role: Role) -> Response:
    """Return the page for users without the required role."""
    return render_page(request, "forbidden.html", {"title": "Not allowed", "needed": role.word}, status=403)


HOME = "/"


def local_path(target: str, *, otherwise: str = HOME) -> str:
    """Return a path of this server, or the fallback: a redirect must not lead to another site.

    Args:
        target: The requested path.
        otherwise: The fallback.
    """
    try:
        parts = urlsplit(target)
    except ValueError:
        return otherwise
    odd = any(letter == "\\" or not letter.isprintable() for letter in target)
    if parts.scheme or parts.netloc or odd or not target.startswith("/") or target.startswith("//"):
        return otherwise
    return otherwise if parts.path in {"/sign-in", "/sign-out"} else target


def referring_page(request: Request) -> str:
    """Return the page of this server in the Referer header; empty without one."""
    origin, mark, path = request.headers.get("referer", "").partition(f"://{request.headers.get('host', '')}/")
    if not mark or origin not in {"http", "https"}:
        return ""
    before = local_path(f"/{path}", otherwise="")
    # Loaded again, a page would lead to itself.
    return before if request.method != "GET" or before != request.url.path else ""
