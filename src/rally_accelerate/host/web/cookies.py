"""The cookie of a session: its name, and how browsers may use it."""

from collections.abc import Collection

from starlette.requests import HTTPConnection
from starlette.responses import Response

from rally_accelerate.host.store.sessions import LONGEST


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
        """The token that a browser sent, or nothing."""
        return request.cookies.get(self._name(request), "")

    def give(self, request: HTTPConnection, response: Response, token: str) -> None:
        """Give a browser a token to keep."""
        response.set_cookie(
            self._name(request),
            token,
            max_age=int(LONGEST.total_seconds()),
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
    """The name under which a request came, without its port."""
    sent = request.headers.get("host", "")
    name, _, port = sent.rpartition(":")
    return (name if name and port.isdigit() else sent).lower()
