"""The edge of the simulated Rally: plain ASGI for all of its API, because faults need the connection."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from rally_sandbox import hostile_data, lookback
from rally_sandbox.auth import Accounts, Login, Unauthorized, login
from rally_sandbox.clock import SECOND, to_datetime
from rally_sandbox.control import Stats
from rally_sandbox.errors import QueryRefused, Refusal, UnknownType
from rally_sandbox.faults import Fault, Faults, spoil_body
from rally_sandbox.parameters import Json, Paging, html_error, operation_result, query_result
from rally_sandbox.rendering import schema_document
from rally_sandbox.wsapi import Request, Wsapi, kind_of_request

if TYPE_CHECKING:
    from rally_sandbox.world import World


class Connections:
    """The open connections of one server, by the client's address."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}
        #: Set when the server is about to stop, so that nobody waits for a sleeping fault.
        self.stopping = asyncio.Event()

    def protocol(self) -> type[H11Protocol]:
        """A protocol class for uvicorn that enters its connections here."""
        connections = self

        class Registered(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows the type likewise
                # Kept aside, because a closed transport no longer tells its peer.
                self._peer: tuple[str, int] = transport.get_extra_info("peername")[:2]
                connections._open[self._peer] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                connections._open.pop(self._peer, None)
                super().connection_lost(exc)

        return Registered

    async def drop(self, scope: Scope, receive: Receive) -> None:
        """End the connection at once, whatever is still to be sent.

        Raises:
            ConnectionResetError: The application runs without a server.
        """
        self._transport(scope).abort()
        await _gone(receive)

    async def close(self, scope: Scope, receive: Receive) -> None:
        """End the connection after what was sent so far.

        Raises:
            ConnectionResetError: The application runs without a server.
        """
        self._transport(scope).close()
        await _gone(receive)

    def end_all(self) -> None:
        """End every connection: a TLS peer that keeps its connection for later would be waited for."""
        for transport in list(self._open.values()):
            transport.abort()

    def _transport(self, scope: Scope) -> asyncio.Transport:
        client: Any = scope.get("client")
        transport = self._open.get(tuple(client)) if client else None
        if transport is None:
            raise ConnectionResetError("the simulated connection was dropped")
        return transport


async def _gone(receive: Receive) -> None:
    # Returning earlier would look to the server like an application that forgot to answer.
    while (await receive())["type"] != "http.disconnect":
        pass


HTML = "text/html;charset=ISO-8859-1"
LOGIN_PATH = "/login/sso"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    #: The connection ends after so many bytes of the body; None sends it all.
    cut_after: int | None = None
    #: The connection ends without an answer.
    dropped: bool = False


def as_json(document: Json, status: int = 200) -> Answer:
    """A JSON answer."""
    return Answer(status, hostile_data.raw(orjson.dumps(document)))


def page(status: int, title: str, text: str) -> Answer:
    """A small HTML page."""
    body = (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
    )
    return Answer(status, body.encode(), HTML)


def container_page(status: int, path: str, reason: str) -> Answer:
    """The servlet container's error page."""
    return Answer(status, html_error(status, path, reason), HTML)


def http_date(milliseconds: int) -> str:
    """A moment as HTTP headers show it."""
    return format_datetime(to_datetime(milliseconds // SECOND * SECOND), usegmt=True)


def instead(fault: Fault, *, path: str, base: str, now: int) -> Answer | None:  # noqa: PLR0911 - one table
    """What a fault answers without looking at the request; None when the right answer is needed first.

    Args:
        fault: The fault.
        path: The path asked for.
        base: Scheme and host.
        now: The simulated time in milliseconds.
    """
    match fault.name if fault.name != "page-limit" else fault.answer:
        case "html-401":
            return container_page(401, path, "Full authentication is required to access this resource")
        case "sso-redirect":
            return Answer(302, b"", HTML, (("location", f"{base}{LOGIN_PATH}?target={path}"),))
        case "maintenance-200":
            return page(200, "Sample maintenance", "The simulated Rally is being maintained.")
        case "errors-200":
            return as_json(query_result([], 0, Paging(), errors=[fault.text]))
        case "operation-result":
            return as_json(operation_result(errors=[fault.text]))
        case "429":
            return replace(page(429, "Too Many Requests", "Slow down."), headers=_retry_after(fault, now))
        case "500-html":
            return unexpected_error()
        case "502":
            return page(502, "502 Bad Gateway", "The sample gateway got no answer in time.")
        case "503":
            return page(503, "Service Unavailable", "The simulated Rally is offline.")
        case "524":
            return page(524, "524: A timeout occurred", "The sample gateway got no answer in time.")
        case "drop":
            return Answer(0, b"", dropped=True)
        case name:
            return _refused_login(name)


def _refused_login(name: str) -> Answer | None:
    match name:
        case "sso-401":
            text = "Your subscription requires Single Sign-On. Sign in through your identity provider."
            return page(401, "401 Unauthorized", text)
        case "proxy-401":
            # As tinyproxy 1.11 answers, also to CONNECT.
            text = "The administrator of this proxy has not configured it to service requests from you."
            refused = page(401, "401 Unauthorized", f"{text}</p><hr><p><em>Generated by tinyproxy version 1.11.1.</em>")
            return replace(refused, headers=(("www-authenticate", 'Basic realm="tinyproxy"'), ("server", "tinyproxy")))
        case "ntlm-proxy":
            refused = page(407, "407 Proxy Authentication Required", "Sign in to the sample proxy.")
            return replace(refused, headers=(("proxy-authenticate", "Negotiate"), ("proxy-authenticate", "NTLM")))
        case _:
            return None


def unexpected_error() -> Answer:
    """The page for what Rally cannot handle, malformed percent-encoding for one (rally-api-notes.md#http-failures)."""
    return page(500, "An unexpected error has occurred", "We have been notified. (Sample text of a simulator.)")


def spoiled(fault: Fault, right: Answer) -> Answer:
    """What a fault makes of the right answer."""
    match fault.name if fault.name != "page-limit" else fault.answer:
        case "truncated-json":
            return replace(right, body=right.body[: len(right.body) // 2])
        case "truncated-connection":
            return replace(right, cut_after=len(right.body) // 2)
        case "set-cookie":
            return replace(
                right, headers=(*right.headers, ("set-cookie", "JSESSIONID=sample-session; Path=/; HttpOnly"))
            )
        case _:
            return replace(right, body=spoil_body(fault, right.body))


def _retry_after(fault: Fault, now: int) -> tuple[tuple[str, str], ...]:
    if fault.retry_after is None:
        return ()
    if fault.retry_after_date:
        return (("retry-after", http_date(now + fault.retry_after * SECOND)),)
    return (("retry-after", str(fault.retry_after)),)


WSAPI_PATH = "/slm/webservice/v2.0/"
SCHEMA_PATH = "/slm/schema/v2.0/"
LOOKBACK_PATH = re.compile(
    r"/analytics/v2\.0/service/rally/workspace/(?P<workspace>[0-9]+)/artifact/snapshot/query(?:\.js)?"
)

#: What requests to Lookback count as.
SNAPSHOT = "snapshot"

_MALFORMED = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SILENCES = frozenset({"timeout", "slow"})


class Gateway:
    """Answers requests below ``/slm``.

    Args:
        world: What is shown.
        accounts: Who may look.
        faults: What goes wrong.
        stats: What is counted.
        connections: Where a connection can be ended; in-process clients have none.
    """

    def __init__(
        self, world: "World", accounts: Accounts, *, faults: Faults, stats: Stats, connections: Connections
    ) -> None:
        self._world = world
        self._accounts = accounts
        self._faults = faults
        self._stats = stats
        self._connections = connections
        self._wsapi = Wsapi(world)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        raw_query: bytes = scope.get("query_string", b"")
        path = unquote(raw_path.decode("ascii", "replace"))
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        base = f"{scope['scheme']}://{headers.get('host', 'localhost')}"
        parts = tuple(unquote(part) for part in raw_path.decode("ascii", "replace").split("/")[4:])
        parameters = dict(parse_qsl(raw_query.decode("ascii", "replace"), keep_blank_values=True))
        kind = _kind(path, parts)
        body = await _body(receive) if kind == SNAPSHOT and scope["method"] == "POST" else b""
        user = self._login(headers)
        name = user.user.values["UserName"] if isinstance(user, Login) else ""
        with self._stats.request(kind, name):
            fault = self._faults.next_for(kind, page_size=_size(parameters, body))
            if fault is not None:
                self._stats.faulted(fault.name)
            if not await self._wait(fault, receive):
                return
            answer = instead(fault, path=path, base=base, now=self._now()) if fault is not None else None
            if answer is None:
                if _MALFORMED.search(raw_query) or _MALFORMED.search(raw_path):
                    answer = unexpected_error()
                else:
                    request = _Asked(scope["method"], path, parts, parameters, base, body)
                    answer = self._right(request, user)
                if fault is not None:
                    answer = spoiled(fault, answer)
            self._stats.answered(answer.status, len(answer.body))
            now = self._now()
            if answer.status == 200 and _is_page(parts):  # noqa: PLR2004 - only served pages have something between them
                # The page is complete but not sent: when the client has it, the edits have happened.
                self._faults.between_pages(self._world)
            await self._send(answer, scope, receive, send, now=now)

    def _now(self) -> int:
        return self._world.clock.milliseconds()

    def _login(self, headers: Mapping[str, str]) -> Login | Unauthorized:
        try:
            return login(self._accounts, headers)
        except Unauthorized as refusal:
            return refusal

    async def _wait(self, fault: Fault | None, receive: Receive) -> bool:
        """Let time pass; False when the client has gone meanwhile."""
        seconds = self._faults.latency_ms / 1000
        if fault is not None and fault.name in _SILENCES:
            seconds += fault.seconds
        if seconds <= 0:
            return True
        if fault is None:
            await asyncio.sleep(seconds)
            return True
        gone = asyncio.ensure_future(_until_gone(receive))
        stopping = asyncio.ensure_future(self._connections.stopping.wait())
        try:
            done, _ = await asyncio.wait({gone, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            stopping.cancel()
        return gone not in done

    def _right(self, asked: "_Asked", user: Login | Unauthorized) -> Answer:  # noqa: PLR0911 - one table
        if isinstance(user, Unauthorized):
            return container_page(401, asked.path, str(user))
        if found := LOOKBACK_PATH.fullmatch(asked.path):
            return self._lookback(asked, int(found["workspace"]), user)
        if asked.method not in {"GET", "HEAD"}:
            self._stats.refused_write(f"{asked.method} {asked.path}")
            return as_json(operation_result(errors=[f"Method {asked.method} is not allowed here"]), 405)
        with self._world.lock:
            if asked.path.startswith(SCHEMA_PATH):
                return as_json(schema_document(self._world, base=asked.base))
            if not asked.path.startswith(WSAPI_PATH):
                return container_page(404, asked.path, "Not Found")
            if asked.parts[:2] == ("security", "authorize"):
                return as_json(operation_result(SecurityToken="sample-token"))
            try:
                document = self._wsapi.answer(Request(asked.parts, asked.parameters, user, asked.base))
            except UnknownType as refusal:
                return as_json(operation_result(errors=[str(refusal)]), 404)
            except Refusal as refusal:
                return as_json(operation_result(errors=[str(refusal)]))
            return as_json(document)

    def _lookback(self, asked: "_Asked", workspace: int, user: Login) -> Answer:
        if not self._world.lookback.available:
            return container_page(404, asked.path, "Not Found")
        with self._world.lock:
            try:
                question = orjson.loads(asked.body) if asked.body else lookback.parsed(asked.parameters)
                return as_json(lookback.answer(self._world, workspace, question, user))
            except lookback.Forbidden:
                return container_page(403, asked.path, "Forbidden")
            except (QueryRefused, orjson.JSONDecodeError, TypeError, ValueError, AttributeError) as refusal:
                # Errors come with status 200 (rally-api-notes.md#access-to-snapshots).
                return as_json({"Errors": [str(refusal)], "Warnings": [], "Results": []})

    async def _send(self, answer: Answer, scope: Scope, receive: Receive, send: Send, *, now: int) -> None:
        if answer.dropped:
            await self._connections.drop(scope, receive)
            return
        headers = [
            (b"content-type", answer.content_type.encode("latin-1")),
            (b"content-length", str(len(answer.body)).encode("ascii")),
            (b"date", http_date(now).encode("ascii")),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.cut_after is None:
            await send({"type": "http.response.body", "body": answer.body})
            return
        await send({"type": "http.response.body", "body": answer.body[: answer.cut_after], "more_body": True})
        await self._connections.close(scope, receive)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The parts of a request that answers depend on."""

    method: str
    path: str
    parts: tuple[str, ...]
    parameters: Mapping[str, str]
    base: str
    body: bytes = b""


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _kind(path: str, parts: tuple[str, ...]) -> str:
    if path.startswith(WSAPI_PATH):
        return kind_of_request(parts)
    return SNAPSHOT if LOOKBACK_PATH.fullmatch(path) else "schema"


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)


def _size(parameters: Mapping[str, str], body: bytes) -> int:
    if body:
        found = re.search(rb'"pagesize":\s*([0-9]+)', body)
        return int(found[1]) if found else 0
    text = parameters.get("pagesize", "")
    return int(text) if text.isdecimal() else 0


def _is_page(parts: tuple[str, ...]) -> bool:
    # Reading one object is no page.
    return bool(parts) and not parts[-1].lstrip("-").isdecimal()
