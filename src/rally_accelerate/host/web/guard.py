"""What every answer carries, and who may see pages."""

import base64
import binascii
from urllib.parse import urlsplit

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from rally_accelerate.host.access import Actor, Role
from rally_accelerate.host.store.keys import AccessKeys

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: Whoever may use this machine, as long as there is no sign-in.
LOCAL = Actor("", "this machine's user", Role.ADMIN)

LOCAL_NAMES = {"127.0.0.1", "localhost", "[::1]", "host.invalid"}


class Guard(BaseHTTPMiddleware):
    """Bound to this machine alone, pages are open to its users; elsewhere they ask for an access key.

    The key is given as the password of HTTP Basic, with any user name. GraphQL asks for a key everywhere.

    Args:
        app: What is guarded.
        keys: The access keys.
        public: Whether other machines can reach the host.
    """

    def __init__(self, app: ASGIApp, *, keys: AccessKeys, public: bool) -> None:
        super().__init__(app)
        self._keys = keys
        self._public = public

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Check, answer, and add the headers."""
        request.state.actor = LOCAL
        response = await self._refusal(request) or await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store" if request.url.path[:8] != "/static/" else "max-age=3600"
        return response

    async def _refusal(self, request: Request) -> Response | None:
        if not self._public and request.url.hostname and _host(request) not in LOCAL_NAMES:
            # A name of somebody else's that leads here is an attempt to read the pages through a browser.
            return PlainTextResponse("this host answers to 127.0.0.1 and localhost only", 421)
        if request.url.path.startswith("/release-events-api/"):
            return None
        if request.method not in {"GET", "HEAD"} and not _same_origin(request):
            return PlainTextResponse("the request comes from another site", 403)
        if self._public and request.url.path != "/health" and not await self._knows(request):
            return PlainTextResponse(
                "an access key is needed: give it as the password",
                401,
                headers={"WWW-Authenticate": 'Basic realm="rally-accelerate", charset="UTF-8"'},
            )
        return None

    async def _knows(self, request: Request) -> bool:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            _, _, key = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return await self._keys.accepts(key)


def _host(request: Request) -> str:
    name = request.headers.get("host", "").rpartition(":")
    return name[0] if name[0] and name[2].isdigit() else request.headers.get("host", "")


def _same_origin(request: Request) -> bool:
    """Browsers tell where a form was sent from; programs that are no browsers send neither header."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
