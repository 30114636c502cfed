"""The resolver that uploads issues, and the check whether a request contains only uploads."""

from collections.abc import Mapping
from typing import Any

from ariadne import MutationType
from graphql import FieldNode, GraphQLError, OperationType, get_operation_ast

from rally_accelerate.server import runtime
from rally_accelerate.server.graphql import execution
from rally_accelerate.server.permissions import SYSTEM_ACTOR
from rally_accelerate.server.store.issues import Issues

OPERATION = "uploadIssueData"

#: The lists of an uploaded issue that may have null elements on an older server.
NULLABLE_LISTS = ("versionIds", "components", "labels", "comments", "history", "releases")


def bind(mutation: MutationType, issues: Issues) -> None:
    """Attach the resolver to the issues of a store."""

    @mutation.field(OPERATION)
    async def upload(_: Any, info: Any, data: dict[str, Any]) -> dict[str, Any]:
        _check_ids(data)
        items = [_drop_nulls(item) for item in data.get("issues") or ()]
        # An unknown tracker is accepted: other connectors need no integration here [assumed].
        await issues.store_upload(
            source=data["source"],
            tracker_id=data["trackerId"],
            tenant_id=data["tenantId"],
            items=items,
            execution_id=runtime.current_execution_id.get() if info.context["actor"] is SYSTEM_ACTOR else "",
        )
        return {"result": True, "issueIds": [make_issue_id(data["trackerId"], item["_id"]) for item in items]}


def is_upload(request: Mapping[str, Any]) -> bool:
    """Return whether a request contains only uploads."""
    try:
        document = execution.parse_within_limits(request["query"])
    except GraphQLError:
        return False
    name = request.get("operationName")
    operation = get_operation_ast(document, name if isinstance(name, str) else None)
    return (
        operation is not None
        and operation.operation is OperationType.MUTATION
        and all(
            isinstance(selection, FieldNode) and selection.name.value == OPERATION
            for selection in operation.selection_set.selections
        )
    )


def make_issue_id(tracker_id: str, external_id: str) -> str:
    """Return the ``_id`` that an issue has here."""
    return f"{tracker_id}:{external_id}"


def _drop_nulls(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item without the null elements of its lists, which older servers accept.

    See accelerate-api-notes.md#lists-in-uploads.
    """
    holed = {name: value for name in NULLABLE_LISTS if (value := item.get(name)) and None in value}
    return {**item, **{name: [element for element in value if element is not None] for name, value in holed.items()}}


def _check_ids(data: dict[str, Any]) -> None:
    """Refuse an empty id: it names nothing, and no address leads to it."""
    if not data["trackerId"]:
        raise GraphQLError("data.trackerId is empty")
    for number, item in enumerate(data.get("issues") or ()):
        if not item["_id"]:
            raise GraphQLError(f"data.issues[{number}]._id is empty")
