"""The GraphQL endpoint: authentication, size limits, and the choice of the process that executes a request."""

import logging
from functools import cached_property

from ariadne import MutationType, QueryType
from graphql import GraphQLSchema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rally_accelerate import __version__
from rally_accelerate.errors import StoreError
from rally_accelerate.server import runtime, upload_worker
from rally_accelerate.server.authentication import Identity
from rally_accelerate.server.graphql import (
    access_key_resolvers,
    execution,
    integration_resolvers,
    issue_resolvers,
    schema,
    unsupported_operations,
    value_stream_resolvers,
)
from rally_accelerate.server.graphql.execution import (
    UNAVAILABLE,
    ApiStyle,
    EncodedResponse,
    Executor,
    describe_error,
    make_error_response,
    read_request,
    run_with_timeout,
)
from rally_accelerate.server.graphql.upload_resolver import OPERATION
from rally_accelerate.server.integrations import IntegrationService
from rally_accelerate.server.permissions import SYSTEM_ACTOR, Actor
from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.upload_worker import UploadWorker
from rally_accelerate.server.value_streams.board import BoardCache
from rally_accelerate.server.value_streams.importer import Importer

#: From so many bytes on. Some forty issues with their histories, which hold the loop for ten milliseconds.
LARGE_BYTES = 200_000


class LargeUploads:
    """Hands large uploads to the upload worker."""

    def __init__(self, worker: UploadWorker) -> None:
        self._worker = worker

    async def handle(self, content: bytes, way: ApiStyle, actor: Actor) -> EncodedResponse | None:
        """Return the response to a large upload; None for other requests or while the worker is not ready."""
        if len(content) < LARGE_BYTES or (way is ApiStyle.GRAPHQL and OPERATION.encode() not in content):
            return None
        if not self._worker.is_ready:
            # The first one need not wait for it to begin.
            self._worker.start()
            return None
        try:
            return await run_with_timeout(self._send(content, way, actor))
        except StoreError as error:
            logging.getLogger(__name__).warning("%s: %s", OPERATION, describe_error(error))
            return make_error_response(describe_error(error), UNAVAILABLE)

    async def _send(self, content: bytes, way: ApiStyle, actor: Actor) -> EncodedResponse | None:
        values = {
            "way": way,
            "actor": None if actor is SYSTEM_ACTOR else (actor.id, actor.name, actor.role),
            "execution": runtime.current_execution_id.get(),
            "level": logging.getLogger("rally_accelerate").getEffectiveLevel(),
        }
        word, result, body = await self._worker.send_request(values, content)
        for name, level, line in result["log"]:
            # Told here: what may be shown, where to, and to which run it belongs is known in this process.
            logging.getLogger(name).log(level, "%s", line)
        return EncodedResponse(result["status"], body) if word == upload_worker.RESPONSE else None


#: The vendor's gateway answers 413 somewhere above 10 MB (accelerate-api-notes.md#upload-size).
MAX_BYTES = 10_000_000


class Endpoint:
    """Answers POST requests."""

    def __init__(
        self,
        stores: Stores,
        schedule: Scheduler,
        administration: IntegrationService,
        *,
        importing: Importer,
        boards: BoardCache,
        worker: UploadWorker,
    ) -> None:
        query, mutation = QueryType(), MutationType()
        formatted = integration_resolvers.make_formatter(stores, schedule)
        bound = [
            *issue_resolvers.bind(query, mutation, stores),
            *integration_resolvers.bind(query, mutation, stores, administration, format_integration=formatted),
            *access_key_resolvers.bind(query, mutation, stores),
            *integration_resolvers.bind_plugins(query, mutation, stores),
            *value_stream_resolvers.bind(query, mutation, stores, schedule, importing=importing, boards=boards),
        ]
        integration_resolvers.bind_integration_lists(
            query, mutation, stores, administration=administration, format_integration=formatted
        )
        unsupported_operations.bind(mutation)
        query.set_field("productVersion", lambda *_: __version__)
        self._query, self._mutation, self._bindables = query, mutation, bound
        self._large_uploads = LargeUploads(worker)

    @cached_property
    def schemas(self) -> tuple[GraphQLSchema, ...]:
        """The schemas, in the order in which they are tried; making them is half of what opening a server takes."""
        return schema.build_schemas(self._query, self._mutation, *self._bindables)

    @cached_property
    def _executor(self) -> Executor:
        return Executor(self.schemas)

    def prepare(self) -> None:
        """Make what the first request would have to wait for."""
        self._executor  # noqa: B018 - it is made when it is first looked at

    async def handle_graphql(self, request: Request) -> Response:
        """Handle a GraphQL request."""
        return await self._handle(request, ApiStyle.GRAPHQL)

    async def handle_upload(self, request: Request) -> Response:
        """Handle a REST upload of issues."""
        return await self._handle(request, ApiStyle.REST)

    async def _handle(self, request: Request, way: ApiStyle) -> Response:
        value = await _read_authorized(request)
        if isinstance(value, Response):
            return value
        known, content = value
        answer = await self._large_uploads.handle(content, way, known.actor) or await self._execute(content, way, known)
        return Response(answer.body, answer.status, media_type="application/json")

    async def _execute(self, content: bytes, way: ApiStyle, known: Identity) -> EncodedResponse:
        request = read_request(content, way)
        if isinstance(request, EncodedResponse):
            return request
        return await self._executor.execute(request, way, {"actor": known.actor, "known": known})


async def _read_authorized(request: Request) -> tuple[Identity, bytes] | Response:
    """Return the caller's identity and the body, or the response that refuses the request."""
    known: Identity | None = request.state.known
    if known is None:
        body = {"errors": [{"message": "Not authorized", "extensions": {"code": "UNAUTHENTICATED"}}]}
        return JSONResponse(body, 401)
    if not _is_json(request):
        return _make_error_response("send it as Content-Type: application/json", 415)
    content = await _read_limited_body(request)
    if content is None:
        return _make_error_response(f"the request is larger than {MAX_BYTES} bytes", 413)
    if execution.has_too_many_values(content):
        return _make_error_response(
            f"the request holds more than {execution.MAX_VALUES} values: send less of them at once", 413
        )
    return known, content


def _is_json(request: Request) -> bool:
    """Return whether the content type is JSON or missing; forms of other sites can send neither."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in {"", "application/json", "application/graphql+json"}


def _make_error_response(text: str, status: int) -> Response:
    return JSONResponse({"errors": [{"message": text}]}, status)


async def _read_limited_body(request: Request) -> bytes | None:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)
