"""Execution of one GraphQL request: parsing, limits, and error responses."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence, Sized
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import orjson
from ariadne import graphql
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    parse,
)

from rally_accelerate.errors import RallyAccelerateError, StoreError

#: Limits of a request's query text; the issues of an upload belong into the variables.
MAX_CHARACTERS = 500_000
MAX_TOKENS = 30_000

#: Selections inside each other, fragments counted as well: the introspection query needs 18.
MAX_DEPTH = 25

#: Fields with every fragment put in; the largest request that vendor clients generate has some two hundred.
MAX_FIELDS = 800

#: Operations under one request: each may read a thousand issues.
MAX_ROOT_FIELDS = 20

#: Elements of a list argument.
MAX_ELEMENTS = 1000

#: Values in one request, counted by the commas between them. Each is looked at several times while no other user is
#: answered. An upload of ten megabytes has some 400,000 of them: a change of the past is seven in 110 bytes.
MAX_VALUES = 600_000

#: Errors reported for one request; each quotes the document, and can require a search of all of it.
MAX_ERRORS = 10

#: How long one request is answered.
TIMEOUT_SECONDS = 60.0


class _SelectionSize(NamedTuple):
    #: Fields that stand in a selection itself, and in all selections below it, and how deep those go.
    root_fields: int
    all_fields: int
    height: int


def parse_within_limits(text: str) -> DocumentNode:
    """Parse the document of a request and check its limits.

    Raises:
        GraphQLError: It cannot be read, or asks for too much.
    """
    document = parse(text, max_lexical_tokens=MAX_TOKENS, max_comments=MAX_TOKENS, max_source_length=MAX_CHARACTERS)
    check_limits(document)
    return document


def check_limits(document: DocumentNode) -> None:
    """Check that a document is within the limits.

    Raises:
        GraphQLError: It does.
    """
    fragments = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    known: dict[str, _SelectionSize] = {}
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            size = _measure_selections(definition.selection_set.selections, fragments, known, level=1)
            if size.all_fields > MAX_FIELDS:
                raise _make_limit_error(
                    f"the request has more than {MAX_FIELDS} fields: ask for less, or in several requests"
                )
            if size.root_fields > MAX_ROOT_FIELDS:
                raise _make_limit_error(
                    f"the request has more than {MAX_ROOT_FIELDS} operations: ask in several requests"
                )


def has_too_many_values(content: bytes) -> bool:
    """Return whether a request has more values than ``MAX_VALUES``."""
    return content.count(b",") > MAX_VALUES


def check_length(elements: Sized | None, name: str) -> None:
    """Check the length of a list argument.

    Raises:
        GraphQLError: It is.
    """
    if elements is not None and len(elements) > MAX_ELEMENTS:
        raise GraphQLError(f"{name} may have at most {MAX_ELEMENTS} elements: ask in several requests")


def _measure_selections(
    selections: Sequence[SelectionNode],
    fragments: Mapping[str, FragmentDefinitionNode],
    known: dict[str, _SelectionSize],
    *,
    level: int,
) -> _SelectionSize:
    own = everything = height = 0
    for selection in selections:
        inside = _measure_node(selection, fragments, known, level=level + 1)
        if level + inside.height > MAX_DEPTH:
            raise _make_limit_error(f"the request is nested deeper than {MAX_DEPTH} levels")
        everything += inside.all_fields
        height = max(height, inside.height + 1)
        if isinstance(selection, FieldNode):
            own, everything = own + 1, everything + 1
        else:
            own += inside.root_fields
    return _SelectionSize(own, everything, height)


def _measure_node(
    node: SelectionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    known: dict[str, _SelectionSize],
    *,
    level: int,
) -> _SelectionSize:
    if level > MAX_DEPTH + 1:
        raise _make_limit_error(f"the request is nested deeper than {MAX_DEPTH} levels")
    match node:
        case FragmentSpreadNode():
            name = node.name.value
            if name not in known:
                # Until it is measured; a fragment inside itself, or one that is not there, is told by validation.
                known[name] = _SelectionSize(0, 0, 0)
                if name in fragments:
                    inner = fragments[name].selection_set.selections
                    known[name] = _measure_selections(inner, fragments, known, level=level)
            return known[name]
        case FieldNode() | InlineFragmentNode() if node.selection_set is not None:
            return _measure_selections(node.selection_set.selections, fragments, known, level=level)
        case _:
            return _SelectionSize(0, 0, 0)


def _make_limit_error(text: str) -> GraphQLError:
    return GraphQLError(text, extensions={"code": "TOO_COMPLEX"})


T = TypeVar("T")

log = logging.getLogger(__name__)

#: Where the library tells every mistake of a caller with what the caller sent, which may be a secret: nowhere. It is no
#: logger of the process, as servers switch those on again when they set up their own.
SILENT_LOGGER = logging.Logger("nowhere", logging.CRITICAL + 1)  # noqa: LOG001 - see above

UPLOAD = "mutation uploadIssueData($data: IssueDataIn!) { uploadIssueData(data: $data) { result } }"

FORBIDDEN, INTERNAL, NOT_STORED = "FORBIDDEN", "INTERNAL_SERVER_ERROR", "NOT_STORED"

OK, BAD_REQUEST, SERVER_ERROR, UNAVAILABLE = 200, 400, 500, 503


class ApiStyle(StrEnum):
    """The API through which a request came."""

    GRAPHQL = "graphql"
    #: The REST way to upload issues (accelerate-api-notes.md#rest-addresses). Its body is not public: it is taken to be
    #: the variable of ``uploadIssueData``, and so is the answer.
    REST = "rest"


@dataclass(frozen=True, slots=True)
class EncodedResponse:
    """A response with its encoded body."""

    status: int
    body: bytes


def read_request(content: bytes, way: ApiStyle) -> dict[str, Any] | EncodedResponse:
    """Return the GraphQL request in a body, or the error response for a malformed one."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return make_error_response(f"the request is no JSON: {error}", BAD_REQUEST)
    if way is ApiStyle.REST:
        return {"query": UPLOAD, "variables": {"data": value}}
    if isinstance(value, list):
        return make_error_response("several questions in one request are not taken: send them one by one", BAD_REQUEST)
    if not isinstance(value, dict) or not isinstance(value.get("query"), str):
        return make_error_response("the request has no query", BAD_REQUEST)
    return value


def make_error_response(text: str, status: int) -> EncodedResponse:
    """Return a response with one error message."""
    return EncodedResponse(status, orjson.dumps({"errors": [{"message": text}]}))


def describe_error(error: RallyAccelerateError) -> str:
    """Return the message of an error with its hint."""
    return f"{error}. {error.hint}".strip()


async def run_with_timeout(answer: Awaitable[T]) -> T | EncodedResponse:
    """Await a response; return an error response after the timeout."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await answer
    except TimeoutError:
        # Not 200: the caller that sends again on a busy server's answer should do so here.
        return make_error_response(
            f"the request took longer than {TIMEOUT_SECONDS:g} seconds: ask for less", UNAVAILABLE
        )


class Executor:
    """Executes requests with the first schema that accepts them.

    Args:
        schemas: In the order in which they are tried; at least one.
    """

    def __init__(self, schemas: Sequence[GraphQLSchema]) -> None:
        self._schemas = schemas

    async def execute(self, request: Mapping[str, Any], way: ApiStyle, context: Mapping[str, Any]) -> EncodedResponse:
        """Execute a request.

        Args:
            request: What ``read`` found.
            way: How it came.
            context: What resolvers find in their context; at least the ``actor``.
        """
        result = await run_with_timeout(self._execute(request, context))
        if isinstance(result, EncodedResponse):
            return result
        unstored = [
            error for error in result.get("errors") or () if (error.get("extensions") or {}).get("code") == NOT_STORED
        ]
        if unstored:
            # Not 200 either: a full disk is no fault of what was sent, and connectors would leave it out as if it were.
            return make_error_response(unstored[0]["message"], UNAVAILABLE)
        if way is ApiStyle.GRAPHQL:
            return EncodedResponse(OK, orjson.dumps(result))
        if errors := result.get("errors"):
            code = str((errors[0].get("extensions") or {}).get("code"))
            return EncodedResponse(
                {FORBIDDEN: 403, INTERNAL: SERVER_ERROR}.get(code, BAD_REQUEST), orjson.dumps({"errors": errors})
            )
        return EncodedResponse(OK, orjson.dumps(result["data"]["uploadIssueData"]))

    async def _execute(self, request: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
        try:
            document = parse_within_limits(request["query"])
        except GraphQLError as error:
            return {"errors": [_format_error(error)]}
        except Exception as error:  # noqa: BLE001 - what no parser can read is the caller's mistake, not a failure here
            return {"errors": [_format_error(GraphQLError(str(error)))]}
        refusals = []
        for schema in self._schemas:
            _, result = await graphql(
                schema,
                dict(request),
                query_document=document,
                context_value=dict(context),
                max_coercion_errors=MAX_ERRORS,
                error_formatter=_format_error,
                logger=SILENT_LOGGER,
            )
            if "data" in result:
                # The document was accepted. Where its variables were not, no other schema would accept them: what may
                # be sent is the same in all of them.
                return result
            refusals.append(result)
        return refusals[0]


def _format_error(error: GraphQLError, debug: bool = False) -> dict[str, Any]:  # noqa: FBT002 - ariadne's signature
    del debug
    # Errors in the request itself have no path in the response, also those of scalars.
    if error.path is None or error.original_error is None or isinstance(error.original_error, GraphQLError):
        return dict(error.formatted)
    if isinstance(error.original_error, RallyAccelerateError):
        # Errors caused by a full disk or by another user read as on the pages.
        text = describe_error(error.original_error)
        log.warning("%s: %s", error.path[0] if error.path else "", text)
        code = NOT_STORED if isinstance(error.original_error, StoreError) else INTERNAL
        return {"message": text, "path": error.path, "extensions": {"code": code}}
    log.error("a resolver failed", exc_info=error.original_error)
    return {"message": "internal error", "path": error.path, "extensions": {"code": INTERNAL}}
