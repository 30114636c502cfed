"""Pages to sign in and out, and My profile: password, access keys and sessions."""

from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.errors import ConfigError, OutdatedError
from rally_accelerate.server import passwords
from rally_accelerate.server.authentication import ClientInfo, SignedIn, SignInRefusal, SignInService
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.store.credentials import AccessKey, NewAccessKey, Session
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.users import User
from rally_accelerate.server.web.forms import read_form
from rally_accelerate.server.web.routing import HOME, known_of, local_path, page_routes, post_route, public_route
from rally_accelerate.server.web.security import Cookie
from rally_accelerate.server.web.templating import not_found, render_page


class SignInPages:
    """The pages of the door."""

    def __init__(self, stores: Stores, door: SignInService, cookie: Cookie) -> None:
        self._stores = stores
        self._door = door
        self._cookie = cookie

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            public_route("/sign-in", self.sign_in_form),
            public_route("/sign-in", self.sign_in, methods=("POST",)),
            post_route("/sign-out", self.sign_out, role=Role.VIEWER),
        ]

    async def sign_in_form(self, request: Request) -> Response:
        """Show the form, or sign in with the token of a one-time link."""
        following = local_path(request.query_params.get("next", ""))
        once = request.query_params.get("once", "")
        if once and request.method == "GET":
            return self._answer(
                request, await self._door.sign_in_with_link(once, caller=self._caller(request)), following
            )
        if request.state.known is not None:
            return RedirectResponse(following, 303)
        return _form(request, following)

    async def sign_in(self, request: Request) -> Response:
        """Sign in with the submitted name and password."""
        fields = await read_form(request)
        caller = self._caller(request)
        outcome = await self._door.sign_in_with_password(fields["name"], fields["password"], caller=caller)
        return self._answer(request, outcome, local_path(fields["next"]), name=fields["name"])

    async def sign_out(self, request: Request) -> Response:
        """Sign out."""
        known = known_of(request)
        if known.session is not None:
            await self._stores.sessions.end(known.session.id, user_id=known.session.user_id)
            actor = known.actor
            await self._stores.audit.record(actor, "signed out", kind="user", object_id=actor.id, name=actor.name)
        answer = RedirectResponse("/sign-in", 303)
        self._cookie.take(request, answer)
        return answer

    def _answer(
        self, request: Request, outcome: SignedIn | SignInRefusal, following: str, *, name: str = ""
    ) -> Response:
        match outcome:
            case SignedIn(user=user, token=token):
                # Somebody else knows the password: the first thing to see is where to change it.
                answer = RedirectResponse("/profile" if user.temporary else following, 303)
                self._cookie.give(request, answer, token)
                return answer
            case SignInRefusal(text=text, wait=wait):
                refused = _form(request, following, fault=text, name=name, status=429 if wait else 401)
                if wait:
                    refused.headers["Retry-After"] = str(wait)
                return refused

    def _caller(self, request: Request) -> ClientInfo:
        return caller_of(request, self._cookie)


def caller_of(request: Request, cookie: Cookie) -> ClientInfo:
    """Return the origin of a request: address, browser and session token."""
    return ClientInfo(
        address=request.client.host if request.client else "",
        agent=request.headers.get("user-agent", ""),
        token=cookie.token(request),
    )


def _form(request: Request, following: str, *, fault: str = "", name: str = "", status: int = 200) -> Response:
    data = {"title": "Sign in", "next": "" if following == HOME else following, "fault": fault, "name": name}
    return render_page(request, "sign_in.html", data, status=status)


#: What the page says after something was done; the address names it.
DONE = {
    "password": "Password changed. All other sessions were signed out.",
    "revoked": "Access key revoked.",
    "ended": "Session ended.",
}


class ProfilePages:
    """The pages that everybody has about themselves."""

    def __init__(self, stores: Stores, door: SignInService, cookie: Cookie) -> None:
        self._stores = stores
        self._door = door
        self._cookie = cookie

    def routes(self) -> list[Route]:
        """Return the routes."""
        everybody = Role.VIEWER
        return [
            *page_routes("/profile", self.mine),
            post_route("/profile/password", self.change_password, role=everybody),
            post_route("/profile/keys", self.create_key, role=everybody),
            post_route("/profile/keys/{id:str}/revoke", self.revoke_key, role=everybody),
            post_route("/profile/sessions/end", self.end_all, role=everybody),
            post_route("/profile/sessions/{id:str}/end", self.end_one, role=everybody),
        ]

    async def mine(self, request: Request) -> Response:
        """Oneself."""
        user = known_of(request).user
        if user is None:
            return not_found(request, "a profile for a system access key")
        return await self._page(request, user)

    async def change_password(self, request: Request) -> Response:
        """Take another password; every other session ends."""
        user = _myself(request)
        fields = await read_form(request)
        fault = passwords.find_problem(fields["new"], name=user.name)
        if fault:
            fault = f"The new password {fault}."
        elif fields["new"] != fields["again"]:
            fault = "The new passwords don't match."
        elif refused := await self._door.verify_password(
            user, fields["current"], caller=caller_of(request, self._cookie)
        ):
            fault = refused.text
        if fault:
            return await self._page(request, user, password_fault=fault, status=400)
        await self._stores.users.set_password(user.id, fields["new"], temporary=False)
        await self._stores.audit.record(
            user.actor, "changed the password", kind="user", object_id=user.id, name=user.name
        )
        answer = RedirectResponse("/profile?done=password", 303)
        # Whoever was removed or disabled at this very moment has no session any more, and is asked to sign in.
        with suppress(OutdatedError):
            self._cookie.give(
                request, answer, await self._door.create_session(user, caller=caller_of(request, self._cookie))
            )
        return answer

    async def create_key(self, request: Request) -> Response:
        """Make an access key and show it, for the only time."""
        user = _myself(request)
        name = (await read_form(request))["name"]
        try:
            new_key = await self._stores.keys.create(name, user_id=user.id)
        except ConfigError as error:
            fault = f"{error.message[:1].upper()}{error.message[1:]}. {error.hint}".strip()
            return await self._page(request, user, key_fault=fault, status=400)
        await self._stores.audit.record(
            user.actor, "created", kind="access key", object_id=new_key.id, name=new_key.name
        )
        return await self._page(request, user, new_key=new_key)

    async def revoke_key(self, request: Request) -> Response:
        """Revoke an access key of one's own."""
        user = _myself(request)
        access_key = await self._stores.keys.get(request.path_params["id"])
        if access_key is None or access_key.user_id != user.id:
            return not_found(request, "this access key")
        await self._stores.keys.revoke(access_key.id)
        await self._stores.audit.record(
            user.actor,
            "revoked",
            kind="access key",
            object_id=access_key.id,
            name=access_key.name,
            detail={"user": user.name},
        )
        return RedirectResponse("/profile?done=revoked", 303)

    async def end_one(self, request: Request) -> Response:
        """End one session of one's own."""
        user = _myself(request)
        if not await self._stores.sessions.end(request.path_params["id"], user_id=user.id):
            return not_found(request, "this session")
        await self._stores.audit.record(user.actor, "ended a session", kind="user", object_id=user.id, name=user.name)
        return RedirectResponse("/profile?done=ended", 303)

    async def end_all(self, request: Request) -> Response:
        """Sign out everywhere, here too."""
        user = _myself(request)
        await self._stores.sessions.end_all(user.id)
        await self._stores.audit.record(
            user.actor, "signed out everywhere", kind="user", object_id=user.id, name=user.name
        )
        answer = RedirectResponse("/sign-in", 303)
        self._cookie.take(request, answer)
        return answer

    async def _page(
        self,
        request: Request,
        user: User,
        *,
        password_fault: str = "",
        key_fault: str = "",
        new_key: NewAccessKey | None = None,
        status: int = 200,
    ) -> Response:
        current = known_of(request).session
        data = {
            "title": "My profile",
            "user": {"name": user.name, "role": user.role.word, "created": user.created, "temporary": user.temporary},
            "keys": [key_row(one) for one in await self._stores.keys.list_keys(user_id=user.id)],
            "sessions": [
                session_row(one, current.id if current else "")
                for one in await self._stores.sessions.list_for_user(user.id)
            ],
            "shortest": passwords.MIN_LENGTH,
            "made": {"name": new_key.name, "key": new_key.key} if new_key else None,
            "faults": {"password": password_fault, "key": key_fault},
            "done": DONE.get(request.query_params.get("done", ""), ""),
        }
        return render_page(request, "profile.html", data, status=status)


def key_row(key: AccessKey) -> dict[str, Any]:
    """Return an access key as a row of a list."""
    return {
        "id": key.id,
        "name": key.name,
        "created": key.created,
        "lastUsed": key.last_used,
        "userId": key.user_id,
        "user": key.user,
    }


def session_row(session: Session, current_id: str) -> dict[str, Any]:
    """Return a session as a row of a list."""
    return {
        "id": session.id,
        "created": session.created,
        "lastSeen": session.last_seen,
        "address": session.address,
        "browser": browser(session.agent),
        "current": session.id == current_id,
    }


def browser(agent: str) -> str:
    """Return the common name of a browser from its User-Agent header; for others, the first word."""
    # The order matters: most of them claim to be the later ones as well.
    for mark, name in (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome")):
        if mark in agent:
            return name
    if "Safari/" in agent:
        return "Safari"
    return agent.partition("/")[0][:30] or "unknown"


def _myself(request: Request) -> User:
    # The guard lets only sessions change anything, and a session has a user.
    user = known_of(request).user
    assert user is not None
    return user
