"""The endpoint: who may ask, how much may be sent, and where it is answered."""

import logging
from functools import cached_property

from ariadne import MutationType, QueryType
from graphql import GraphQLSchema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rally_accelerate import __version__
from rally_accelerate.errors import StoreError
from rally_accelerate.server import runtime, upload_worker
from rally_accelerate.server.authentication import Known
from rally_accelerate.server.graphql import (
    access_key_resolvers,
    execution,
    integration_resolvers,
    issue_resolvers,
    schema,
    unsupported_operations,
    value_stream_resolvers,
)
from rally_accelerate.server.graphql.execution import BUSY, Answer, Answering, Way, in_time, read_request, refused, told
from rally_accelerate.server.graphql.upload_resolver import NAME
from rally_accelerate.server.integrations import Administration
from rally_accelerate.server.permissions import HOST, Actor
from rally_accelerate.server.scheduler import Schedule
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.upload_worker import Beside
from rally_accelerate.server.value_streams.board import Boards
from rally_accelerate.server.value_streams.importer import Importing

#: From so many bytes on. Some forty issues with their histories, which hold the loop for ten milliseconds.
LARGE = 200_000


class LargeUploads:
    """Answers large uploads as the endpoint would."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside

    async def answer(self, content: bytes, way: Way, actor: Actor) -> Answer | None:
        """The answer to an upload; None for everything else, and while there is nobody to ask."""
        if len(content) < LARGE or (way is Way.GRAPHQL and NAME.encode() not in content):
            return None
        if not self._beside.can_be_asked:
            # The first one need not wait for it to begin.
            self._beside.start()
            return None
        try:
            return await in_time(self._asked(content, way, actor))
        except StoreError as error:
            logging.getLogger(__name__).warning("%s: %s", NAME, told(error))
            return refused(told(error), BUSY)

    async def _asked(self, content: bytes, way: Way, actor: Actor) -> Answer | None:
        values = {
            "way": way,
            "actor": None if actor is HOST else (actor.id, actor.name, actor.role),
            "execution": runtime.execution.get(),
            "level": logging.getLogger("rally_accelerate").getEffectiveLevel(),
        }
        word, found, body = await self._beside.ask(values, content)
        for name, level, line in found["log"]:
            # Told here: what may be shown, where to, and to which run it belongs is known in this process.
            logging.getLogger(name).log(level, "%s", line)
        return Answer(found["status"], body) if word == upload_worker.ANSWER else None


#: The vendor's gateway answers 413 somewhere above 10 MB (accelerate-api-notes.md#upload-size).
MOST_BYTES = 10_000_000


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
        beside: Beside,
    ) -> None:
        query, mutation = QueryType(), MutationType()
        shown = integration_resolvers.teller(stores, schedule)
        bound = [
            *issue_resolvers.bind(query, mutation, stores),
            *integration_resolvers.bind(query, mutation, stores, administration, shown=shown),
            *access_key_resolvers.bind(query, mutation, stores),
            *integration_resolvers.bind_plugins(query, mutation, stores),
            *value_stream_resolvers.bind(query, mutation, stores, schedule, importing=importing, boards=boards),
        ]
        integration_resolvers.bind_integration_lists(
            query, mutation, stores, administration=administration, shown=shown
        )
        unsupported_operations.bind(mutation)
        query.set_field("productVersion", lambda *_: __version__)
        self._query, self._mutation, self._bound = query, mutation, bound
        self._large = LargeUploads(beside)

    @cached_property
    def schemas(self) -> tuple[GraphQLSchema, ...]:
        """The schemas, in the order in which they are tried; making them is half of what opening a host takes."""
        return schema.made(self._query, self._mutation, *self._bound)

    @cached_property
    def _answering(self) -> Answering:
        return Answering(self.schemas)

    def prepare(self) -> None:
        """Make what the first request would have to wait for."""
        self._answering  # noqa: B018 - it is made when it is first looked at

    async def answer(self, request: Request) -> Response:
        """One question, one answer."""
        return await self._answered(request, Way.GRAPHQL)

    async def upload(self, request: Request) -> Response:
        """The REST way to upload issues."""
        return await self._answered(request, Way.REST)

    async def _answered(self, request: Request, way: Way) -> Response:
        given = await _given(request)
        if isinstance(given, Response):
            return given
        known, content = given
        answer = await self._large.answer(content, way, known.actor) or await self._here(content, way, known)
        return Response(answer.body, answer.status, media_type="application/json")

    async def _here(self, content: bytes, way: Way, known: Known) -> Answer:
        asked = read_request(content, way)
        if isinstance(asked, Answer):
            return asked
        return await self._answering.answer(asked, way, {"actor": known.actor, "known": known})


async def _given(request: Request) -> tuple[Known, bytes] | Response:
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
    if execution.crowded(content):
        return _refused(f"the request holds more than {execution.MOST_VALUES} values: send less of them at once", 413)
    return known, content


def _is_json(request: Request) -> bool:
    """Whether it says so, or nothing: a form of another site can say neither."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in {"", "application/json", "application/graphql+json"}


def _refused(text: str, status: int) -> Response:
    return JSONResponse({"errors": [{"message": text}]}, status)


async def _limited_body(request: Request) -> bytes | None:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)
