"""The map of a value stream, the list of one of its stages, and the card of one item."""

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
    Asked,
    Board,
    Boards,
    StageBoard,
    average_age,
    trackers_of,
)
from rally_accelerate.server.value_streams.diff import differences
from rally_accelerate.server.value_streams.document import WINDOWS, integrations_of, undrawn
from rally_accelerate.server.value_streams.layout import (
    CHOICES,
    Layout,
    Legend,
    Stage,
    alerts_of,
    alerts_of_row,
    layout_of,
    legend_of,
)
from rally_accelerate.server.value_streams.stage_history import Event, Visit, latest_first, stage_of, visits
from rally_accelerate.server.web.routing import routed
from rally_accelerate.server.web.templating import missing, page
from rally_accelerate.server.web.value_streams import GONE, frame

#: The turn from one seed to the next, which fills a circle most evenly.
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))

#: The circle, in the units of the drawing.
SIZE = 160
EDGE = 70.0

LARGEST, SMALLEST = 8.0, 3.4


def places(count: int) -> tuple[list[tuple[float, float]], float]:
    """The middle of each of so many dots, and their radius."""
    if count == 0:
        return [], LARGEST
    # A seed has a share of the circle; a few of them need not spread over all of it.
    step = min(LARGEST * 1.45, EDGE / math.sqrt(count))
    radius = max(SMALLEST, min(LARGEST, step * 0.72))
    middle = SIZE / 2
    found = []
    for number in range(count):
        distance = step * math.sqrt(number + (0.5 if count > 1 else 0))
        angle = number * GOLDEN_ANGLE
        x, y = middle + distance * math.cos(angle), middle + distance * math.sin(angle)
        found.append((round(x, 1), round(y, 1)))
    return found, round(radius, 1)


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
        found = await self._stores.issues.get(tracker, unquote(key.removesuffix(".json")))
        trackers = trackers_of(stream.document)
        if found is None or found.tenant_id != stream.tenant_id or (trackers and tracker not in trackers):
            return missing(request, "this item")
        now = datetime.now(UTC)
        layout, issue = layout_of(stream.document), found.content
        stage = stage_of(layout, issue, now=now)
        way = visits(layout, issue, now=now)
        since = find_status_start(issue, issue.get("history") or ())
        alerts = alerts_of(layout, stage, owner=issue.get("owner"), since=since, now=now)
        data = {
            **frame(stream, "map"),
            "title": f"{issue['id']} · {stream.name}",
            "stage": {"number": stage.number, "name": stage.name, "phase": stage.phase} if stage else None,
            "item": _item(found),
            "age": to_ms(now) - since,
            "late": find_pending_status_change(issue),
            "inStageFor": to_ms(now) - to_ms(way[-1].entered),
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
        "told": event.is_told,
    }


PAGE = 50

#: So many items of a stage are listed beside its dots.
LISTED = 8

#: The parameter that names the version which was just saved, and for how long that is told.
SAVED = "saved"
TOLD_FOR = timedelta(minutes=10)

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

    def __init__(self, stores: Stores, boards: Boards) -> None:
        self._stores = stores
        self._boards = boards

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            routed("/value-streams/{id:str}", self.map),
            routed("/value-streams/{id:str}/stages/{number:str}", self.stage),
        ]

    async def map(self, request: Request) -> Response:
        """Phases, stages and dots."""
        stream = await self._stores.streams.by_id(request.path_params["id"].removesuffix(".json"))
        if stream is None:
            return missing(request, GONE)
        now, asked, by = datetime.now(UTC), asked_of(request), _by(request)
        layout = layout_of(stream.document)
        board, readable, fault = await self._board(request, stream, asked, now)
        if board is None:
            return page(request, "stream_counting.html", frame(stream, "map"))
        legend = legend_of(by, board.facets.get(by, ()), layout.ranks)
        numbered = {held.stage.number: held for held in board.stages}
        data = {
            **frame(stream, "map"),
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
            **_toolbar(asked, board, fault),
            "hints": [*await self._gone(stream), *await self._hints(readable)],
            "saved": await self._saved(request, stream, now),
            "streamQuery": layout.text,
            "undrawn": undrawn(stream.document),
            "query": _query(request, fault),
        }
        return page(request, "stream_map.html", data, status=200 if fault is None else 400)

    async def stage(self, request: Request) -> Response:
        """All items of a stage, the newest in it first."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return missing(request, GONE)
        layout = layout_of(stream.document)
        number = request.path_params["number"].removesuffix(".json")
        stage = next((each for each in layout.stages if str(each.number) == number), None)
        if stage is None:
            return missing(request, "this stage")
        now, asked = datetime.now(UTC), asked_of(request)
        board, readable, fault = await self._board(request, stream, asked, now)
        if board is None:
            return page(request, "stream_counting.html", frame(stream, "map"))
        held = board.stages[stage.number - 1]
        after = request.query_params.get("after", "")
        found = await self._boards.page(stream, stage, readable, now=now, after=after, limit=PAGE)
        plain = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
        data = {
            **frame(stream, "map"),
            "title": f"{stage.name} · {stream.name}",
            "stage": {**_figures(held, board, now), "wanted": stage.text, "description": stage.description},
            "neighbours": _neighbours(layout, stage),
            "items": [_dot(layout, stage, row, None, now) for row in found.rows],
            "more": "?" + urlencode([*plain, ("after", found.after)]) if found.after else "",
            "isContinued": bool(after),
            **_toolbar(asked, board, fault),
            "hints": await self._hints(readable),
            "query": _query(request, fault),
        }
        return page(request, "stream_stage.html", data, status=200 if fault is None else 400)

    async def _board(
        self, request: Request, stream: StoredValueStream, asked: Asked, now: datetime
    ) -> tuple[Board | None, Asked, QueryError | None]:
        """The board and what it shows: all that was asked for, without a query that cannot be read, and its fault.

        For people None where it is still being counted; programs wait.
        """
        seconds = None if request.url.path.endswith(".json") else FIRST_SECONDS
        try:
            return await self._boards.soon(stream, asked, now=now, seconds=seconds), asked, None
        except QueryError as error:
            readable = replace(asked, dql="")
            return await self._boards.soon(stream, readable, now=now, seconds=seconds), readable, error

    async def _gone(self, stream: StoredValueStream) -> list[str]:
        """A sentence for each integration that was removed since."""
        known = {one.id for one in await self._stores.integrations.all()}
        # Those of other tools stand in the document alone, with their settings.
        its = [entry for _, entry in integrations_of(stream.document) if entry.get("_id") and "properties" not in entry]
        return [
            f"The integration {entry['name'].strip()} was deleted and no longer provides items."
            for entry in its
            if entry["_id"] not in known
        ]

    async def _saved(self, request: Request, stream: StoredValueStream, now: datetime) -> dict[str, Any] | None:
        """What was just made valid: the version that the address names, while it is new."""
        if request.query_params.get(SAVED) != str(stream.version):
            return None
        found = await self._stores.streams.list_versions(stream.id, limit=2)
        version, before = found[0], found[1].document if len(found) > 1 else {}
        if now - version.at > TOLD_FOR:
            # An address that was kept, or a page that stays open.
            return None
        added = {each.name for each in differences(before, version.document) if (each.kind, each.what) == ADDED}
        its = [entry for _, entry in integrations_of(version.document) if entry["name"].strip() in added]
        return {
            "number": version.number,
            "said": f"{version.why[:1].upper()}{version.why[1:]}",
            "isFirst": version.number == 1,
            "added": [{"name": entry["name"].strip(), "id": entry.get("_id", "")} for entry in its],
        }

    async def _hints(self, asked: Asked) -> list[str]:
        return await find_unknown_fields(self._stores.database, parse(asked.dql)) if asked.dql else []


def asked_of(request: Request) -> Asked:
    """The restrictions that an address asks for."""
    given = request.query_params
    fields = {field: tuple(filter(None, given.getlist(name)))[:50] for field, name in PARAMETERS.items()}
    window = given.get("time", "ALL")
    return Asked(
        text=given.get("text", "").strip()[:500],
        dql=given.get("dql", "").strip(),
        window=window if window in WINDOWS else "ALL",
        **fields,
    )


def _by(request: Request) -> str:
    by = request.query_params.get("by", "type")
    return by if by in CHOICES else "type"


def _query(request: Request, fault: QueryError | None) -> str:
    """The restrictions that hold as the end of an address of the same value stream."""
    left_out = {"after", SAVED} if fault is None else {"after", SAVED, "dql"}
    pairs = [(name, value) for name, value in request.query_params.multi_items() if value and name not in left_out]
    return f"?{urlencode(pairs)}" if pairs else ""


def _toolbar(asked: Asked, board: Board, fault: QueryError | None) -> dict[str, Any]:
    chosen = {name: getattr(asked, field) for field, name in PARAMETERS.items()}
    return {
        "filters": {**chosen, "text": asked.text, "dql": asked.dql, "time": asked.window},
        "isRestricted": asked.restricts,
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
            "before": _line_of(asked.dql, fault)[: fault.column - 1],
            "at": _line_of(asked.dql, fault)[fault.column - 1 :],
        },
    }


def _line_of(text: str, fault: QueryError) -> str:
    lines = text.split("\n")
    return lines[fault.line - 1] if fault.line <= len(lines) else ""


def _figures(held: StageBoard, board: Board, now: datetime) -> dict[str, Any]:
    stage = held.stage
    limit = stage.wip_limit
    count = f"{held.count:,}" if limit is None else f"{held.count:,}/{limit:,}"
    single = held.count == 1 and limit is None
    return {
        "number": stage.number,
        "name": stage.name,
        "phase": stage.phase,
        "hasQuery": stage.query is not None,
        "count": held.count,
        "wipLimit": limit,
        "isOverLimit": limit is not None and held.count > limit,
        "said": f"{count} item{'' if single else 's'}",
        "averageAge": average_age(held, board, now),
    }


def _stage(layout: Layout, held: StageBoard, board: Board, legend: Legend, now: datetime) -> dict[str, Any]:
    spots, radius = places(len(held.dots))
    dots = [
        {**_dot(layout, held.stage, row, legend, now), "x": x, "y": y}
        for row, (x, y) in zip(held.dots, spots, strict=True)
    ]
    return {
        **_figures(held, board, now),
        "description": held.stage.description,
        "dots": dots,
        "radius": radius,
        "hidden": held.count - len(dots),
        "listed": LISTED,
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
