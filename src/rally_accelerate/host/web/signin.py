"""The door: signing in and out."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.host.access import Role
from rally_accelerate.host.signin import Caller, Refused, SignedIn, SignIn
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.web.addresses import HOME, own_path
from rally_accelerate.host.web.cookies import Cookie
from rally_accelerate.host.web.forms import form
from rally_accelerate.host.web.render import page
from rally_accelerate.host.web.routing import known_of, opened, posted


class SignInPages:
    """The pages of the door."""

    def __init__(self, stores: Stores, door: SignIn, cookie: Cookie) -> None:
        self._stores = stores
        self._door = door
        self._cookie = cookie

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            opened("/sign-in", self.asked),
            opened("/sign-in", self.tried, methods=("POST",)),
            posted("/sign-out", self.out, role=Role.VIEWER),
        ]

    async def asked(self, request: Request) -> Response:
        """The form; with the token of a link nothing more is asked."""
        following = own_path(request.query_params.get("next", ""))
        once = request.query_params.get("once", "")
        if once and request.method == "GET":
            return self._answer(request, await self._door.with_link(once, caller=self._caller(request)), following)
        if request.state.known is not None:
            return RedirectResponse(following, 303)
        return _form(request, following)

    async def tried(self, request: Request) -> Response:
        """What the form sends."""
        given = await form(request)
        caller = self._caller(request)
        outcome = await self._door.with_password(given["name"], given["password"], caller=caller)
        return self._answer(request, outcome, own_path(given["next"]), name=given["name"])

    async def out(self, request: Request) -> Response:
        """Sign out."""
        known = known_of(request)
        if known.session is not None:
            await self._stores.sessions.end(known.session.id, user_id=known.session.user_id)
            actor = known.actor
            await self._stores.audit.note(actor, "signed out", kind="user", object_id=actor.id, name=actor.name)
        answer = RedirectResponse("/sign-in", 303)
        self._cookie.take(request, answer)
        return answer

    def _answer(self, request: Request, outcome: SignedIn | Refused, following: str, *, name: str = "") -> Response:
        match outcome:
            case SignedIn(user=user, token=token):
                # Somebody else knows the password: the first thing to see is where to change it.
                answer = RedirectResponse("/profile" if user.temporary else following, 303)
                self._cookie.give(request, answer, token)
                return answer
            case Refused(text=text, wait=wait):
                refused = _form(request, following, fault=text, name=name, status=429 if wait else 401)
                if wait:
                    refused.headers["Retry-After"] = str(wait)
                return refused

    def _caller(self, request: Request) -> Caller:
        return caller_of(request, self._cookie)


def caller_of(request: Request, cookie: Cookie) -> Caller:
    """Where a request comes from."""
    return Caller(
        address=request.client.host if request.client else "",
        agent=request.headers.get("user-agent", ""),
        token=cookie.token(request),
    )


def _form(request: Request, following: str, *, fault: str = "", name: str = "", status: int = 200) -> Response:
    data = {"title": "Sign in", "next": "" if following == HOME else following, "fault": fault, "name": name}
    return page(request, "sign-in.html", data, status=status)
