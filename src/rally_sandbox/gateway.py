"""HTTP gateway of the simulated Rally, as plain ASGI because faults need access to the connection."""

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
from rally_sandbox.auth import Accounts, Login, UnauthorizedError, authenticate
from rally_sandbox.clock import SECOND, to_datetime
from rally_sandbox.control import Stats
from rally_sandbox.errors import QueryError, SandboxError, UnknownTypeError
from rally_sandbox.faults import Fault, Faults, corrupt_body
from rally_sandbox.parameters import Json, Paging, create_operation_result, create_query_result, render_html_error
from rally_sandbox.rendering import render_schema
from rally_sandbox.wsapi import ApiRequest, Wsapi, get_request_kind

if TYPE_CHECKING:
    from rally_sandbox.world import World


class Connections:
    """The open connections of one server, by the client's address."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}
        #: Set when the server is about to stop, to end delays of faults.
        self.stopping = asyncio.Event()

    def create_protocol_class(self) -> type[H11Protocol]:
        """Create a protocol class for uvicorn that registers its connections here."""
        connections = self

        class Registered(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows the type likewise
                # Stored, because a closed transport no longer knows its peer.
                self._peer: tuple[str, int] = transport.get_extra_info("peername")[:2]
                connections._open[self._peer] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                connections._open.pop(self._peer, None)
                super().connection_lost(exc)

        return Registered

    async def abort(self, scope: Scope, receive: Receive) -> None:
        """Abort the connection at once, without sending pending data.

        Raises:
            ConnectionResetError: The application runs without a server.
        """
        self._transport(scope).abort()
        await _wait_for_disconnect(receive)

    async def close(self, scope: Scope, receive: Receive) -> None:
        """Close the connection after sending pending data.

        Raises:
            ConnectionResetError: The application runs without a server.
        """
        self._transport(scope).close()
        await _wait_for_disconnect(receive)

    def abort_all(self) -> None:
        """Abort all connections, because the server would wait for idle TLS connections."""
        for transport in list(self._open.values()):
            transport.abort()

    def _transport(self, scope: Scope) -> asyncio.Transport:
        client: Any = scope.get("client")
        transport = self._open.get(tuple(client)) if client else None
        if transport is None:
            raise ConnectionResetError("the simulated connection was dropped")
        return transport


async def _wait_for_disconnect(receive: Receive) -> None:
    # Returning earlier would look to the server like an application that sent no response.
    while (await receive())["type"] != "http.disconnect":
        pass


HTML = "text/html;charset=ISO-8859-1"
LOGIN_PATH = "/login/sso"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An HTTP response, possibly truncated by a fault."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    #: The connection closes after so many bytes of the body; None sends the full body.
    truncate_at: int | None = None
    #: The connection closes without a response.
    drop_connection: bool = False


def json_response(document: Json, status: int = 200) -> HttpResponse:
    """Create a JSON response."""
    return HttpResponse(status, hostile_data.insert_raw_bytes(orjson.dumps(document)))


def html_response(status: int, title: str, text: str) -> HttpResponse:
    """Create a response with a small HTML page."""
    body = (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
    )
    return HttpResponse(status, body.encode(), HTML)


def container_error(status: int, path: str, reason: str) -> HttpResponse:
    """Create a response with the servlet container's error page."""
    return HttpResponse(status, render_html_error(status, path, reason), HTML)


def format_http_date(milliseconds: int) -> str:
    """Format a time for HTTP headers."""
    return format_datetime(to_datetime(milliseconds // SECOND * SECOND), usegmt=True)


def create_fault_response(fault: Fault, *, path: str, base: str, now: int) -> HttpResponse | None:  # noqa: PLR0911 - one table
    """Create a fault's response; return None if the fault changes the correct response instead.

    Args:
        fault: The fault.
        path: The requested path.
        base: Scheme and host.
        now: The simulated time in milliseconds.
    """
    match fault.name if fault.name != "page-limit" else fault.answer:
        case "html-401":
            return container_error(401, path, "Full authentication is required to access this resource")
        case "sso-redirect":
            return HttpResponse(302, b"", HTML, (("location", f"{base}{LOGIN_PATH}?target={path}"),))
        case "maintenance-200":
            return html_response(200, "Sample maintenance", "The simulated Rally is being maintained.")
        case "errors-200":
            return json_response(create_query_result([], 0, Paging(), errors=[fault.text]))
        case "operation-result":
            return json_response(create_operation_result(errors=[fault.text]))
        case "429":
            return replace(html_response(429, "Too Many Requests", "Slow down."), headers=_retry_after(fault, now))
        case "500-html":
            return create_internal_error()
        case "502":
            return html_response(502, "502 Bad Gateway", "The sample gateway got no answer in time.")
        case "503":
            return html_response(503, "Service Unavailable", "The simulated Rally is offline.")
        case "524":
            return html_response(524, "524: A timeout occurred", "The sample gateway got no answer in time.")
        case "drop":
            return HttpResponse(0, b"", drop_connection=True)
        case name:
            return _create_login_fault_response(name)


def _create_login_fault_response(name: str) -> HttpResponse | None:
    match name:
        case "sso-401":
            text = "Your subscription requires Single Sign-On. Sign in through your identity provider."
            return html_response(401, "401 Unauthorized", text)
        case "proxy-401":
            # The response of tinyproxy 1.11, also to CONNECT.
            text = "The administrator of this proxy has not configured it to service requests from you."
            response = html_response(
                401, "401 Unauthorized", f"{text}</p><hr><p><em>Generated by tinyproxy version 1.11.1.</em>"
            )
            return replace(response, headers=(("www-authenticate", 'Basic realm="tinyproxy"'), ("server", "tinyproxy")))
        case "ntlm-proxy":
            response = html_response(407, "407 Proxy Authentication Required", "Sign in to the sample proxy.")
            return replace(response, headers=(("proxy-authenticate", "Negotiate"), ("proxy-authenticate", "NTLM")))
        case _:
            return None


def create_internal_error() -> HttpResponse:
    """Create Rally's page for unexpected errors, such as malformed percent-encoding.

    See rally-api-notes.md#http-failures.
    """
    return html_response(
        500, "An unexpected error has occurred", "We have been notified. (Sample text of a simulator.)"
    )


def apply_fault(fault: Fault, response: HttpResponse) -> HttpResponse:
    """Apply a fault to the correct response."""
    match fault.name if fault.name != "page-limit" else fault.answer:
        case "truncated-json":
            return replace(response, body=response.body[: len(response.body) // 2])
        case "truncated-connection":
            return replace(response, truncate_at=len(response.body) // 2)
        case "set-cookie":
            return replace(
                response, headers=(*response.headers, ("set-cookie", "JSESSIONID=sample-session; Path=/; HttpOnly"))
            )
        case _:
            return replace(response, body=corrupt_body(fault, response.body))


def _retry_after(fault: Fault, now: int) -> tuple[tuple[str, str], ...]:
    if fault.retry_after is None:
        return ()
    if fault.retry_after_date:
        return (("retry-after", format_http_date(now + fault.retry_after * SECOND)),)
    return (("retry-after", str(fault.retry_after)),)


WSAPI_PATH = "/slm/webservice/v2.0/"
SCHEMA_PATH = "/slm/schema/v2.0/"
LOOKBACK_PATH = re.compile(
    r"/analytics/v2\.0/service/rally/workspace/(?P<workspace>[0-9]+)/artifact/snapshot/query(?:\.js)?"
)

#: The kind of requests to Lookback, for faults and statistics.
SNAPSHOT = "snapshot"

_MALFORMED = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DELAYS = frozenset({"timeout", "slow"})


class Gateway:
    """ASGI application for requests below ``/slm`` and ``/analytics``.

    Args:
        world: The simulated subscription.
        accounts: The logins.
        faults: The active faults.
        stats: The request counters.
        connections: The server's connections, for faults that close them; in-process clients have none.
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
        """Respond to one request."""
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        raw_query: bytes = scope.get("query_string", b"")
        path = unquote(raw_path.decode("ascii", "replace"))
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        base = f"{scope['scheme']}://{headers.get('host', 'localhost')}"
        parts = tuple(unquote(part) for part in raw_path.decode("ascii", "replace").split("/")[4:])
        parameters = dict(parse_qsl(raw_query.decode("ascii", "replace"), keep_blank_values=True))
        kind = _request_kind(path, parts)
        body = await _read_body(receive) if kind == SNAPSHOT and scope["method"] == "POST" else b""
        user = self._authenticate(headers)
        name = user.user.values["UserName"] if isinstance(user, Login) else ""
        with self._stats.request(kind, name):
            fault = self._faults.take(kind, page_size=_parse_page_size(parameters, body))
            if fault is not None:
                self._stats.record_fault(fault.name)
            if not await self._wait(fault, receive):
                return
            response = (
                create_fault_response(fault, path=path, base=base, now=self._now()) if fault is not None else None
            )
            if response is None:
                if _MALFORMED.search(raw_query) or _MALFORMED.search(raw_path):
                    response = create_internal_error()
                else:
                    request = _HttpRequest(scope["method"], path, parts, parameters, base, body)
                    response = self._respond(request, user)
                if fault is not None:
                    response = apply_fault(fault, response)
            self._stats.record_response(response.status, len(response.body))
            now = self._now()
            if response.status == 200 and _is_query(parts):  # noqa: PLR2004 - only served pages have something between them
                # The page is complete but not sent: when the client receives it, the edits have happened.
                self._faults.run_between_pages(self._world)
            await self._send(response, scope, receive, send, now=now)

    def _now(self) -> int:
        return self._world.clock.milliseconds()

    def _authenticate(self, headers: Mapping[str, str]) -> Login | UnauthorizedError:
        try:
            return authenticate(self._accounts, headers)
        except UnauthorizedError as error:
            return error

    async def _wait(self, fault: Fault | None, receive: Receive) -> bool:
        """Wait for the latency and the fault's delay; return False if the client disconnected."""
        seconds = self._faults.latency_ms / 1000
        if fault is not None and fault.name in _DELAYS:
            seconds += fault.seconds
        if seconds <= 0:
            return True
        if fault is None:
            await asyncio.sleep(seconds)
            return True
        disconnected = asyncio.ensure_future(_receive_disconnect(receive))
        stopping = asyncio.ensure_future(self._connections.stopping.wait())
        try:
            done, _ = await asyncio.wait({disconnected, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            disconnected.cancel()
            stopping.cancel()
        return disconnected not in done

    def _respond(self, request: "_HttpRequest", user: Login | UnauthorizedError) -> HttpResponse:  # noqa: PLR0911 - one table
        if isinstance(user, UnauthorizedError):
            return container_error(401, request.path, str(user))
        if match := LOOKBACK_PATH.fullmatch(request.path):
            return self._respond_lookback(request, int(match["workspace"]), user)
        if request.method not in {"GET", "HEAD"}:
            self._stats.record_write_attempt(f"{request.method} {request.path}")
            return json_response(create_operation_result(errors=[f"Method {request.method} is not allowed here"]), 405)
        with self._world.lock:
            if request.path.startswith(SCHEMA_PATH):
                return json_response(render_schema(self._world, base=request.base))
            if not request.path.startswith(WSAPI_PATH):
                return container_error(404, request.path, "Not Found")
            if request.parts[:2] == ("security", "authorize"):
                return json_response(create_operation_result(SecurityToken="sample-token"))
            try:
                document = self._wsapi.respond(ApiRequest(request.parts, request.parameters, user, request.base))
            except UnknownTypeError as error:
                return json_response(create_operation_result(errors=[str(error)]), 404)
            except SandboxError as error:
                return json_response(create_operation_result(errors=[str(error)]))
            return json_response(document)

    def _respond_lookback(self, request: "_HttpRequest", workspace: int, user: Login) -> HttpResponse:
        if not self._world.lookback.available:
            return container_error(404, request.path, "Not Found")
        with self._world.lock:
            try:
                query = orjson.loads(request.body) if request.body else lookback.parse_parameters(request.parameters)
                return json_response(lookback.execute_query(self._world, workspace, query, user))
            except lookback.ForbiddenError:
                return container_error(403, request.path, "Forbidden")
            except (QueryError, orjson.JSONDecodeError, TypeError, ValueError, AttributeError) as error:
                # Errors come with status 200 (rally-api-notes.md#access-to-snapshots).
                return json_response({"Errors": [str(error)], "Warnings": [], "Results": []})

    async def _send(self, response: HttpResponse, scope: Scope, receive: Receive, send: Send, *, now: int) -> None:
        if response.drop_connection:
            await self._connections.abort(scope, receive)
            return
        headers = [
            (b"content-type", response.content_type.encode("latin-1")),
            (b"content-length", str(len(response.body)).encode("ascii")),
            (b"date", format_http_date(now).encode("ascii")),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers),
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if response.truncate_at is None:
            await send({"type": "http.response.body", "body": response.body})
            return
        await send({"type": "http.response.body", "body": response.body[: response.truncate_at], "more_body": True})
        await self._connections.close(scope, receive)


@dataclass(frozen=True, slots=True)
class _HttpRequest:
    """The parts of a request that the response depends on."""

    method: str
    path: str
    parts: tuple[str, ...]
    parameters: Mapping[str, str]
    base: str
    body: bytes = b""


async def _receive_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _request_kind(path: str, parts: tuple[str, ...]) -> str:
    if path.startswith(WSAPI_PATH):
        return get_request_kind(parts)
    return SNAPSHOT if LOOKBACK_PATH.fullmatch(path) else "schema"


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)


def _parse_page_size(parameters: Mapping[str, str], body: bytes) -> int:
    if body:
        match = re.search(rb'"pagesize":\s*([0-9]+)', body)
        return int(match[1]) if match else 0
    text = parameters.get("pagesize", "")
    return int(text) if text.isdecimal() else 0


def _is_query(parts: tuple[str, ...]) -> bool:
    # A request for one object is not a query.
    return bool(parts) and not parts[-1].lstrip("-").isdecimal()
