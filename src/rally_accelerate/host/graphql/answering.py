"""One question, one answer, in whichever process it is answered: how it is read, and how its faults are told."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import orjson
from ariadne import graphql
from graphql import GraphQLError, GraphQLSchema

from rally_accelerate.errors import RallyAccelerateError, StoreError
from rally_accelerate.host.graphql import limits

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


def read(content: bytes, way: Way) -> dict[str, Any] | Answer:
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
        async with asyncio.timeout(limits.SECONDS):
            return await answer
    except TimeoutError:
        # Not 200: whoever sends again on a busy server's answer should do so here.
        return refused(f"the question took longer than {limits.SECONDS:g} seconds: ask for less", BUSY)


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
            document = limits.read(asked["query"])
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
                max_coercion_errors=limits.MOST_ERRORS,
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
