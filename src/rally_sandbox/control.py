"""The control API below ``/_sandbox/``, for tests and demonstrations; it needs no credentials."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from rally_sandbox.auth import Accounts
from rally_sandbox.clock import format_iso
from rally_sandbox.faults import Faults

if TYPE_CHECKING:
    from rally_sandbox.world import World


#: Rally's own limit of simultaneous requests of one user (rally-api-notes.md#limits).
CONCURRENCY_LIMIT = 12


class Stats:
    """Request counters; thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._in_flight: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Set all counters to zero, except the requests in flight."""
        with self._lock:
            self.requests: Counter[str] = Counter()
            self.statuses: Counter[int] = Counter()
            #: ``METHOD /path`` of everything that tried to change something.
            self.write_attempts: list[str] = []
            self.bytes = 0
            self.faults: Counter[str] = Counter()
            self.max_in_flight = 0

    @property
    def total(self) -> int:
        """How many requests there were."""
        return sum(self.requests.values())

    @contextmanager
    def request(self, kind: str, user: str) -> Iterator[None]:
        """Count a request while it is processed.

        Args:
            kind: See ``wsapi.kind_of_request``.
            user: The user whose concurrent requests are counted.
        """
        with self._lock:
            self.requests[kind] += 1
            self._in_flight[user] += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight[user])
        try:
            yield
        finally:
            with self._lock:
                self._in_flight[user] -= 1

    def record_response(self, status: int, size: int) -> None:
        """Record a response; ``size`` is the body's length in bytes."""
        with self._lock:
            self.statuses[status] += 1
            self.bytes += size

    def record_write_attempt(self, attempt: str) -> None:
        """Record a rejected write request, ``METHOD /path``."""
        with self._lock:
            self.write_attempts.append(attempt)

    def record_fault(self, fault: str) -> None:
        """Record that a fault was played."""
        with self._lock:
            self.faults[fault] += 1

    def as_json(self) -> Mapping[str, Any]:
        """Return all counters as plain values."""
        with self._lock:
            return {
                "requests": dict(self.requests),
                "total": sum(self.requests.values()),
                "statuses": {str(status): count for status, count in self.statuses.items()},
                "writeAttempts": list(self.write_attempts),
                "bytes": self.bytes,
                "faults": dict(self.faults),
                "maxInFlight": self.max_in_flight,
                "limit": CONCURRENCY_LIMIT,
            }


Endpoint = Callable[[Request], Awaitable[Response]]

#: Ground truth rows in one chunk of the response.
_ROWS_PER_CHUNK = 100


def create_routes(world: "World", faults: Faults, stats: Stats, accounts: Accounts) -> list[Route]:
    """Create the routes. Bodies and responses are JSON; invalid requests get status 400 and a message."""
    control = _ControlEndpoints(world, faults, stats, accounts)
    return [
        Route("/stats", control.show_stats, methods=["GET"]),
        Route("/stats/reset", control.reset_stats, methods=["POST"]),
        Route("/faults", _report_errors(control.arm), methods=["POST"]),
        Route("/faults", control.clear, methods=["DELETE"]),
        Route("/work", _report_errors(control.work), methods=["POST"]),
        Route("/edit", _report_errors(control.edit), methods=["POST"]),
        Route("/create", _report_errors(control.create), methods=["POST"]),
        Route("/delete", _report_errors(control.delete), methods=["POST"]),
        Route("/restore", _report_errors(control.restore), methods=["POST"]),
        Route("/purge", _report_errors(control.purge), methods=["POST"]),
        Route("/close", _report_errors(control.set_project_state), methods=["POST"]),
        Route("/rights", _report_errors(control.set_permissions), methods=["POST"]),
        Route("/post", _report_errors(control.add_post), methods=["POST"]),
        Route("/link", _report_errors(control.add_dependency), methods=["POST"]),
        Route("/gather", _report_errors(control.add_to_suite), methods=["POST"]),
        Route("/relabel", _report_errors(control.relabel), methods=["POST"]),
        Route("/rename", _report_errors(control.rename), methods=["POST"]),
        Route("/revise", _report_errors(control.edit_record), methods=["POST"]),
        Route("/lookback", _report_errors(control.lookback), methods=["POST"]),
        Route("/clock", _report_errors(control.advance), methods=["POST"]),
        Route("/truth/{kind:path}", _report_errors(control.truth), methods=["GET"]),
    ]


def _report_errors(endpoint: Endpoint) -> Endpoint:
    async def respond(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (KeyError, ValueError, TypeError) as error:
            return _json({"error": str(error)}, 400)

    return respond


class _ControlEndpoints:
    def __init__(self, world: "World", faults: Faults, stats: Stats, accounts: Accounts) -> None:
        self._world = world
        self._accounts = accounts
        self._faults = faults
        self._stats = stats

    async def show_stats(self, _: Request) -> Response:
        return _json(self._stats.as_json())

    async def reset_stats(self, _: Request) -> Response:
        self._stats.reset()
        return _json({})

    async def arm(self, request: Request) -> Response:
        """Add faults: a list, or an object with ``faults``, ``latency_ms`` and ``edit_between_pages`` (steps)."""
        body = await _body(request)
        faults = body if isinstance(body, list) else body.get("faults", [])
        for fault in faults:
            self._faults.add(**fault)
        if isinstance(body, dict):
            self._faults.latency_ms = int(body.get("latency_ms", self._faults.latency_ms))
            self._faults.edit_between_pages = body.get("edit_between_pages", self._faults.edit_between_pages)
        return _json({"armed": len(faults)})

    async def clear(self, _: Request) -> Response:
        self._faults.clear()
        return _json({})

    async def work(self, request: Request) -> Response:
        body = await _body(request)
        return _json({"objectIds": self._world.work(int(body.get("steps", 1)))})

    async def edit(self, request: Request) -> Response:
        body = await _body(request)
        change = self._world.edit(int(body["objectId"]), body["fields"], body.get("user"))
        if change is None:
            return _json({"revision": None})
        revision = {"number": change.number, "at": format_iso(change.at), "text": self._world.text(change)}
        return _json({"revision": revision})

    async def create(self, request: Request) -> Response:
        body = await _body(request)
        item = self._world.create_item(body["kind"], body.get("project"), body.get("user"), **body.get("fields", {}))
        return _json({"objectId": item.object_id, "formattedId": self._world.get_formatted_id(item)})

    async def delete(self, request: Request) -> Response:
        body = await _body(request)
        self._world.delete(int(body["objectId"]), body.get("user"))
        return _json({})

    async def restore(self, request: Request) -> Response:
        body = await _body(request)
        self._world.restore(int(body["objectId"]), body.get("user"))
        return _json({})

    async def purge(self, request: Request) -> Response:
        """Purge an item from the recycle bin."""
        body = await _body(request)
        self._world.purge(int(body["objectId"]))
        return _json({})

    async def add_to_suite(self, request: Request) -> Response:
        """Put ``defect`` into ``suite``."""
        body = await _body(request)
        self._world.add_to_suite(int(body["suite"]), int(body["defect"]), body.get("user"))
        return _json({})

    async def relabel(self, request: Request) -> Response:
        """Give a field or a type another name: ``attribute`` (say Iteration or PortfolioItem/Feature), ``label``."""
        body = await _body(request)
        self._world.relabel(body["attribute"], body["label"])
        return _json({})

    async def set_project_state(self, request: Request) -> Response:
        """Close a project, or reopen it with ``"open": true``."""
        body = await _body(request)
        change = self._world.open_project if body.get("open") else self._world.close_project
        return _json({"objectId": change(body["project"]).object_id})

    async def set_permissions(self, request: Request) -> Response:
        """Restrict a ``user`` (API key or user name) to ``projects`` (ObjectIDs or names), or allow all with null."""
        body = await _body(request)
        names = body["projects"]
        projects = None if names is None else [self._world.record("Project", project) for project in names]
        self._accounts.restrict(body.get("user", ""), projects)
        return _json({"projects": None if projects is None else [project.object_id for project in projects]})

    async def add_post(self, request: Request) -> Response:
        """Add a discussion post: ``objectId`` and ``text``."""
        body = await _body(request)
        return _json(
            {"objectId": self._world.add_post(int(body["objectId"]), body["text"], body.get("user")).object_id}
        )

    async def add_dependency(self, request: Request) -> Response:
        """Add a dependency from ``successor`` to ``predecessor``."""
        body = await _body(request)
        self._world.add_dependency(int(body["predecessor"]), int(body["successor"]), body.get("user"))
        return _json({})

    async def rename(self, request: Request) -> Response:
        """Rename a record: ``kind`` (say Iteration), ``record`` (ObjectID or name) and ``name``."""
        body = await _body(request)
        return _json({"objectId": self._world.rename(body["kind"], body["record"], body["name"]).object_id})

    async def edit_record(self, request: Request) -> Response:
        """Change a record: ``kind`` (say Iteration), ``record`` (ObjectID or name), ``fields`` (dates as ISO texts)."""
        body = await _body(request)
        return _json({"objectId": self._world.edit_record(body["kind"], body["record"], **body["fields"]).object_id})

    async def lookback(self, request: Request) -> Response:
        """Change the state of Lookback: ``lag_ms`` and ``available``."""
        body = await _body(request)
        service = self._world.lookback
        service.lag_ms = int(body.get("lag_ms", service.lag_ms))
        service.available = bool(body.get("available", service.available))
        return _json({"lag_ms": service.lag_ms, "available": service.available})

    async def advance(self, request: Request) -> Response:
        """Advance the clock by ``advance_seconds``, stop or start it (``still``), or let instants repeat.

        With ``instants_repeat``, several saves of one item can have the same instant, as they do while the clock is
        still; otherwise each is a millisecond after the one before.
        """
        body = await _body(request)
        clock = self._world.clock
        if not body.keys() & {"advance_seconds", "still", "instants_repeat"}:
            raise ValueError("give advance_seconds, still or instants_repeat")
        clock.advance(timedelta(seconds=float(body.get("advance_seconds", 0))))
        if "still" in body:
            (clock.stop if body["still"] else clock.start)()
        self._world.instants_repeat = bool(body.get("instants_repeat", self._world.instants_repeat))
        return _json({"now": format_iso(clock.milliseconds()), "instantsRepeat": self._world.instants_repeat})

    async def truth(self, request: Request) -> Response:
        rows = self._world.items(request.path_params["kind"])
        first = next(rows, None)

        async def lines() -> AsyncIterator[bytes]:
            piece = [] if first is None else [orjson.dumps(first)]
            for row in rows:
                piece.append(orjson.dumps(row))
                if len(piece) >= _ROWS_PER_CHUNK:
                    yield b"\n".join(piece) + b"\n"
                    piece.clear()
            if piece:
                yield b"\n".join(piece) + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")


async def _body(request: Request) -> Any:
    raw = await request.body()
    return orjson.loads(raw) if raw else {}


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
