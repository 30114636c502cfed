"""The edge of the simulated Rally: plain ASGI for all of its API, because faults need the connection."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.types import Receive, Scope, Send

from rally_sandbox import answers, lookback
from rally_sandbox.access import Accounts, Login
from rally_sandbox.answers import Answer
from rally_sandbox.auth import Unauthorized, login
from rally_sandbox.connections import Connections
from rally_sandbox.envelopes import operation_result
from rally_sandbox.errors import QueryRefused, Refusal, UnknownType
from rally_sandbox.faults import Fault, Faults
from rally_sandbox.schemas import schema_document
from rally_sandbox.stats import Stats
from rally_sandbox.wsapi import Request, Wsapi, kind_of_request

if TYPE_CHECKING:
    from rally_sandbox.world import World

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
            answer = answers.instead(fault, path=path, base=base, now=self._now()) if fault is not None else None
            if answer is None:
                if _MALFORMED.search(raw_query) or _MALFORMED.search(raw_path):
                    answer = answers.unexpected_error()
                else:
                    request = _Asked(scope["method"], path, parts, parameters, base, body)
                    answer = self._right(request, user)
                if fault is not None:
                    answer = answers.spoiled(fault, answer)
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
            return answers.container_page(401, asked.path, str(user))
        if found := LOOKBACK_PATH.fullmatch(asked.path):
            return self._lookback(asked, int(found["workspace"]), user)
        if asked.method not in {"GET", "HEAD"}:
            self._stats.refused_write(f"{asked.method} {asked.path}")
            return answers.as_json(operation_result(errors=[f"Method {asked.method} is not allowed here"]), 405)
        with self._world.lock:
            if asked.path.startswith(SCHEMA_PATH):
                return answers.as_json(schema_document(self._world, base=asked.base))
            if not asked.path.startswith(WSAPI_PATH):
                return answers.container_page(404, asked.path, "Not Found")
            if asked.parts[:2] == ("security", "authorize"):
                return answers.as_json(operation_result(SecurityToken="sample-token"))
            try:
                document = self._wsapi.answer(Request(asked.parts, asked.parameters, user, asked.base))
            except UnknownType as refusal:
                return answers.as_json(operation_result(errors=[str(refusal)]), 404)
            except Refusal as refusal:
                return answers.as_json(operation_result(errors=[str(refusal)]))
            return answers.as_json(document)

    def _lookback(self, asked: "_Asked", workspace: int, user: Login) -> Answer:
        if not self._world.lookback.available:
            return answers.container_page(404, asked.path, "Not Found")
        with self._world.lock:
            try:
                question = orjson.loads(asked.body) if asked.body else lookback.parsed(asked.parameters)
                return answers.as_json(lookback.answer(self._world, workspace, question, user))
            except lookback.Forbidden:
                return answers.container_page(403, asked.path, "Forbidden")
            except (QueryRefused, orjson.JSONDecodeError, TypeError, ValueError, AttributeError) as refusal:
                # Errors come with status 200 (rally-api-notes.md#access-to-snapshots).
                return answers.as_json({"Errors": [str(refusal)], "Warnings": [], "Results": []})

    async def _send(self, answer: Answer, scope: Scope, receive: Receive, send: Send, *, now: int) -> None:
        if answer.dropped:
            await self._connections.drop(scope, receive)
            return
        headers = [
            (b"content-type", answer.content_type.encode("latin-1")),
            (b"content-length", str(len(answer.body)).encode("ascii")),
            (b"date", answers.http_date(now).encode("ascii")),
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
