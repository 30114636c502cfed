"""Security of all requests: headers, host names, origin, authentication and session cookie. Roles: ``routing``."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rally_accelerate.errors import QueryTooSlowError, StoreError, TooManyQueriesError
from rally_accelerate.server.authentication import Authenticator, Identity
from rally_accelerate.server.store.credentials import MAX_AGE
from rally_accelerate.server.store.issue_search import current_user_key
from rally_accelerate.server.web import request_limits
from rally_accelerate.server.web.error_pages import FAULT, REPORT, error_response
from rally_accelerate.server.web.request_limits import LargeBodyError, SlowBodyError, within


class Cookie:
    """Reads and writes the cookie of one host.

    Args:
        secure_names: The names under which a proxy with TLS shows this host.
        prefix: The path below which it does so; what else the proxy shows does not receive the cookie.
    """

    def __init__(self, secure_names: Collection[str] = (), *, prefix: str = "") -> None:
        self._secure_names = frozenset(secure_names)
        self._path = f"{prefix}/"

    def token(self, request: HTTPConnection) -> str:
        """Return the session token of a request, or an empty string."""
        return request.cookies.get(self._name(request), "")

    def give(self, request: HTTPConnection, response: Response, token: str) -> None:
        """Give a browser a token to keep."""
        response.set_cookie(
            self._name(request),
            token,
            max_age=int(MAX_AGE.total_seconds()),
            path=self._path,
            secure=self._secure(request),
            httponly=True,
            # Strict would make links from mails and chats look signed out; what changes anything asks for the origin.
            samesite="lax",
        )

    def take(self, request: HTTPConnection, response: Response) -> None:
        """Take the token away from a browser."""
        response.delete_cookie(
            self._name(request), path=self._path, secure=self._secure(request), httponly=True, samesite="lax"
        )

    def _secure(self, request: HTTPConnection) -> bool:
        return request.scope.get("scheme") == "https" or host_name(request) in self._secure_names

    def _name(self, request: HTTPConnection) -> str:
        # Browsers send the cookies of one port to every other: two hosts on one machine must not sign each other out.
        # With the prefix they take it over TLS only, and for this very host.
        if self._secure(request):
            # The prefix __Host- demands the path "/".
            return "__Host-rally-accelerate" if self._path == "/" else "__Secure-rally-accelerate"
        _, _, port = request.headers.get("host", "").rpartition(":")
        return f"rally-accelerate-{port if port.isdecimal() and port.isascii() else 80}"


def host_name(request: HTTPConnection) -> str:
    """Return the host name of a request, without its port."""
    sent = request.headers.get("host", "")
    name, _, port = sent.rpartition(":")
    return (name if name and port.isdigit() else sent).lower()


log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not "no-referrer": browsers then say that a form of ours comes from nowhere ("Origin: null").
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
}

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]", "host.invalid"})

#: What anybody may see: the door, the sign of life, and what makes the door look like one.
OPEN = frozenset({"/sign-in", "/health"})
OPEN_BELOW = "/static/"

#: The documentation: not secret, but only for those who are signed in.
HELP_BELOW = "/help/"

#: Answers for itself who may ask, in the form that its clients know.
API_BELOW = "/release-events-api/"

SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Names:
    """The host names that the server accepts; other names that resolve to it can be a DNS rebinding attack."""

    #: None accepts every name.
    known: Collection[str] | None = LOCAL_NAMES

    def welcome(self, name: str) -> bool:
        """Return whether a host name is allowed."""
        return self.known is None or not name or name in self.known


class Guard:
    """Middleware that requires a session or an access key and rejects requests from pages of other sites.

    Args:
        app: The protected application; it reads the caller from ``request.state.known`` and ``request.state.actor``.
        callers: Recognise who asks.
        cookie: The session's.
        names: Under which the host answers.
    """

    def __init__(self, app: ASGIApp, *, callers: Authenticator, cookie: Cookie, names: Names) -> None:
        self._app = app
        self._callers = callers
        self._cookie = cookie
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, answer, and add the headers."""
        if scope["type"] != "http":
            # Nothing of the host speaks anything else.
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        path: str = scope["path"]
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                # The documentation brings a policy of its own, with the hashes of its scripts.
                policy = headers.get("Content-Security-Policy") if path.startswith(HELP_BELOW) else None
                headers.update(HEADERS)
                if policy:
                    headers["Content-Security-Policy"] = policy
                if own := _own_path(headers.get("location", ""), scope):
                    headers["Location"] = own
                # Kept, but asked for again: after an upgrade, an older style would meet a newer page.
                cacheable = path.startswith(OPEN_BELOW) or (path.startswith(HELP_BELOW) and "ETag" in headers)
                headers["Cache-Control"] = "no-cache" if cacheable else "no-store"
            await send(message)

        try:
            answer = await self._refusal(HTTPConnection(scope), scope)
            await (answer or self._app)(scope, _arriving(receive, scope), sending)
        except ClientDisconnect:
            # Whoever asked has hung up: there is nobody to answer, and nothing to report.
            log.debug("%s %s: client disconnected", scope["method"], path)
        except Exception as error:
            if begun:
                # Half an answer cannot be taken back; that it is broken off tells that it is none.
                raise
            # Answered here, as what is outside knows nothing of the headers.
            await _log_failure(error, scope)(scope, receive, sending)

    async def _refusal(self, request: HTTPConnection, scope: Scope) -> Response | None:
        path, method = scope["path"], scope["method"]
        if not self._names.welcome(host_name(request)):
            return PlainTextResponse("unknown host name; see --outside-url", 421)
        if path.startswith(API_BELOW):
            _remember(scope, await self._api_caller(request))
            return None
        if method not in SAFE and not same_origin(request):
            return PlainTextResponse("cross-site request rejected", 403)
        if path.startswith(OPEN_BELOW):
            return None
        known = await self._caller(request, method)
        _remember(scope, known)
        if known is None and path not in OPEN:
            return _unknown(request, method)
        return None

    async def _caller(self, request: HTTPConnection, method: str) -> Identity | None:
        key = request.headers.get("authorization")
        if key is None:
            return await self._callers.authenticate_session(self._cookie.token(request))
        # A key reads pages; what forms do is for people who signed in. Programs have GraphQL for that.
        return await self._callers.authenticate_header(key) if method in SAFE else None

    async def _api_caller(self, request: HTTPConnection) -> Identity | None:
        key = request.headers.get("authorization")
        if key is not None:
            return await self._callers.authenticate_header(key)
        # A browser's session counts only where the browser says that a page of ours asks.
        token = self._cookie.token(request)
        return await self._callers.authenticate_session(token) if token and from_our_page(request) else None


def _own_path(location: str, scope: Scope) -> str:
    """Return the path of an absolute URL of this server; a proxy can use another scheme."""
    here = f"{scope['scheme']}://{Request(scope).headers.get('host', '')}"
    path = location.removeprefix(here)
    return path if path != location and path.startswith("/") and not path.startswith("//") else ""


def _arriving(receive: Receive, scope: Scope) -> Receive:
    """Receive a request within the limits of who sends it."""
    announced = HTTPConnection(scope).headers.get("content-length", "")
    known = scope.get("state", {}).get("known") is not None
    return within(
        receive,
        request_limits.OF_CALLERS if known else request_limits.OF_STRANGERS,
        announced=int(announced) if announced.isdecimal() else 0,
    )


def _remember(scope: Scope, known: Identity | None) -> None:
    state = scope.setdefault("state", {})
    state["known"] = known
    state["actor"] = known.actor if known else None
    current_user_key.set((known.actor.id or known.key_id) if known else "")


def _log_failure(error: Exception, scope: Scope) -> Response:
    """Return the response to a request that failed."""
    request, api = Request(scope), scope["path"].startswith(API_BELOW)
    match error:
        case SlowBodyError():
            # The rest of it may still come, and is no request of its own.
            text = "the request timed out before it was complete; send it again"
            return PlainTextResponse(text, 408, headers={"Connection": "close"})
        case LargeBodyError():
            text = "the request is too large without authentication; sign in or send an access key"
            return PlainTextResponse(text, 413, headers={"Connection": "close"})
        case QueryTooSlowError() | TooManyQueriesError():
            status = 422 if isinstance(error, QueryTooSlowError) else 429
            return error_response(
                request, f"{str(error)[:1].upper()}{str(error)[1:]}.", error.hint, status=status, api=api
            )
        case StoreError():
            log.error("%s %s: %s %s", scope["method"], scope["path"], error, error.hint)
            return error_response(
                request, f"{str(error)[:1].upper()}{str(error)[1:]}.", error.hint, status=503, api=api
            )
        case _:
            log.error("internal error in %s %s", scope["method"], scope["path"], exc_info=error)
            return error_response(request, FAULT, REPORT, status=500, api=api)


def _unknown(request: HTTPConnection, method: str) -> Response:
    """Programs get a status, people get the door, which leads back to what they wanted to see."""
    path: str = request.scope["path"]
    scripted = request.headers.get("sec-fetch-mode", "navigate") != "navigate"
    wants_json = path.endswith(".json") or request.headers.get("accept", "").startswith("application/json")
    if scripted or wants_json or "authorization" in request.headers:
        body = {"error": "authentication required: sign in or send an access key (Authorization: UserAccessKey ...)"}
        return JSONResponse(body, 401, headers={"WWW-Authenticate": "UserAccessKey"})
    if method not in SAFE or path == "/":
        return RedirectResponse("/sign-in", 303)
    query = request.scope.get("query_string", b"").decode("latin-1")
    wanted = quote(path) + (f"?{query}" if query else "")
    return RedirectResponse(f"/sign-in?next={quote(wanted, safe='/')}", 303)


def same_origin(request: HTTPConnection) -> bool:
    """Browsers tell where a form was sent from; programs that are no browsers send neither header."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    except ValueError:
        return False


def from_our_page(request: HTTPConnection) -> bool:
    """Return whether the browser states that the request comes from a page of this server."""
    if request.headers.get("sec-fetch-site") is not None:
        return request.headers["sec-fetch-site"] == "same-origin"
    return request.headers.get("origin") is not None and same_origin(request)
