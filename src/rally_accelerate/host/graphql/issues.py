"""Operations on issues."""

from dataclasses import replace
from typing import Any

from ariadne import MutationType, ObjectType, QueryType
from graphql import GraphQLError

from rally_accelerate.host.graphql import uploads
from rally_accelerate.host.graphql.limits import counted
from rally_accelerate.host.store.issues import StoredIssue
from rally_accelerate.host.store.updates import Updates
from rally_accelerate.host.stores import Stores

#: How many issues one question may ask for.
MOST = 1000

#: No database counts further.
LONGEST_CURSOR = 18


def bind(query: QueryType, mutation: MutationType, stores: Stores) -> list[ObjectType]:
    """Attach the resolvers to a store."""
    issues, updates = stores.issues, Updates(stores.database, stores.issues)

    uploads.bind(mutation, issues)

    @query.field("issue")
    async def issue(_: Any, __: Any, tenantId: str, issueId: str) -> dict[str, Any] | None:
        found = await issues.by_any_id(tenantId, issueId)
        return None if found is None else issue_data(found)

    @query.field("issues")
    async def listed(_: Any, __: Any, filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        if filter is None:
            raise GraphQLError("issues needs a filter with the tenantId")
        limit, skip = _bounded(filter["limit"], 100), max(filter["skip"] or 0, 0)
        counted(filter.get("internalIds"), "internalIds")
        if filter.get("internalIds"):
            found = [
                await issues.by_any_id(filter["tenantId"], its_id) for its_id in filter["internalIds"][:limit] if its_id
            ]
            return [issue_data(one) for one in found if one is not None]
        page = await issues.page(tenant_id=filter["tenantId"], limit=limit, skip=skip)
        return [issue_data(one) for one in page]

    @query.field("issuesForProjectKey")
    async def for_project(
        _: Any,
        __: Any,
        tenantId: str,
        projectKey: str,
        limit: int,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        # The cursor is opaque to clients; here it is the number of issues to skip.
        skip = int(cursor) if cursor and cursor.isdecimal() and len(cursor) < LONGEST_CURSOR else 0
        wanted = _bounded(limit, 10)
        # One more than wanted tells whether there is another page.
        page = await issues.page(tenant_id=tenantId, project_key=projectKey, limit=wanted + 1, skip=skip)
        more = len(page) > wanted
        info = {"cursor": str(skip + wanted) if more else None, "hasMore": more}
        return {"nodes": [issue_data(one) for one in page[:wanted]], "pageInfo": info}

    @query.field("issueStatuses")
    async def statuses(
        _: Any, __: Any, tenantId: str, integrationId: str | None = None, integrationIds: list[str] | None = None
    ) -> list[str]:
        counted(integrationIds, "integrationIds")
        trackers = [*([integrationId] if integrationId else []), *(integrationIds or [])] or [""]
        found = [await issues.statuses(tenantId, tracker_id=each) for each in set(trackers)]
        return sorted({status for each in found for status in each})

    @mutation.field("updateIssues")
    async def update(_: Any, info: Any, issues: list[dict[str, Any]], tenantId: str) -> list[dict[str, Any]]:
        counted(issues, "issues")
        values = {each["externalId"]: each["updates"] for each in issues}
        found = await updates.change(tenantId, values)
        if missing := [its_id for its_id in values if its_id not in {one.content["_id"] for one in found}]:
            raise GraphQLError(f"there is no issue {', '.join(missing[:5])}; nothing was updated")
        for one in found:
            await stores.audit.note(
                info.context["actor"],
                "edited",
                kind="issue",
                object_id=one.content["_id"],
                name=one.content["id"],
                detail=values[one.content["_id"]],
            )
        return [issue_data(replace(one, content={**one.content, **values[one.content["_id"]]})) for one in found]

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


def _bounded(limit: int | None, usual: int) -> int:
    """A limit; an explicit null is what a client sends that has none."""
    if limit is None:
        return usual
    if not 0 < limit <= MOST:
        raise GraphQLError(f"limit must be from 1 to {MOST}")
    return limit
