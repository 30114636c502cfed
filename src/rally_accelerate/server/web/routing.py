"""Routes that say who may take them. There is no other way to make one, so that none can be forgotten."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rally_accelerate.server.authentication import Identity
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.web.templating import page

Answer = Callable[[Request], Awaitable[Response]]


def routed(path: str, answer: Answer, *, role: Role = Role.VIEWER, methods: Sequence[str] = ("GET",)) -> Route:
    """A route for people with a role, or a higher one.

    Args:
        path: The address.
        answer: Answers the request.
        role: What one must be at least.
        methods: The methods that it answers.
    """

    async def checked(request: Request) -> Response:
        actor: Actor | None = getattr(request.state, "actor", None)
        if actor is None or not actor.may(role):
            return refused(request, role)
        return await answer(request)

    route = Route(path, checked, methods=list(methods))
    route.role = role  # type: ignore[attr-defined] # for the test that walks every route as everybody
    return route


def shown(path: str, answer: Answer, *, role: Role = Role.VIEWER) -> list[Route]:
    """A page under its address, and its data under the same address with ``.json`` behind it."""
    return [routed(path, answer, role=role), routed(f"{path}.json", answer, role=role)]


def posted(path: str, answer: Answer, *, role: Role = Role.EDITOR) -> Route:
    """What a form does."""
    return routed(path, answer, role=role, methods=("POST",))


def opened(path: str, answer: Answer, *, methods: Sequence[str] = ("GET",)) -> Route:
    """A route for everybody, signed in or not; ``guard.OPEN`` must know it too."""
    route = Route(path, answer, methods=list(methods))
    route.role = None  # type: ignore[attr-defined] # as above
    return route


def known_of(request: Request) -> Identity:
    """Who asks, with the session or the key it was recognised by."""
    known: Identity = request.state.known
    return known


def actor_of(request: Request) -> Actor:
    """Who asks; the guard has seen to it that there is somebody."""
    actor: Actor = request.state.actor
    return actor


def refused(request: Request, role: Role) -> Response:
    """The page for people whose role is not enough."""
    return page(request, "refused.html", {"title": "Not allowed", "needed": role.word}, status=403)


HOME = "/"


def own_path(wanted: str, *, otherwise: str = HOME) -> str:
    """A path of this host's pages, or another one: a link must not lead to another site.

    Args:
        wanted: What came along.
        otherwise: Where to go when that is none.
    """
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return otherwise
    odd = any(letter == "\\" or not letter.isprintable() for letter in wanted)
    if parts.scheme or parts.netloc or odd or not wanted.startswith("/") or wanted.startswith("//"):
        return otherwise
    return otherwise if parts.path in {"/sign-in", "/sign-out"} else wanted


def page_before(request: Request) -> str:
    """The page of this host from which a request was sent, as the browser tells; empty where there is none."""
    origin, mark, path = request.headers.get("referer", "").partition(f"://{request.headers.get('host', '')}/")
    if not mark or origin not in {"http", "https"}:
        return ""
    before = own_path(f"/{path}", otherwise="")
    # Loaded again, a page would lead to itself.
    return before if request.method != "GET" or before != request.url.path else ""
