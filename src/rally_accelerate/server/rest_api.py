"""The REST addresses on value streams (accelerate-api-notes.md#rest-addresses), for programs without GraphQL.

Their answers are not public but for the first one, which is the file of the page; the shape of the others is assumed.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rally_accelerate.server.authentication import Identity
from rally_accelerate.server.graphql.value_stream_types import Particles
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.value_streams.board import BoardCache
from rally_accelerate.server.value_streams.export import export_document, load_integrations
from rally_accelerate.server.value_streams.layout import parse_layout
from rally_accelerate.server.web.routing import public_route

BASE = "/release-events-api/api/v1"

DEFAULT_LIMIT, MAX_LIMIT = 100, 500


class ValueStreamApi:
    """The REST API of value streams, for callers with an access key."""

    def __init__(self, stores: Stores, schedule: Scheduler, boards: BoardCache) -> None:
        self._stores = stores
        self._scheduler = schedule
        self._particles = Particles(stores, boards)

    def build_routes(self) -> list[Route]:
        """Return the routes."""
        return [
            _make_route("workflow", self.get_workflow),
            _make_route("workflowIds", self.list_workflows),
            _make_route("dots", self.list_dots),
        ]

    async def get_workflow(self, request: Request) -> Response:
        """Return the file of a value stream, as its page gives it."""
        stream = await self._stores.streams.by_id(request.query_params.get("workflowId", ""))
        if stream is None:
            return _make_error_response("workflowId names no value stream", 404)
        return _make_json_response(export_document(stream, await load_integrations(self._stores, self._scheduler)))

    async def list_workflows(self, _: Request) -> Response:
        """Id and name of every value stream."""
        return _make_json_response([{"_id": one.id, "name": one.name} for one in await self._stores.streams.all()])

    async def list_dots(self, request: Request) -> Response:
        """Return the dots of a value stream, stage by stage; of one stage with ``stageName``."""
        values = request.query_params
        stream = await self._stores.streams.by_id(values.get("workflowId", ""))
        if stream is None:
            return _make_error_response("workflowId names no value stream", 404)
        skip, limit = _parse_number(values.get("skip"), 0), _parse_number(values.get("limit"), DEFAULT_LIMIT)
        if skip is None or limit is None or not 0 < limit <= MAX_LIMIT:
            return _make_error_response(f"limit must be from 1 to {MAX_LIMIT}, and skip 0 or more", 400)
        chosen = values.get("stageName")
        result = []
        for stage in parse_layout(stream.document).stages:
            if chosen in {None, stage.name}:
                some = await self._particles.list_by_stage(stream, stage.name, skip=skip, limit=limit, only=None)
                dots = [{name: value for name, value in dot.items() if not name.startswith("_")} for dot in some]
                result.append({"phase": stage.phase, "stage": stage.name, "dots": dots})
        return _make_json_response(result)


def _make_route(name: str, answer: Callable[[Request], Awaitable[Response]]) -> Route:
    """Return a route that answers unauthenticated callers with JSON instead of a redirect."""

    async def authenticate_and_respond(request: Request) -> Response:
        known: Identity | None = request.state.known
        return _make_error_response("Not authorized", 401) if known is None else await answer(request)

    route = public_route(f"{BASE}/{name}", authenticate_and_respond)
    route.role = Role.VIEWER  # type: ignore[attr-defined] # everybody who is known may look at value streams
    return route


def _parse_number(value: str | None, default: int) -> int | None:
    if not value:
        return default
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else None  # noqa: PLR2004 - digits


def _make_json_response(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _make_error_response(text: str, status: int) -> Response:
    return JSONResponse({"errors": [{"message": text}]}, status)
