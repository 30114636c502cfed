"""Operations on issues."""

from typing import Any

from ariadne import MutationType, ObjectType, QueryType
from graphql import GraphQLError

from rally_accelerate.host import current
from rally_accelerate.host.access import HOST
from rally_accelerate.host.store.issues import Issues, StoredIssue, Wanted

#: How many issues one question may ask for.
MOST = 1000


def bind(query: QueryType, mutation: MutationType, issues: Issues) -> list[ObjectType]:
    """Attach the resolvers to a store."""

    @mutation.field("uploadIssueData")
    async def upload(_: Any, info: Any, data: dict[str, Any]) -> dict[str, bool]:
        # An unknown tracker is taken as well: whoever uploads from elsewhere needs no integration here [assumed].
        await issues.take(
            source=data["source"],
            tracker_id=data["trackerId"],
            tenant_id=data["tenantId"],
            items=data.get("issues") or (),
            execution_id=current.execution.get() if info.context["actor"] is HOST else "",
        )
        return {"result": True}

    @query.field("issue")
    async def issue(_: Any, __: Any, tenantId: str, issueId: str) -> dict[str, Any] | None:
        found = await issues.by_any_id(tenantId, issueId)
        return None if found is None else issue_data(found)

    @query.field("issues")
    async def listed(_: Any, __: Any, filter: dict[str, Any]) -> list[dict[str, Any]]:
        limit, skip = _bounded(filter["limit"]), filter["skip"]
        if filter.get("internalIds"):
            found = [await issues.by_any_id(filter["tenantId"], its_id) for its_id in filter["internalIds"][:limit]]
            return [issue_data(one) for one in found if one is not None]
        page = await issues.page(Wanted(tenant_id=filter["tenantId"]), limit=limit, skip=skip)
        return [issue_data(one) for one in page]

    @query.field("issuesForProjectKey")
    async def for_project(
        _: Any,
        __: Any,
        tenantId: str,
        projectKey: str,
        limit: int,
        cursor: str | None = None,
    ) -> list[dict[str, Any]]:
        # The cursor's form is not public [U]; here it is the number of issues to pass over.
        skip = int(cursor) if cursor and cursor.isdigit() else 0
        wanted = Wanted(tenant_id=tenantId, project_key=projectKey)
        return [issue_data(one) for one in await issues.page(wanted, limit=_bounded(limit), skip=skip)]

    @query.field("issueStatuses")
    async def statuses(_: Any, __: Any, tenantId: str, integrationId: str | None = None) -> list[str]:
        return await issues.distinct("status", tenant_id=tenantId, tracker_id=integrationId or "")

    return []


def issue_data(issue: StoredIssue) -> dict[str, Any]:
    """The vendor's ``IssueData``; lists are never null on reading."""
    content = issue.content
    lists = ("versionIds", "components", "labels", "comments", "history", "releases", "sprints", "relations")
    filled = {name: content.get(name) or [] for name in lists}
    return {
        "_id": f"{issue.tracker_id}:{content['_id']}",
        "trackerId": issue.tracker_id,
        "tenantId": issue.tenant_id,
        "type": issue.source,
        "issue": {**content, **filled, "normalizedType": content.get("normalizedType") or "OTHER"},
    }


def _bounded(limit: int) -> int:
    if not 0 < limit <= MOST:
        raise GraphQLError(f"limit must be from 1 to {MOST}")
    return limit
