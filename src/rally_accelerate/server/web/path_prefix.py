"""Middleware to serve all pages below a path such as ``https://example.com/rally/``.

Pages and routes are written for the root. Here, outside of all other layers, the prefix is taken from requests and
added to what is answered: links, forms, scripts and styles of pages, and redirects. A proxy may pass the prefix on or
remove it.
"""

import re

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The attributes with addresses. The templates quote every attribute, and escape quotes in what they show.
_ADDRESS = re.compile(rb'(\s(?:href|src|action|formaction)=")(?=/(?!/))')


class UrlPrefixMiddleware:
    """An application below a prefix.

    Args:
        app: The application, written for the root.
        prefix: For example ``/rally``.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the prefix from the request, and add it to the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == self._prefix:
            query = scope.get("query_string", b"").decode("latin-1")
            await RedirectResponse(f"{self._prefix}/{'?' + query if query else ''}", 308)(scope, receive, send)
            return
        await self._app(self._inside(scope), receive, _Answer(send, self._prefix, head=scope["method"] == "HEAD").send)

    def _inside(self, scope: Scope) -> Scope:
        below = f"{self._prefix}/"
        path = dict(scope)
        if scope["path"].startswith(below):
            path["path"] = scope["path"].removeprefix(self._prefix)
            raw: bytes = scope.get("raw_path") or b""
            path["raw_path"] = raw.removeprefix(self._prefix.encode())
        # The page that a form was on, as the application knows it.
        host = dict(scope["headers"]).get(b"host", b"")
        path["headers"] = [
            (
                name,
                value.replace(b"://%b%b" % (host, below.encode()), b"://%b/" % host, 1)
                if name == b"referer"
                else value,
            )
            for name, value in scope["headers"]
        ]
        return path


class _Answer:
    """An answer on its way; pages are held back until they are complete."""

    def __init__(self, send: Send, prefix: str, *, head: bool) -> None:
        self._send = send
        self._prefix = prefix
        self._head = head
        self._start: Message | None = None
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer with the prefix."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            location = headers.get("location", "")
            if location.startswith("/") and not location.startswith("//"):
                headers["location"] = f"{self._prefix}{location}"
            if headers.get("content-type", "").startswith("text/html") and not self._head:
                self._start = message
                return
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if message.get("more_body", False):
                return
            start, self._start = self._start, None
            body = _ADDRESS.sub(rb"\g<1>" + self._prefix.encode(), bytes(self._body))
            MutableHeaders(scope=start)["content-length"] = str(len(body))
            await self._send(start)
            await self._send({"type": "http.response.body", "body": body})
            return
        await self._send(message)
