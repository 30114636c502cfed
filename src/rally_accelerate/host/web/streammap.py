"""The map of a value stream, the list of one of its stages, and the card of one item."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rally_accelerate.dql.parse import parse
from rally_accelerate.errors import QueryError
from rally_accelerate.host.store.search import Row
from rally_accelerate.host.store.streams import StoredStream
from rally_accelerate.host.store.values import ms
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams.alerts import alerts_of_row
from rally_accelerate.host.streams.board import FIELDS, FIRST_SECONDS, Asked, Board, Boards, StageBoard, average_age
from rally_accelerate.host.streams.checks import WINDOWS
from rally_accelerate.host.streams.colours import CHOICES, Legend, legend_of
from rally_accelerate.host.streams.difference import differences
from rally_accelerate.host.streams.document import integrations_of
from rally_accelerate.host.streams.layout import Layout, Stage, layout_of
from rally_accelerate.host.streams.undrawn import undrawn
from rally_accelerate.host.unheard import unheard
from rally_accelerate.host.web.render import missing, page
from rally_accelerate.host.web.routing import routed
from rally_accelerate.host.web.streams import GONE, frame
from rally_accelerate.host.web.sunflower import places

PAGE = 50

#: So many items of a stage are listed beside its dots.
LISTED = 8

#: The parameter that names the version which was just saved, and for how long that is told.
SAVED = "saved"
TOLD_FOR = timedelta(minutes=10)

ADDED = ("added", "integration")

TIMES = {
    "ALL": "any time",
    "HOUR24": "24 hours",
    "DAY7": "7 days",
    "DAY30": "30 days",
    "DAY90": "90 days",
    "MONTH6": "6 months",
    "YEAR1": "a year",
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
        self, request: Request, stream: StoredStream, asked: Asked, now: datetime
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

    async def _gone(self, stream: StoredStream) -> list[str]:
        """A sentence for each integration that was removed since."""
        known = {one.id for one in await self._stores.integrations.all()}
        # Those of other tools stand in the document alone, with their settings.
        its = [entry for _, entry in integrations_of(stream.document) if entry.get("_id") and "properties" not in entry]
        return [
            f"The integration {entry['name'].strip()} was removed; nothing comes from it any more."
            for entry in its
            if entry["_id"] not in known
        ]

    async def _saved(self, request: Request, stream: StoredStream, now: datetime) -> dict[str, Any] | None:
        """What was just made valid: the version that the address names, while it is new."""
        if request.query_params.get(SAVED) != str(stream.version):
            return None
        found = await self._stores.streams.versions(stream.id, limit=2)
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
        return await unheard(self._stores.database, parse(asked.dql)) if asked.dql else []


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


def _dot(layout: Layout, stage: Stage, row: Row, legend: Legend | None, now: datetime) -> dict[str, Any]:
    return {
        "tracker": row.tracker_id,
        "key": row.external_id,
        "id": row.display_id,
        "name": row.name,
        "type": row.type,
        "status": row.status,
        "priority": row.priority,
        "owner": row.owner,
        "age": ms(now) - row.status_since,
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
