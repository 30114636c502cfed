"""Map of a value stream, list of a stage and card of an item."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rally_accelerate.dql.parser import parse
from rally_accelerate.errors import QueryError
from rally_accelerate.server.issue_history import find_pending_status_change
from rally_accelerate.server.query_diagnostics import find_unknown_fields
from rally_accelerate.server.store.issue_search import IssueRow
from rally_accelerate.server.store.issue_writer import find_status_start
from rally_accelerate.server.store.issues import StoredIssue
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.tables import to_ms
from rally_accelerate.server.store.value_streams import StoredValueStream
from rally_accelerate.server.value_streams.board import (
    FIELDS,
    FIRST_SECONDS,
    Board,
    BoardCache,
    MapFilter,
    StageBoard,
    average_age,
    trackers_of,
)
from rally_accelerate.server.value_streams.diff import differences
from rally_accelerate.server.value_streams.document import WINDOWS, describe_unsupported, integrations_of
from rally_accelerate.server.value_streams.layout import (
    CHOICES,
    Layout,
    Legend,
    Stage,
    alerts_of,
    alerts_of_row,
    build_legend,
    parse_layout,
)
from rally_accelerate.server.value_streams.stage_history import Event, Visit, find_stage, find_visits, latest_first
from rally_accelerate.server.web.routing import role_route
from rally_accelerate.server.web.templating import not_found, render_page
from rally_accelerate.server.web.value_streams import VALUE_STREAM, layout_data

#: The turn from one seed to the next, which fills a circle most evenly.
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))

#: The circle, in the units of the drawing.
SIZE = 160
EDGE = 70.0

LARGEST, SMALLEST = 8.0, 3.4


def dot_positions(count: int) -> tuple[list[tuple[float, float]], float]:
    """Return the center of each dot, and the radius of all."""
    if count == 0:
        return [], LARGEST
    # A seed has a share of the circle; a few of them need not spread over all of it.
    step = min(LARGEST * 1.45, EDGE / math.sqrt(count))
    radius = max(SMALLEST, min(LARGEST, step * 0.72))
    middle = SIZE / 2
    positions = []
    for number in range(count):
        distance = step * math.sqrt(number + (0.5 if count > 1 else 0))
        angle = number * GOLDEN_ANGLE
        x, y = middle + distance * math.cos(angle), middle + distance * math.sin(angle)
        positions.append((round(x, 1), round(y, 1)))
    return positions, round(radius, 1)


class CardPages:
    """The cards."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [role_route("/value-streams/{id:str}/dots/{tracker:str}/{key:str}", self.card)]

    async def card(self, request: Request) -> Response:
        """Show the card of an item."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return not_found(request, VALUE_STREAM)
        tracker, key = unquote(request.path_params["tracker"]), request.path_params["key"]
        stored = await self._stores.issues.get(tracker, unquote(key.removesuffix(".json")))
        trackers = trackers_of(stream.document)
        if stored is None or stored.tenant_id != stream.tenant_id or (trackers and tracker not in trackers):
            return not_found(request, "this item")
        now = datetime.now(UTC)
        layout, issue = parse_layout(stream.document), stored.content
        stage = find_stage(layout, issue, now=now)
        stage_visits = find_visits(layout, issue, now=now)
        since = find_status_start(issue, issue.get("history") or ())
        alerts = alerts_of(layout, stage, owner=issue.get("owner"), since=since, now=now)
        data = {
            **layout_data(stream, "map"),
            "title": f"{issue['id']} · {stream.name}",
            "stage": {"number": stage.number, "name": stage.name, "phase": stage.phase} if stage else None,
            "item": _item(stored),
            "age": to_ms(now) - since,
            "late": find_pending_status_change(issue),
            "inStageFor": to_ms(now) - to_ms(stage_visits[-1].entered),
            "alerts": alerts.words,
            "tooOldAfter": None if layout.too_old is None else layout.too_old.total_seconds() * 1000,
            "visits": [_visit(visit, issue, now) for visit in latest_first(stage_visits)],
        }
        return render_page(request, "stream_card.html", data)


def _item(stored: StoredIssue) -> dict[str, Any]:
    issue = stored.content
    raw = issue.get("rawIssue")
    value = issue.get("businessValue")
    if value is None and isinstance(raw, dict):
        value = next((raw_value for name, raw_value in raw.items() if name.casefold() == "businessvalue"), None)
    return {
        "tracker": stored.tracker_id,
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
    end = visit.ended or now
    return {
        "stage": {"number": visit.stage.number, "name": visit.stage.name} if visit.stage else None,
        "entered": visit.entered,
        "left": visit.ended,
        "lasted": to_ms(end) - to_ms(visit.entered),
        "events": [_event(event, issue) for event in visit.events],
    }


def _event(event: Event, issue: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": event.at,
        "who": event.who or "Unknown user",
        "field": event.field,
        "id": issue["id"],
        "from": event.before,
        "to": event.after,
        "told": event.is_recorded,
    }


PAGE = 50

#: So many items of a stage are listed beside its dots.
LISTED_ITEMS = 8

#: The parameter that names the version that was just saved, and how long the page says so.
SAVED = "saved"
SAVED_NOTICE_AGE = timedelta(minutes=10)

ADDED = ("added", "integration")

TIMES = {
    "ALL": "Any time",
    "HOUR24": "24 hours",
    "DAY7": "7 days",
    "DAY30": "30 days",
    "DAY90": "90 days",
    "MONTH6": "6 months",
    "YEAR1": "1 year",
}

#: The parameter of each field of ``Asked``.
PARAMETERS = {f"{name}s" if name != "priority" else "priorities": name for name in FIELDS}


class MapPages:
    """The map and what it leads to."""

    def __init__(self, stores: Stores, boards: BoardCache) -> None:
        self._stores = stores
        self._boards = boards

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            role_route("/value-streams/{id:str}", self.map),
            role_route("/value-streams/{id:str}/stages/{number:str}", self.stage),
        ]

    async def map(self, request: Request) -> Response:
        """Phases, stages and dots."""
        stream = await self._stores.streams.by_id(request.path_params["id"].removesuffix(".json"))
        if stream is None:
            return not_found(request, VALUE_STREAM)
        now, map_filter, by = datetime.now(UTC), parse_filter(request), _by(request)
        layout = parse_layout(stream.document)
        board, readable, fault = await self._board(request, stream, map_filter, now)
        if board is None:
            return render_page(request, "stream_calculating.html", layout_data(stream, "map"))
        legend = build_legend(by, board.facets.get(by, ()), layout.ranks)
        numbered = {stage_board.stage.number: stage_board for stage_board in board.stages}
        data = {
            **layout_data(stream, "map"),
            "phases": [
                {
                    "name": phase.name,
                    "description": phase.description,
                    "span": min(len(phase.stages), 12) or 1,
                    "stages": [_stage(layout, numbered[stage.number], board, legend, now) for stage in phase.stages],
                }
                for phase in layout.phases
            ],
            "total": board.total,
            "at": board.at,
            "isOld": board.is_old,
            "by": by,
            "legend": [{"name": name, "tone": tone, "items": count} for name, tone, count in legend.entries],
            **_toolbar(map_filter, board, fault),
            "hints": [*await self._deleted_integrations(stream), *await self._hints(readable)],
            "saved": await self._saved_notice(request, stream, now),
            "streamQuery": layout.text,
            "undrawn": describe_unsupported(stream.document),
            "query": _query(request, fault),
        }
        return render_page(request, "stream_map.html", data, status=200 if fault is None else 400)

    async def stage(self, request: Request) -> Response:
        """List the items of a stage, the most recent in it first."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return not_found(request, VALUE_STREAM)
        layout = parse_layout(stream.document)
        number = request.path_params["number"].removesuffix(".json")
        stage = next((candidate for candidate in layout.stages if str(candidate.number) == number), None)
        if stage is None:
            return not_found(request, "this stage")
        now, map_filter = datetime.now(UTC), parse_filter(request)
        board, readable, fault = await self._board(request, stream, map_filter, now)
        if board is None:
            return render_page(request, "stream_calculating.html", layout_data(stream, "map"))
        stage_board = board.stages[stage.number - 1]
        after = request.query_params.get("after", "")
        result = await self._boards.page(stream, stage, readable, now=now, after=after, limit=PAGE)
        plain = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
        data = {
            **layout_data(stream, "map"),
            "title": f"{stage.name} · {stream.name}",
            "stage": {
                **_stage_figures(stage_board, board, now),
                "wanted": stage.text,
                "description": stage.description,
            },
            "neighbours": _neighbours(layout, stage),
            "items": [_dot(layout, stage, row, None, now) for row in result.rows],
            "more": "?" + urlencode([*plain, ("after", result.after)]) if result.after else "",
            "isContinued": bool(after),
            **_toolbar(map_filter, board, fault),
            "hints": await self._hints(readable),
            "query": _query(request, fault),
        }
        return render_page(request, "stream_stage.html", data, status=200 if fault is None else 400)

    async def _board(
        self, request: Request, stream: StoredValueStream, map_filter: MapFilter, now: datetime
    ) -> tuple[Board | None, MapFilter, QueryError | None]:
        """Return the board, the filter without an invalid query, and the error of that query.

        For people None where it is still being counted; programs wait.
        """
        seconds = None if request.url.path.endswith(".json") else FIRST_SECONDS
        try:
            return await self._boards.board_within(stream, map_filter, now=now, seconds=seconds), map_filter, None
        except QueryError as error:
            readable = replace(map_filter, dql="")
            return await self._boards.board_within(stream, readable, now=now, seconds=seconds), readable, error

    async def _deleted_integrations(self, stream: StoredValueStream) -> list[str]:
        """Return a notice for each deleted integration."""
        known = {one.id for one in await self._stores.integrations.all()}
        # Those of other tools stand in the document alone, with their settings.
        references = [
            entry for _, entry in integrations_of(stream.document) if entry.get("_id") and "properties" not in entry
        ]
        return [
            f"The integration {entry['name'].strip()} was deleted and no longer provides items."
            for entry in references
            if entry["_id"] not in known
        ]

    async def _saved_notice(self, request: Request, stream: StoredValueStream, now: datetime) -> dict[str, Any] | None:
        """Return the notice about the version that was just saved, if the URL names it."""
        if request.query_params.get(SAVED) != str(stream.version):
            return None
        versions = await self._stores.streams.list_versions(stream.id, limit=2)
        version, before = versions[0], versions[1].document if len(versions) > 1 else {}
        if now - version.at > SAVED_NOTICE_AGE:
            # An address that was kept, or a page that stays open.
            return None
        added = {
            difference.name
            for difference in differences(before, version.document)
            if (difference.kind, difference.what) == ADDED
        }
        entries = [entry for _, entry in integrations_of(version.document) if entry["name"].strip() in added]
        return {
            "number": version.number,
            "said": f"{version.why[:1].upper()}{version.why[1:]}",
            "isFirst": version.number == 1,
            "added": [{"name": entry["name"].strip(), "id": entry.get("_id", "")} for entry in entries],
        }

    async def _hints(self, map_filter: MapFilter) -> list[str]:
        return await find_unknown_fields(self._stores.database, parse(map_filter.dql)) if map_filter.dql else []


def parse_filter(request: Request) -> MapFilter:
    """Parse the filter from query parameters."""
    query = request.query_params
    fields = {field: tuple(filter(None, query.getlist(name)))[:50] for field, name in PARAMETERS.items()}
    window = query.get("time", "ALL")
    return MapFilter(
        text=query.get("text", "").strip()[:500],
        dql=query.get("dql", "").strip(),
        window=window if window in WINDOWS else "ALL",
        **fields,
    )


def _by(request: Request) -> str:
    by = request.query_params.get("by", "type")
    return by if by in CHOICES else "type"


def _query(request: Request, fault: QueryError | None) -> str:
    """Return the active filter as a query string for other pages of the value stream."""
    omitted = {"after", SAVED} if fault is None else {"after", SAVED, "dql"}
    pairs = [(name, value) for name, value in request.query_params.multi_items() if value and name not in omitted]
    return f"?{urlencode(pairs)}" if pairs else ""


def _toolbar(map_filter: MapFilter, board: Board, fault: QueryError | None) -> dict[str, Any]:
    chosen = {name: getattr(map_filter, field) for field, name in PARAMETERS.items()}
    return {
        "filters": {**chosen, "text": map_filter.text, "dql": map_filter.dql, "time": map_filter.window},
        "isRestricted": map_filter.restricts,
        # A value that is chosen stays one of the choices, also when no item has it any more.
        "choices": {
            name: sorted({*chosen[name], *(value for value, _ in board.facets.get(name, ()))}) for name in FIELDS
        },
        "times": TIMES,
        "colours": CHOICES,
        "fault": None
        if fault is None
        else {
            "message": str(fault),
            "line": fault.line,
            "column": fault.column,
            "expected": list(fault.expected),
            "before": _line_of(map_filter.dql, fault)[: fault.column - 1],
            "at": _line_of(map_filter.dql, fault)[fault.column - 1 :],
        },
    }


def _line_of(text: str, fault: QueryError) -> str:
    lines = text.split("\n")
    return lines[fault.line - 1] if fault.line <= len(lines) else ""


def _stage_figures(stage_board: StageBoard, board: Board, now: datetime) -> dict[str, Any]:
    stage = stage_board.stage
    limit = stage.wip_limit
    count = f"{stage_board.count:,}" if limit is None else f"{stage_board.count:,}/{limit:,}"
    single = stage_board.count == 1 and limit is None
    return {
        "number": stage.number,
        "name": stage.name,
        "phase": stage.phase,
        "hasQuery": stage.query is not None,
        "count": stage_board.count,
        "wipLimit": limit,
        "isOverLimit": limit is not None and stage_board.count > limit,
        "said": f"{count} item{'' if single else 's'}",
        "averageAge": average_age(stage_board, board, now),
    }


def _stage(layout: Layout, stage_board: StageBoard, board: Board, legend: Legend, now: datetime) -> dict[str, Any]:
    positions, radius = dot_positions(len(stage_board.dots))
    dots = [
        {**_dot(layout, stage_board.stage, row, legend, now), "x": x, "y": y}
        for row, (x, y) in zip(stage_board.dots, positions, strict=True)
    ]
    return {
        **_stage_figures(stage_board, board, now),
        "description": stage_board.stage.description,
        "dots": dots,
        "radius": radius,
        "hidden": stage_board.count - len(dots),
        "listed": LISTED_ITEMS,
    }


def _dot(layout: Layout, stage: Stage, row: IssueRow, legend: Legend | None, now: datetime) -> dict[str, Any]:
    return {
        "tracker": row.tracker_id,
        "key": row.external_id,
        "id": row.display_id,
        "name": row.name,
        "type": row.type,
        "status": row.status,
        "priority": row.priority,
        "owner": row.owner,
        "age": to_ms(now) - row.status_since,
        "since": row.status_since,
        "alerts": alerts_of_row(layout, stage, row, now).words,
        "tone": legend.tone(row) if legend else "",
    }


def _neighbours(layout: Layout, stage: Stage) -> Mapping[str, Any]:
    stages = layout.stages
    before = stages[stage.number - 2] if stage.number > 1 else None
    after = stages[stage.number] if stage.number < len(stages) else None
    return {
        "before": {"number": before.number, "name": before.name} if before else None,
        "after": {"number": after.number, "name": after.name} if after else None,
    }
