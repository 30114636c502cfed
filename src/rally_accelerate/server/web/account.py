"""My profile: password, access keys, sessions."""

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
from rally_accelerate.server.web.forms import form
from rally_accelerate.server.web.routing import HOME, known_of, opened, own_path, posted, shown
from rally_accelerate.server.web.security import Cookie
from rally_accelerate.server.web.templating import missing, page


class SignInPages:
    """The pages of the door."""

    def __init__(self, stores: Stores, door: SignInService, cookie: Cookie) -> None:
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
            return self._answer(
                request, await self._door.sign_in_with_link(once, caller=self._caller(request)), following
            )
        if request.state.known is not None:
            return RedirectResponse(following, 303)
        return _form(request, following)

    async def tried(self, request: Request) -> Response:
        """What the form sends."""
        given = await form(request)
        caller = self._caller(request)
        outcome = await self._door.sign_in_with_password(given["name"], given["password"], caller=caller)
        return self._answer(request, outcome, own_path(given["next"]), name=given["name"])

    async def out(self, request: Request) -> Response:
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
    """Where a request comes from."""
    return ClientInfo(
        address=request.client.host if request.client else "",
        agent=request.headers.get("user-agent", ""),
        token=cookie.token(request),
    )


def _form(request: Request, following: str, *, fault: str = "", name: str = "", status: int = 200) -> Response:
    data = {"title": "Sign in", "next": "" if following == HOME else following, "fault": fault, "name": name}
    return page(request, "sign-in.html", data, status=status)


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
        """Their addresses."""
        everybody = Role.VIEWER
        return [
            *shown("/profile", self.mine),
            posted("/profile/password", self.change_password, role=everybody),
            posted("/profile/keys", self.make_key, role=everybody),
            posted("/profile/keys/{id:str}/revoke", self.revoke_key, role=everybody),
            posted("/profile/sessions/end", self.end_all, role=everybody),
            posted("/profile/sessions/{id:str}/end", self.end_one, role=everybody),
        ]

    async def mine(self, request: Request) -> Response:
        """Oneself."""
        user = known_of(request).user
        if user is None:
            return missing(request, "a profile for a system access key")
        return await self._page(request, user)

    async def change_password(self, request: Request) -> Response:
        """Take another password; every other session ends."""
        user = _myself(request)
        given = await form(request)
        fault = passwords.find_problem(given["new"], name=user.name)
        if fault:
            fault = f"The new password {fault}."
        elif given["new"] != given["again"]:
            fault = "The new passwords don't match."
        elif refused := await self._door.verify_password(
            user, given["current"], caller=caller_of(request, self._cookie)
        ):
            fault = refused.text
        if fault:
            return await self._page(request, user, password_fault=fault, status=400)
        await self._stores.users.set_password(user.id, given["new"], temporary=False)
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

    async def make_key(self, request: Request) -> Response:
        """Make an access key and show it, for the only time."""
        user = _myself(request)
        name = (await form(request))["name"]
        try:
            made = await self._stores.keys.create(name, user_id=user.id)
        except ConfigError as error:
            fault = f"{error.message[:1].upper()}{error.message[1:]}. {error.hint}".strip()
            return await self._page(request, user, key_fault=fault, status=400)
        await self._stores.audit.record(user.actor, "created", kind="access key", object_id=made.id, name=made.name)
        return await self._page(request, user, made=made)

    async def revoke_key(self, request: Request) -> Response:
        """Revoke an access key of one's own."""
        user = _myself(request)
        found = await self._stores.keys.get(request.path_params["id"])
        if found is None or found.user_id != user.id:
            return missing(request, "this access key")
        await self._stores.keys.revoke(found.id)
        await self._stores.audit.record(
            user.actor, "revoked", kind="access key", object_id=found.id, name=found.name, detail={"user": user.name}
        )
        return RedirectResponse("/profile?done=revoked", 303)

    async def end_one(self, request: Request) -> Response:
        """End one session of one's own."""
        user = _myself(request)
        if not await self._stores.sessions.end(request.path_params["id"], user_id=user.id):
            return missing(request, "this session")
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
        made: NewAccessKey | None = None,
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
            "made": {"name": made.name, "key": made.key} if made else None,
            "faults": {"password": password_fault, "key": key_fault},
            "done": DONE.get(request.query_params.get("done", ""), ""),
        }
        return page(request, "profile.html", data, status=status)


def key_row(key: AccessKey) -> dict[str, Any]:
    """An access key in lists."""
    return {
        "id": key.id,
        "name": key.name,
        "created": key.created,
        "lastUsed": key.last_used,
        "userId": key.user_id,
        "user": key.user,
    }


def session_row(session: Session, current_id: str) -> dict[str, Any]:
    """A session in lists."""
    return {
        "id": session.id,
        "created": session.created,
        "lastSeen": session.last_seen,
        "address": session.address,
        "browser": browser(session.agent),
        "current": session.id == current_id,
    }


def browser(agent: str) -> str:
    """A browser's name as people know it, from what it calls itself; others by their first word."""
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
