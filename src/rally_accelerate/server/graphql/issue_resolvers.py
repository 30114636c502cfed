"""Operations on issues."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from ariadne import MutationType, ObjectType, QueryType
from graphql import GraphQLError

from rally_accelerate.server.graphql import upload_resolver
from rally_accelerate.server.graphql.execution import check_length
from rally_accelerate.server.graphql.upload_resolver import make_issue_id
from rally_accelerate.server.store.issues import IssueUpdater, StoredIssue
from rally_accelerate.server.store.repositories import Stores

#: How many issues one request may ask for.
MAX_LIMIT = 1000

#: What the text inside a cursor begins with.
CURSOR_PREFIX = "issues-before:"

#: No database counts further.
MAX_DIGITS = 18

#: GraphQL's whole numbers have 32 bits.
MAX_INT = 2**31 - 1


def bind(query: QueryType, mutation: MutationType, stores: Stores) -> list[ObjectType]:
    """Attach the resolvers to a store."""
    issues, updates = stores.issues, IssueUpdater(stores.database, stores.issues)

    upload_resolver.bind(mutation, issues)

    @query.field("issue")
    async def issue(_: Any, __: Any, tenantId: str, issueId: str) -> dict[str, Any] | None:
        issue = await issues.by_any_id(tenantId, issueId)
        return None if issue is None else to_issue_data(issue)

    @query.field("issues")
    async def list_issues(_: Any, __: Any, filter: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        value = filter or {}
        tenant_id = value.get("tenantId", "")
        limit, skip = _check_limit(value.get("limit"), 100), max(value.get("skip") or 0, 0)
        check_length(value.get("internalIds"), "internalIds")
        if value.get("internalIds") is not None:
            ids = [issue_id for issue_id in value["internalIds"] if issue_id is not None][skip : skip + limit]
            result = [await issues.by_any_id(tenant_id, issue_id) for issue_id in ids]
            return [to_issue_data(one) for one in result if one is not None]
        page = await issues.list_page(tenant_id=tenant_id, limit=limit, skip=skip)
        return [to_issue_data(one) for one in page]

    @query.field("issuesForProjectKey")
    async def for_project(
        _: Any, __: Any, tenantId: str, projectKey: str, limit: int, cursor: str | None = None
    ) -> dict[str, Any]:
        most = _check_limit(limit, 10)
        # One more than asked for tells whether there are more.
        page = await issues.list_by_project(tenantId, projectKey, before=_parse_cursor(cursor), limit=most + 1)
        has_more = len(page) > most
        info = {"cursor": _make_cursor(page[most - 1].number) if has_more else None, "hasMore": has_more}
        return {"nodes": [to_issue_data(one) for one in page[:most]], "pageInfo": info}

    @query.field("issueStatuses")
    async def statuses(
        _: Any,
        __: Any,
        tenantId: str,
        integrationId: str | None = None,
        integrationIds: Sequence[str | None] | None = None,
    ) -> list[str]:
        check_length(integrationIds, "integrationIds")
        # An older server takes one integration, a newer one several; empty or absent means all of them.
        trackers = {item for item in (integrationId, *(integrationIds or ())) if item} or {""}
        result = [await issues.list_statuses(tenantId, tracker_id=tracker) for tracker in trackers]
        return sorted({status for item in result for status in item})

    @mutation.field("updateIssues")
    async def update(
        _: Any, info: Any, tenantId: str, issues: Sequence[Mapping[str, Any] | None] | None = None
    ) -> list[str]:
        check_length(issues, "issues")
        values = {issue["externalId"]: issue["updates"] for issue in issues or () if issue is not None}
        result = await updates.update(tenantId, values)
        if missing := [issue_id for issue_id in values if issue_id not in {one.content["_id"] for one in result}]:
            raise GraphQLError(f"there is no issue {', '.join(missing[:5])}; nothing was updated")
        for one in result:
            await stores.audit.record(
                info.context["actor"],
                "edited",
                kind="issue",
                object_id=one.content["_id"],
                name=one.content["id"],
                detail=values[one.content["_id"]],
            )
        return [make_issue_id(one.tracker_id, one.content["_id"]) for one in result]

    return _make_types()


def _make_types() -> list[ObjectType]:
    """Return what sprints, releases and the issue of a dot need beyond what an upload has."""
    dot, *named = ObjectType("Issue"), ObjectType("IssueSprint"), ObjectType("IssueRelease")
    for item in named:
        # The server's own id must not be null; here the tool's id is the only one.
        item.set_field("_id", lambda parent, _: parent.get("id") or parent.get("name") or "")
    # A dot's issue has whole numbers where an upload has fractions (accelerate-api-notes.md#queries).
    dot.set_field("storyPoints", lambda parent, _: _round_to_int(parent.get("storyPoints")))
    dot.set_field("businessValue", lambda parent, _: _round_to_int(parent.get("businessValue")))
    return [dot, *named]


def to_issue_data(issue: StoredIssue) -> dict[str, Any]:
    """Return the vendor's ``IssueData`` of a stored issue; its lists are never null."""
    content = issue.content
    lists = ("versionIds", "components", "labels", "comments", "history", "releases", "sprints", "relations")
    filled = {name: content.get(name) or [] for name in lists}
    return {
        "_id": make_issue_id(issue.tracker_id, content["_id"]),
        "trackerId": issue.tracker_id,
        "tenantId": issue.tenant_id,
        "type": issue.source,
        "issue": {**content, **filled, "normalizedType": content.get("normalizedType") or "OTHER"},
    }


def _round_to_int(number: float | None) -> int | None:
    rounded = None if number is None else round(number)
    return None if rounded is None or abs(rounded) > MAX_INT else rounded


def _make_cursor(number: int) -> str:
    return urlsafe_b64encode(f"{CURSOR_PREFIX}{number}".encode()).decode()


def _parse_cursor(cursor: str | None) -> int | None:
    """Return the number before which a page begins; None for the first page.

    Raises:
        GraphQLError: The cursor does not come from this server. Starting again would repeat pages without end.
    """
    if not cursor:
        return None
    try:
        text = urlsafe_b64decode(cursor.encode()).decode()
    except ValueError:
        text = ""
    number = text.removeprefix(CURSOR_PREFIX)
    if text == number or not (number.isascii() and number.isdecimal()) or len(number) > MAX_DIGITS:
        raise GraphQLError("cursor must be the pageInfo.cursor of a page before; leave it out for the first page")
    return int(number)


def _check_limit(limit: int | None, usual: int) -> int:
    """Return a checked limit; null means the default."""
    if limit is None:
        return usual
    if not 0 < limit <= MAX_LIMIT:
        raise GraphQLError(f"limit must be from 1 to {MAX_LIMIT}")
    return limit
