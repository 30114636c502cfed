"""The endpoint: who may ask, how much may be sent, and where it is answered."""

from functools import cached_property

from ariadne import MutationType, QueryType
from graphql import GraphQLSchema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rally_accelerate import __version__
from rally_accelerate.host.administration import Administration
from rally_accelerate.host.beside import Beside
from rally_accelerate.host.callers import Known
from rally_accelerate.host.graphql import integrations, issues, keys, limits, lists, plugins, refused, schema, streams
from rally_accelerate.host.graphql.answering import Answer, Answering, Way, read
from rally_accelerate.host.graphql.large import LargeUploads
from rally_accelerate.host.schedule import Schedule
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams.board import Boards
from rally_accelerate.host.streams.importing import Importing

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
        shown = integrations.teller(stores, schedule)
        bound = [
            *issues.bind(query, mutation, stores),
            *integrations.bind(query, mutation, stores, administration, shown=shown),
            *keys.bind(query, mutation, stores),
            *plugins.bind(query, mutation, stores),
            *streams.bind(query, mutation, stores, schedule, importing=importing, boards=boards),
        ]
        lists.bind(query, mutation, stores, administration=administration, shown=shown)
        refused.bind(mutation)
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
        asked = read(content, way)
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
    if limits.crowded(content):
        return _refused(f"the request holds more than {limits.MOST_VALUES} values: send less of them at once", 413)
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
