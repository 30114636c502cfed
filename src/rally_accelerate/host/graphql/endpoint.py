"""The endpoint: keys, limits, and answers as the vendor's server gives them."""

import logging
from pathlib import Path
from typing import Any

import orjson
from ariadne import MutationType, QueryType, graphql, load_schema_from_path, make_executable_schema
from graphql import GraphQLError, GraphQLField, GraphQLSchema, default_field_resolver
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rally_accelerate import __version__
from rally_accelerate.host.access import Actor, Role
from rally_accelerate.host.callers import Known
from rally_accelerate.host.graphql import integrations, issues, keys, streams
from rally_accelerate.host.graphql.roles import needed
from rally_accelerate.host.graphql.scalars import DATE, JSON
from rally_accelerate.host.schedule import Schedule
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams.board import Boards
from rally_accelerate.host.streams.importing import Importing

log = logging.getLogger(__name__)

CONTRACT = Path(__file__).parents[2] / "accelerate" / "contract.graphql"
NEWER = Path(__file__).parent / "newer.graphql"
KEYS = Path(__file__).parent / "keys.graphql"
STREAMS = Path(__file__).parent / "streams.graphql"

#: The vendor's gateway answers 413 somewhere above 10 MB (accelerate-host.md 2.4 [U]).
MOST_BYTES = 10_000_000


class Endpoint:
    """Answers POST requests."""

    def __init__(self, stores: Stores, schedule: Schedule, *, importing: Importing, boards: Boards) -> None:
        query, mutation = QueryType(), MutationType()
        bound = [
            *issues.bind(query, mutation, stores.issues),
            *integrations.bind(query, mutation, stores, schedule),
            *keys.bind(query, mutation, stores),
            *streams.bind(query, mutation, stores, schedule, importing=importing, boards=boards),
        ]
        query.set_field("productVersion", lambda *_: __version__)
        definitions = [load_schema_from_path(str(path)) for path in (CONTRACT, NEWER, KEYS, STREAMS)]
        self.schema: GraphQLSchema = make_executable_schema(definitions, query, mutation, DATE, JSON, *bound)
        _check_roles(self.schema)

    async def answer(self, request: Request) -> Response:
        """One question, one answer."""
        known: Known | None = request.state.known
        if known is None:
            body = {"errors": [{"message": "Not authorized", "extensions": {"code": "UNAUTHENTICATED"}}]}
            return JSONResponse(body, 401)
        content = await _limited_body(request)
        if content is None:
            return JSONResponse({"errors": [{"message": f"the request is larger than {MOST_BYTES} bytes"}]}, 413)
        try:
            asked = orjson.loads(content)
        except orjson.JSONDecodeError:
            return JSONResponse({"errors": [{"message": "the request is no JSON"}]}, 400)
        if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
            return JSONResponse({"errors": [{"message": "the request has no query"}]}, 400)
        _, told = await graphql(
            self.schema,
            asked,
            context_value={"request": request, "actor": known.actor, "known": known},
            error_formatter=_shown,
            logger=f"{__name__}.answers",
        )
        return Response(orjson.dumps(told), media_type="application/json")


def _check_roles(schema: GraphQLSchema) -> None:
    """Put the question for the role before every operation: a resolver cannot forget it."""
    for root in (schema.query_type, schema.mutation_type):
        for name, field in root.fields.items() if root else ():
            field.resolve = _checked(field, needed(name), name)


def _checked(field: GraphQLField, role: Role, operation: str) -> Any:
    resolve = field.resolve or default_field_resolver

    def checked(parent: Any, info: Any, **arguments: Any) -> Any:
        actor: Actor = info.context["actor"]
        if not actor.may(role):
            raise GraphQLError(
                f"{operation} needs the role {role.word}; {actor.name} is {actor.role.word}",
                extensions={"code": "FORBIDDEN"},
            )
        return resolve(parent, info, **arguments)

    return checked


async def _limited_body(request: Request) -> bytes | None:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _shown(error: GraphQLError, debug: bool = False) -> dict[str, Any]:  # noqa: FBT002 - ariadne's signature
    del debug
    if error.original_error is None or isinstance(error.original_error, GraphQLError):
        return dict(error.formatted)
    log.error("a resolver failed", exc_info=error.original_error)
    return {"message": "internal error", "path": error.path}
