"""The endpoint: keys, limits, and answers as the vendor's server gives them."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from ariadne import MutationType, QueryType, graphql, load_schema_from_path, make_executable_schema
from graphql import GraphQLError, GraphQLField, GraphQLSchema, default_field_resolver
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rally_accelerate import __version__
from rally_accelerate.errors import RallyAccelerateError, StoreError
from rally_accelerate.host.access import Actor, Role
from rally_accelerate.host.administration import Administration
from rally_accelerate.host.callers import Known
from rally_accelerate.host.graphql import integrations, issues, keys, limits, lists, plugins, streams
from rally_accelerate.host.graphql.roles import needed
from rally_accelerate.host.graphql.scalars import DATE, JSON, PLUGIN_PROP_VALUE
from rally_accelerate.host.schedule import Schedule
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams.board import Boards
from rally_accelerate.host.streams.importing import Importing

log = logging.getLogger(__name__)

#: Where the library tells every mistake of a caller with what the caller sent, which may be a secret: nowhere. It is no
#: logger of the process, as servers switch those on again when they set up their own.
NOWHERE = logging.Logger("nowhere", logging.CRITICAL + 1)  # noqa: LOG001 - see above

CONTRACT = Path(__file__).parents[2] / "accelerate" / "contract.graphql"
#: What only hosts know: fields of newer servers, and operations that the connector does not ask for.
MORE = tuple(Path(__file__).parent / f"{name}.graphql" for name in ("newer", "plugins", "keys", "streams"))

#: The vendor's gateway answers 413 somewhere above 10 MB (accelerate-host.md 2.4 [U]).
MOST_BYTES = 10_000_000

UPLOAD = "mutation uploadIssueData($data: IssueDataIn!) { uploadIssueData(data: $data) { result } }"

FORBIDDEN, INTERNAL, UNSTORED = "FORBIDDEN", "INTERNAL_SERVER_ERROR", "NOT_STORED"


class Endpoint:
    """Answers POST requests."""

    def __init__(
        self,
        stores: Stores,
        schedule: Schedule,
        administration: Administration,
        *,
        importing: Importing,
        boards: Boards,
    ) -> None:
        query, mutation = QueryType(), MutationType()
        shown = integrations.teller(stores, schedule)
        bound = [
            *issues.bind(query, mutation, stores),
            *integrations.bind(query, mutation, stores, administration, shown=shown),
            *keys.bind(query, mutation, stores),
            *plugins.bind(query, mutation, stores, shown),
            *streams.bind(query, mutation, stores, schedule, importing=importing, boards=boards),
        ]
        lists.bind(query, mutation, stores, administration=administration, shown=shown)
        query.set_field("productVersion", lambda *_: __version__)
        definitions = [load_schema_from_path(str(path)) for path in (CONTRACT, *MORE)]
        self.schema: GraphQLSchema = make_executable_schema(
            definitions, query, mutation, DATE, JSON, PLUGIN_PROP_VALUE, *bound
        )
        _check_roles(self.schema)

    async def answer(self, request: Request) -> Response:
        """One question, one answer."""
        given = await self._given(request)
        if isinstance(given, Response):
            return given
        known, asked = given
        if isinstance(asked, list):
            return _refused("several questions in one request are not taken: send them one by one", 400)
        if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
            return _refused("the request has no query", 400)
        return _in_json(await self._told(asked, request, known))

    async def upload(self, request: Request) -> Response:
        """The REST way to upload issues (accelerate-host.md 2.6).

        Its body is not public: it is taken to be the variable of ``uploadIssueData``, and so is the answer.
        """
        given = await self._given(request)
        if isinstance(given, Response):
            return given
        known, data = given
        told = await self._told({"query": UPLOAD, "variables": {"data": data}}, request, known)
        if isinstance(told, Response):
            return told
        if errors := told.get("errors"):
            code = str((errors[0].get("extensions") or {}).get("code"))
            return _in_json({"errors": errors}, {FORBIDDEN: 403, INTERNAL: 500}.get(code, 400))
        return _in_json(told["data"]["uploadIssueData"])

    async def _given(self, request: Request) -> tuple[Known, Any] | Response:
        """Who asks, and what was sent; or why it is not taken."""
        known: Known | None = request.state.known
        if known is None:
            body = {"errors": [{"message": "Not authorized", "extensions": {"code": "UNAUTHENTICATED"}}]}
            return JSONResponse(body, 401)
        if not _is_json(request):
            return _refused("send it as Content-Type: application/json", 415)
        content = await _limited_body(request)
        if content is None:
            return _refused(f"the request is larger than {MOST_BYTES} bytes", 413)
        if limits.crowded(content):
            return _refused(f"the request holds more than {limits.MOST_VALUES} values: send less of them at once", 413)
        try:
            return known, orjson.loads(content)
        except orjson.JSONDecodeError as error:
            return _refused(f"the request is no JSON: {error}", 400)

    async def _told(self, asked: Mapping[str, Any], request: Request, known: Known) -> dict[str, Any] | Response:
        try:
            async with asyncio.timeout(limits.SECONDS):
                _, told = await graphql(
                    self.schema,
                    dict(asked),
                    context_value={"request": request, "actor": known.actor, "known": known},
                    query_parser=limits.parser,
                    max_coercion_errors=limits.MOST_ERRORS,
                    error_formatter=_shown,
                    logger=NOWHERE,
                )
        except TimeoutError:
            # Not 200: whoever sends again on a busy server's answer should do so here.
            return _refused(f"the question took longer than {limits.SECONDS:g} seconds: ask for less", 503)
        found: dict[str, Any] = told
        unstored = [
            each for each in found.get("errors") or () if (each.get("extensions") or {}).get("code") == UNSTORED
        ]
        # Not 200 either: a full disk is no fault of what was sent, and connectors would leave it out as if it were.
        return _refused(unstored[0]["message"], 503) if unstored else found


def _is_json(request: Request) -> bool:
    """Whether it says so, or nothing: a form of another site can say neither."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in {"", "application/json", "application/graphql+json"}


def _in_json(told: Any, status: int = 200) -> Response:
    return told if isinstance(told, Response) else Response(orjson.dumps(told), status, media_type="application/json")


def _refused(text: str, status: int) -> Response:
    return JSONResponse({"errors": [{"message": text}]}, status)


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
                extensions={"code": FORBIDDEN},
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
    # What is wrong with the question itself has no path in the answer, also where a scalar says what.
    if error.path is None or error.original_error is None or isinstance(error.original_error, GraphQLError):
        return dict(error.formatted)
    if isinstance(error.original_error, RallyAccelerateError):
        # What a full disk or a colleague is the reason of is told as on the pages.
        text = f"{error.original_error}. {error.original_error.hint}".strip()
        log.warning("%s: %s", error.path[0] if error.path else "", text)
        code = UNSTORED if isinstance(error.original_error, StoreError) else INTERNAL
        return {"message": text, "path": error.path, "extensions": {"code": code}}
    log.error("a resolver failed", exc_info=error.original_error)
    return {"message": "internal error", "path": error.path, "extensions": {"code": INTERNAL}}
