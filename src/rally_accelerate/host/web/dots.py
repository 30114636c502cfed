"""The card of one item on the map: what it is, what is wrong with it, and its way through the stages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rally_accelerate.host.lagging import late_status
from rally_accelerate.host.store.issues import StoredIssue
from rally_accelerate.host.store.summary import status_since
from rally_accelerate.host.store.values import ms
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams.alerts import alerts_of
from rally_accelerate.host.streams.board import trackers_of
from rally_accelerate.host.streams.layout import layout_of
from rally_accelerate.host.streams.past import Event, Visit, latest_first, stage_of, visits
from rally_accelerate.host.web.render import missing, page
from rally_accelerate.host.web.routing import routed
from rally_accelerate.host.web.streams import GONE, frame


class DotPages:
    """The cards."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def routes(self) -> list[Route]:
        """Their address."""
        return [routed("/value-streams/{id:str}/dots/{tracker:str}/{key:str}", self.card)]

    async def card(self, request: Request) -> Response:
        """One item as the value stream sees it."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return missing(request, GONE)
        tracker, key = unquote(request.path_params["tracker"]), request.path_params["key"]
        found = await self._stores.issues.one(tracker, unquote(key.removesuffix(".json")))
        trackers = trackers_of(stream.document)
        if found is None or found.tenant_id != stream.tenant_id or (trackers and tracker not in trackers):
            return missing(request, "this item")
        now = datetime.now(UTC)
        layout, issue = layout_of(stream.document), found.content
        stage = stage_of(layout, issue, now=now)
        way = visits(layout, issue, now=now)
        since = status_since(issue, issue.get("history") or ())
        alerts = alerts_of(layout, stage, owner=issue.get("owner"), since=since, now=now)
        data = {
            **frame(stream, "map"),
            "title": f"{issue['id']} · {stream.name}",
            "stage": {"number": stage.number, "name": stage.name, "phase": stage.phase} if stage else None,
            "item": _item(found),
            "age": ms(now) - since,
            "late": late_status(issue),
            "inStageFor": ms(now) - ms(way[-1].entered),
            "alerts": alerts.words,
            "tooOldAfter": None if layout.too_old is None else layout.too_old.total_seconds() * 1000,
            "visits": [_visit(visit, issue, now) for visit in latest_first(way)],
        }
        return page(request, "stream_card.html", data)


def _item(found: StoredIssue) -> dict[str, Any]:
    issue = found.content
    raw = issue.get("rawIssue")
    value = issue.get("businessValue")
    if value is None and isinstance(raw, dict):
        value = next((held for name, held in raw.items() if name.casefold() == "businessvalue"), None)
    return {
        "tracker": found.tracker_id,
        "key": issue["_id"],
        "id": issue["id"],
        "name": issue["name"],
        "url": issue.get("url") or "",
        "type": issue["type"],
        "status": issue["status"],
        "priority": issue.get("priority"),
        "owner": issue.get("owner"),
        "creator": issue.get("creator"),
        "description": issue.get("description") or "",
        "labels": issue.get("labels") or [],
        "created": issue.get("created"),
        "lastUpdate": issue.get("lastUpdate"),
        "project": (issue.get("project") or {}).get("name"),
        "releases": [one.get("name") or one.get("id") for one in issue.get("releases") or ()],
        "sprints": [one.get("name") or one.get("id") for one in issue.get("sprints") or ()],
        "storyPoints": issue.get("storyPoints"),
        "businessValue": value,
    }


def _visit(visit: Visit, issue: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    end = visit.left or now
    return {
        "stage": {"number": visit.stage.number, "name": visit.stage.name} if visit.stage else None,
        "entered": visit.entered,
        "left": visit.left,
        "lasted": ms(end) - ms(visit.entered),
        "events": [_event(event, issue) for event in visit.events],
    }


def _event(event: Event, issue: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": event.at,
        "who": event.who or "somebody",
        "field": event.field,
        "id": issue["id"],
        "from": event.before,
        "to": event.after,
        "told": event.is_told,
    }
