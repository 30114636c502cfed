"""Issues: the list in pages by key, and one issue with its history."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rally_accelerate.dql.parse import parse
from rally_accelerate.errors import QueryError
from rally_accelerate.host.store.issues import Place, StoredIssue, Wanted
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.web.render import missing, page
from rally_accelerate.host.web.routing import routed, shown

PAGE = 50

#: Digits of the last instant of the year 9999 in milliseconds.
LONGEST_INSTANT = 15

#: What an upload may leave out, of what the page shows.
OPTIONAL = (
    "owner",
    "priority",
    "storyPoints",
    "epic",
    "project",
    "sprints",
    "releases",
    "labels",
    "description",
    "rawIssue",
    "relations",
    "comments",
)


class IssuePages:
    """The pages about issues."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [*shown("/issues", self.listed), routed("/issues/{tracker:str}/{id:str}", self.one)]

    async def listed(self, request: Request) -> Response:
        """Issues by last update, newest first, with filters."""
        given = request.query_params
        wanted = Wanted(
            tracker_id=given.get("integration", ""),
            type=given.get("type", ""),
            status=given.get("status", ""),
            text=given.get("text", "").strip(),
        )
        dql = given.get("dql", "").strip()
        found, on, fault = await self._found(wanted, dql, _place(given.get("after", "")))
        names = {one.id: one.name for one in await self._stores.integrations.all()}
        more = ""
        if on is not None:
            after = f"{on.last_update}-{on.number}"
            more = "?" + urlencode(
                {**{name: value for name, value in given.items() if name != "after"}, "after": after}
            )
        data = {
            "title": "Issues",
            "issues": [_row(one, names) for one in found],
            "filters": {
                "integration": wanted.tracker_id,
                "type": wanted.type,
                "status": wanted.status,
                "text": wanted.text,
                "dql": dql,
            },
            "fault": _told(fault),
            "choices": {
                "integration": names,
                "type": await self._stores.issues.distinct("type"),
                "status": await self._stores.issues.distinct("status"),
            },
            "more": more,
        }
        return page(request, "issues.html", data, status=200 if fault is None else 400)

    async def _found(
        self, wanted: Wanted, dql: str, after: Place | None
    ) -> tuple[list[StoredIssue], Place | None, QueryError | None]:
        """A page of issues, where the next one begins, and what is wrong with the query."""
        if not dql:
            found = await self._stores.issues.page(wanted, after=after, limit=PAGE + 1)
            if len(found) <= PAGE:
                return found, None, None
            last = found[PAGE - 1]
            return found[:PAGE], Place(last.content["lastUpdate"], last.number), None
        try:
            query = parse(dql)
        except QueryError as error:
            return [], None, error
        matched, on = await self._stores.issues.matching(wanted, query, now=datetime.now(UTC), after=after, limit=PAGE)
        return matched, on, None

    async def one(self, request: Request) -> Response:
        """One issue: its fields and its history, newest first."""
        tracker = unquote(request.path_params["tracker"])
        its_id = unquote(request.path_params["id"].removesuffix(".json"))
        found = await self._stores.issues.one(tracker, its_id)
        if found is None:
            return missing(request, "this issue")
        integration = await self._stores.integrations.by_id(tracker)
        raw = found.content.get("rawIssue")
        data = {
            "title": found.content["id"],
            "issue": {**dict.fromkeys(OPTIONAL), **found.content, "rawIssue": raw if isinstance(raw, dict) else {}},
            "integration": integration.name if integration else tracker,
            "tracker": tracker,
            "uploaded": found.uploaded,
        }
        return page(request, "issue.html", data)


def _told(fault: QueryError | None) -> dict[str, Any] | None:
    if fault is None:
        return None
    return {"message": str(fault), "line": fault.line, "column": fault.column, "expected": list(fault.expected)}


def _row(found: StoredIssue, names: dict[str, str]) -> dict[str, Any]:
    content = found.content
    return {
        "tracker": found.tracker_id,
        "key": content["_id"],
        "id": content["id"],
        "name": content["name"],
        "type": content["type"],
        "status": content["status"],
        "owner": content.get("owner") or "",
        "project": (content.get("project") or {}).get("name") or "",
        "lastUpdate": content["lastUpdate"],
        "changes": len(content["history"]),
        "integration": names.get(found.tracker_id, "elsewhere"),
    }


def _place(text: str) -> Place | None:
    numbers = text.split("-")
    if len(numbers) != len(("last update", "number")):
        return None
    if not all(each.isdecimal() and len(each) <= LONGEST_INSTANT for each in numbers):
        return None
    return Place(*map(int, numbers))
