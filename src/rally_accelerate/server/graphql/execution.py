"""One question, one answer, in whichever process it is answered: how it is read, and how its faults are told."""

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

#: A question's own text; an upload's issues belong into the variables.
MOST_CHARACTERS = 500_000
MOST_TOKENS = 30_000

#: Selections inside each other, fragments counted as well: the question for a server's whole schema needs 18.
DEEPEST = 25

#: Fields with every fragment put in; the largest question that vendor clients generate has some two hundred.
MOST_FIELDS = 800

#: Operations under one request: each may read a thousand issues.
MOST_ROOTS = 20

#: Elements of a list argument.
MOST_ELEMENTS = 1000

#: Values in one request, counted by the commas between them. Each is looked at several times while nobody else is
#: answered. An upload of ten megabytes has some 400,000 of them: a change of the past is seven in 110 bytes.
MOST_VALUES = 600_000

#: Mistakes that are told of one request; each repeats what stands there, and may look through all of it.
MOST_ERRORS = 10

#: How long one request is answered.
SECONDS = 60.0


class _Size(NamedTuple):
    #: Fields that stand in a selection itself, and in all selections below it, and how deep those go.
    own: int
    all: int
    height: int


def parse_within_limits(text: str) -> DocumentNode:
    """The document of a question.

    Raises:
        GraphQLError: It cannot be read, or asks for too much.
    """
    document = parse(text, max_lexical_tokens=MOST_TOKENS, max_comments=MOST_TOKENS, max_source_length=MOST_CHARACTERS)
    check(document)
    return document


def check(document: DocumentNode) -> None:
    """Refuse a document that asks for too much.

    Raises:
        GraphQLError: It does.
    """
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    known: dict[str, _Size] = {}
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            size = _measured(each.selection_set.selections, fragments, known, level=1)
            if size.all > MOST_FIELDS:
                raise _too_much(
                    f"the question has more than {MOST_FIELDS} fields: ask for less, or in several requests"
                )
            if size.own > MOST_ROOTS:
                raise _too_much(f"the question has more than {MOST_ROOTS} operations: ask in several requests")


def crowded(content: bytes) -> bool:
    """Whether a request holds so many values that nobody should look at each."""
    return content.count(b",") > MOST_VALUES


def counted(given: Sized | None, name: str) -> None:
    """Refuse a list argument that is too long.

    Raises:
        GraphQLError: It is.
    """
    if given is not None and len(given) > MOST_ELEMENTS:
        raise GraphQLError(f"{name} may have at most {MOST_ELEMENTS} elements: ask in several requests")


def _measured(
    selections: Sequence[SelectionNode],
    fragments: Mapping[str, FragmentDefinitionNode],
    known: dict[str, _Size],
    *,
    level: int,
) -> _Size:
    own = everything = height = 0
    for each in selections:
        inside = _inside(each, fragments, known, level=level + 1)
        if level + inside.height > DEEPEST:
            raise _too_much(f"the question is nested deeper than {DEEPEST} levels")
        everything += inside.all
        height = max(height, inside.height + 1)
        if isinstance(each, FieldNode):
            own, everything = own + 1, everything + 1
        else:
            own += inside.own
    return _Size(own, everything, height)


def _inside(
    node: SelectionNode, fragments: Mapping[str, FragmentDefinitionNode], known: dict[str, _Size], *, level: int
) -> _Size:
    if level > DEEPEST + 1:
        raise _too_much(f"the question is nested deeper than {DEEPEST} levels")
    match node:
        case FragmentSpreadNode():
            name = node.name.value
            if name not in known:
                # Until it is measured; a fragment inside itself, or one that is not there, is told by validation.
                known[name] = _Size(0, 0, 0)
                if name in fragments:
                    inner = fragments[name].selection_set.selections
                    known[name] = _measured(inner, fragments, known, level=level)
            return known[name]
        case FieldNode() | InlineFragmentNode() if node.selection_set is not None:
            return _measured(node.selection_set.selections, fragments, known, level=level)
        case _:
            return _Size(0, 0, 0)


def _too_much(text: str) -> GraphQLError:
    return GraphQLError(text, extensions={"code": "TOO_COMPLEX"})


T = TypeVar("T")

log = logging.getLogger(__name__)

#: Where the library tells every mistake of a caller with what the caller sent, which may be a secret: nowhere. It is no
#: logger of the process, as servers switch those on again when they set up their own.
NOWHERE = logging.Logger("nowhere", logging.CRITICAL + 1)  # noqa: LOG001 - see above

UPLOAD = "mutation uploadIssueData($data: IssueDataIn!) { uploadIssueData(data: $data) { result } }"

FORBIDDEN, INTERNAL, UNSTORED = "FORBIDDEN", "INTERNAL_SERVER_ERROR", "NOT_STORED"

OK, BAD, FAULT, BUSY = 200, 400, 500, 503


class Way(StrEnum):
    """By which address a question came."""

    GRAPHQL = "graphql"
    #: The REST way to upload issues (accelerate-api-notes.md#rest-addresses). Its body is not public: it is taken to be
    #: the variable of ``uploadIssueData``, and so is the answer.
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes


def read_request(content: bytes, way: Way) -> dict[str, Any] | Answer:
    """The question in what was sent; or why there is none."""
    try:
        given = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return refused(f"the request is no JSON: {error}", BAD)
    if way is Way.REST:
        return {"query": UPLOAD, "variables": {"data": given}}
    if isinstance(given, list):
        return refused("several questions in one request are not taken: send them one by one", BAD)
    if not isinstance(given, dict) or not isinstance(given.get("query"), str):
        return refused("the request has no query", BAD)
    return given


def refused(text: str, status: int) -> Answer:
    """An answer that tells one fault."""
    return Answer(status, orjson.dumps({"errors": [{"message": text}]}))


def told(error: RallyAccelerateError) -> str:
    """A fault and what can be done about it."""
    return f"{error}. {error.hint}".strip()


async def in_time(answer: Awaitable[T]) -> T | Answer:
    """An answer, or that it took too long."""
    try:
        async with asyncio.timeout(SECONDS):
            return await answer
    except TimeoutError:
        # Not 200: whoever sends again on a busy server's answer should do so here.
        return refused(f"the question took longer than {SECONDS:g} seconds: ask for less", BUSY)


class Answering:
    """Answers questions by the first schema that accepts them.

    Args:
        schemas: In the order in which they are tried; at least one.
    """

    def __init__(self, schemas: Sequence[GraphQLSchema]) -> None:
        self._schemas = schemas

    async def answer(self, asked: Mapping[str, Any], way: Way, context: Mapping[str, Any]) -> Answer:
        """Execute a question that was read.

        Args:
            asked: What ``read`` found.
            way: How it came.
            context: What resolvers find in their context; at least the ``actor``.
        """
        found = await in_time(self._executed(asked, context))
        if isinstance(found, Answer):
            return found
        unstored = [
            each for each in found.get("errors") or () if (each.get("extensions") or {}).get("code") == UNSTORED
        ]
        if unstored:
            # Not 200 either: a full disk is no fault of what was sent, and connectors would leave it out as if it were.
            return refused(unstored[0]["message"], BUSY)
        if way is Way.GRAPHQL:
            return Answer(OK, orjson.dumps(found))
        if errors := found.get("errors"):
            code = str((errors[0].get("extensions") or {}).get("code"))
            return Answer({FORBIDDEN: 403, INTERNAL: FAULT}.get(code, BAD), orjson.dumps({"errors": errors}))
        return Answer(OK, orjson.dumps(found["data"]["uploadIssueData"]))

    async def _executed(self, asked: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
        try:
            document = parse_within_limits(asked["query"])
        except GraphQLError as error:
            return {"errors": [_shown(error)]}
        except Exception as error:  # noqa: BLE001 - what no parser can read is the caller's mistake, not a failure here
            return {"errors": [_shown(GraphQLError(str(error)))]}
        refusals = []
        for schema in self._schemas:
            _, found = await graphql(
                schema,
                dict(asked),
                query_document=document,
                context_value=dict(context),
                max_coercion_errors=MOST_ERRORS,
                error_formatter=_shown,
                logger=NOWHERE,
            )
            if "data" in found:
                # The document was accepted. Where its variables were not, no other schema would accept them: what may
                # be sent is the same in all of them.
                return found
            refusals.append(found)
        return refusals[0]


def _shown(error: GraphQLError, debug: bool = False) -> dict[str, Any]:  # noqa: FBT002 - ariadne's signature
    del debug
    # What is wrong with the question itself has no path in the answer, also where a scalar says what.
    if error.path is None or error.original_error is None or isinstance(error.original_error, GraphQLError):
        return dict(error.formatted)
    if isinstance(error.original_error, RallyAccelerateError):
        # What a full disk or a colleague is the reason of is told as on the pages.
        text = told(error.original_error)
        log.warning("%s: %s", error.path[0] if error.path else "", text)
        code = UNSTORED if isinstance(error.original_error, StoreError) else INTERNAL
        return {"message": text, "path": error.path, "extensions": {"code": code}}
    log.error("a resolver failed", exc_info=error.original_error)
    return {"message": "internal error", "path": error.path, "extensions": {"code": INTERNAL}}
