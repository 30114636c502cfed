"""Issues: the list with its filters, on the page and as files."""

import csv
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from rally_accelerate.dql.ast import Query
from rally_accelerate.errors import QueryError
from rally_accelerate.server.query_diagnostics import find_unknown_fields
from rally_accelerate.server.store.issue_search import IssueFilter, IssueRow, Search, Sort
from rally_accelerate.server.store.query_evaluator import parse_limited
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.web.issue_columns import COLUMNS, USUAL, Column, Told, as_cell, as_object, chosen, heading
from rally_accelerate.server.web.routing import routed
from rally_accelerate.server.web.templating import page

PAGE = 50
LARGEST_PAGE = 1000

#: So many values of one field may be asked for at once.
MOST_FILTER_VALUES = 100
LONGEST_TEXT = 1000

#: What a list can be narrowed down by: the name in the address, for people, and in a search.
FACETS: Mapping[str, tuple[str, str]] = {
    "type": ("Type", "types"),
    "status": ("Status", "statuses"),
    "priority": ("Priority", "priorities"),
    "owner": ("Owner", "owners"),
    "project": ("Project", "projects"),
    "sprint": ("Sprint", "sprints"),
    "release": ("Release", "releases"),
    "label": ("Label", "labels"),
    "integration": ("Integration", "tracker_ids"),
}

#: These begin with their largest value.
LARGEST_FIRST = frozenset({Sort.UPDATED, Sort.CREATED, Sort.POINTS, Sort.AGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which issues, in which order, with which columns."""

    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    text: str = ""
    dql: str = ""
    sort: Sort = Sort.UPDATED
    descending: bool = True
    columns: tuple[Column, ...]
    #: Where the page begins.
    after: str = ""
    #: None where none was asked for: a page has its usual length then, and a file everything.
    limit: int | None = None

    @property
    def query(self) -> Query | None:
        """What the text in the value streams' language means.

        Raises:
            QueryError: It cannot be read.
        """
        return parse_limited(self.dql) if self.dql else None

    @property
    def narrowed(self) -> bool:
        """Whether anything is left out."""
        return bool(self.text or self.dql or any(self.chosen.values()))

    def wanted(self, *, without: str = "") -> IssueFilter:
        """The search for it; without one field's values to see which others there are.

        Raises:
            QueryError: Its query cannot be read.
        """
        query = self.query
        among: dict[str, Any] = {
            name: self.chosen.get(facet, ()) for facet, (_, name) in FACETS.items() if facet != without
        }
        return IssueFilter(text=self.text, queries=(query,) if query is not None else (), **among)

    def parameters(self, *, leave_out: str = "") -> list[tuple[str, str]]:
        """What its address says; nothing that is as usual."""
        order = f"{'-' if self.descending else ''}{self.sort}"
        names = tuple(column.name for column in self.columns)
        everything = [
            *((facet, value) for facet in FACETS for value in self.chosen.get(facet, ())),
            ("text", self.text),
            ("dql", self.dql),
            ("sort", "" if order == f"-{Sort.UPDATED}" else order),
            *(("column", name) for name in names if names != USUAL),
            ("limit", "" if self.limit is None else str(self.limit)),
            ("after", self.after),
        ]
        return [(name, value) for name, value in everything if value and name not in leave_out.split()]

    def address(self, path: str = "/issues") -> str:
        """Where it is."""
        query = urlencode(self.parameters())
        return f"{path}?{query}" if query else path

    def toggled(self, facet: str, value: str) -> "View":
        """With one more value of a field, or without it."""
        values = self.chosen.get(facet, ())
        changed = tuple(each for each in values if each != value) if value in values else (*values, value)
        return replace(self, chosen={**self.chosen, facet: changed}, after="")

    def ordered(self, sort: Sort) -> "View":
        """By another column, or by the same one the other way round."""
        descending = not self.descending if sort is self.sort else sort in LARGEST_FIRST
        return replace(self, sort=sort, descending=descending, after="")


def view_of(given: QueryParams) -> View:
    """The view of an address; what makes no sense in it is taken as usual."""
    order = given.get("sort", "").strip()
    try:
        sort, descending = Sort(order.removeprefix("-")), order.startswith("-")
    except ValueError:
        sort, descending = Sort.UPDATED, True
    values = {facet: _several(given, facet) for facet in FACETS}
    return View(
        chosen={facet: several for facet, several in values.items() if several},
        text=given.get("text", "").strip()[:LONGEST_TEXT],
        dql=given.get("dql", "").strip(),
        sort=sort,
        descending=descending,
        columns=chosen(given.getlist("column")),
        after=given.get("after", ""),
        limit=_limit(given.get("limit", "")),
    )


def fault_of(view: View) -> dict[str, Any] | None:
    """What is wrong with the query of a view, with its line and a mark below its place; None when nothing is."""
    try:
        _ = view.query
    except QueryError as error:
        lines = view.dql.splitlines() or [""]
        line = lines[min(max(error.line or 1, 1), len(lines)) - 1]
        return {
            "message": str(error),
            "line": error.line,
            "column": error.column,
            "expected": list(error.expected),
            "text": line,
            "mark": " " * (max(error.column or 1, 1) - 1) + "^",
        }
    return None


def _several(given: QueryParams, facet: str) -> tuple[str, ...]:
    values = (value for value in given.getlist(facet) if value)
    return tuple(dict.fromkeys(values))[:MOST_FILTER_VALUES]


def _limit(text: str) -> int | None:
    if not (text.isdecimal() and len(text) <= len(str(LARGEST_PAGE))):
        return None
    return min(max(int(text), 1), LARGEST_PAGE)


#: So many rows are read at once.
AT_ONCE = 500


class Files:
    """Writes views; a file holds nothing in memory but the rows that were just read.

    Args:
        search: Where the rows are read.
        view: Which; from its beginning, or from where its page begins.
        told: What values need beside their rows.
    """

    def __init__(self, search: Search, view: View, told: Told) -> None:
        self._search = search
        self._view = view
        self._told = told
        self._more = ""

    async def as_csv(self) -> AsyncIterator[bytes]:
        """CSV (RFC 4180) in UTF-8, with a row of headings, in the view's columns."""
        columns = self._view.columns
        yield _line([heading(column) for column in columns])
        async for rows in self._pages():
            yield b"".join(_line([as_cell(column, row, self._told) for column in columns]) for row in rows)

    async def as_json(self, around: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """One JSON object: what is given, the rows as ``issues``, and as ``more`` where a limit ended them."""
        yield orjson.dumps(dict(around))[:-1] + (b"," if around else b"") + b'"issues":['
        first = True
        async for rows in self._pages():
            text = b",".join(orjson.dumps(as_object(row, self._told)) for row in rows)
            yield text if first else b"," + text
            first = False
        yield b'],"more":' + orjson.dumps(self._more) + b"}"

    async def _pages(self) -> AsyncIterator[list[IssueRow]]:
        view, after, left = self._view, self._view.after, self._view.limit
        wanted = view.wanted()
        while left is None or left > 0:
            found = await self._search.page(
                wanted,
                now=self._told.now,
                sort=view.sort,
                descending=view.descending,
                after=after,
                limit=AT_ONCE if left is None else min(left, AT_ONCE),
            )
            if found.rows:
                yield found.rows
            after = found.after
            if not after:
                return
            left = None if left is None else left - len(found.rows)
        self._more = replace(view, after=after).address("/issues.json")


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode("utf-8", "replace")


#: What a search calls a field that people call otherwise.
SEARCHED = {"integration": "tracker"}

#: So many values of a field are counted, and so many shown before the rest is unfolded.
MOST_FACET_VALUES = 50
SHOWN_VALUES = 6

#: So many seconds people wait for a search, before they are told that it takes longer.
SOON = 0.3


class IssuePages:
    """The list of issues."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def routes(self) -> list[Route]:
        """Its addresses."""
        return [
            routed("/issues", self.listed),
            routed("/issues.json", self.as_json),
            routed("/issues.csv", self.as_csv),
        ]

    async def listed(self, request: Request) -> Response:
        """One page of a view."""
        view, told = view_of(request.query_params), await self._told()
        fault = fault_of(view)
        data: dict[str, Any] = {
            "title": "Issues",
            "view": view,
            "columns": view.columns,
            "all_columns": list(COLUMNS.values()),
            "fault": fault,
            "names": told.names,
            "told": told,
            "chips": _chips(view, told),
            "labels": {facet: label for facet, (label, _) in FACETS.items()},
            "shown_values": SHOWN_VALUES,
            "everything": replace(view, chosen={}, text="", dql="", after="").address(),
            "first": replace(view, after="").address(),
            "files": {kind: replace(view, after="", limit=None).address(f"/issues.{kind}") for kind in ("csv", "json")},
            "is_looking": False,
            "rows": [],
            "hints": [],
            "facets": {},
            "count": 0,
            "next": "",
        }
        as_of = None if fault else await self._as_of(view, told)
        if fault is None and as_of is None:
            data["is_looking"] = True
        elif as_of is not None:
            wanted = view.wanted()
            found = await self._stores.search.page(
                wanted,
                now=as_of[wanted],
                sort=view.sort,
                descending=view.descending,
                after=view.after,
                limit=view.limit or PAGE,
            )
            data |= {
                "rows": [(row, as_object(row, told)) for row in found.rows],
                "count": await self._stores.search.count(wanted, now=as_of[wanted]),
                "facets": await self._facets(view, told, as_of),
                "hints": await find_unknown_fields(self._stores.database, view.query),
                "next": replace(view, after=found.after).address() if found.after else "",
            }
        return page(request, "issues.html", data, status=200 if fault is None else 400)

    async def as_json(self, request: Request) -> Response:
        """A whole view with its counts; with ``limit`` a part of it, and where it goes on."""
        view, told = view_of(request.query_params), await self._told()
        if fault := fault_of(view):
            return JSONResponse({"title": "Issues", "issues": [], "fault": fault}, 400)
        around = {
            "title": "Issues",
            "view": dict.fromkeys(FACETS, ()) | dict(view.chosen) | {"text": view.text, "dql": view.dql},
            "count": await self._stores.search.count(view.wanted(), now=told.now),
            "facets": await self._facets(view, told, {}),
            "hints": await find_unknown_fields(self._stores.database, view.query),
        }
        return StreamingResponse(Files(self._stores.search, view, told).as_json(around), media_type="application/json")

    async def as_csv(self, request: Request) -> Response:
        """A whole view for a spreadsheet."""
        view, told = view_of(request.query_params), await self._told()
        if fault := fault_of(view):
            return PlainTextResponse(f"Invalid query: {fault['message']}\n", 400)
        return StreamingResponse(
            Files(self._stores.search, view, told).as_csv(),
            media_type="text/csv; charset=utf-8; header=present",
            headers={"Content-Disposition": 'attachment; filename="issues.csv"'},
        )

    async def _told(self) -> Told:
        names = {one.id: one.name for one in await self._stores.integrations.all()}
        return Told(names, datetime.now(UTC))

    async def _as_of(self, view: View, told: Told) -> dict[IssueFilter, datetime] | None:
        """As of when each search of a page is told; None while one of them takes longer than people wait."""
        found = {}
        for wanted in (view.wanted(), *(view.wanted(without=facet) for facet in view.chosen)):
            moment = await self._stores.search.search_within(wanted, now=told.now, seconds=SOON)
            if moment is None:
                return None
            found[wanted] = moment
        return found

    async def _facets(
        self, view: View, told: Told, as_of: Mapping[IssueFilter, datetime]
    ) -> dict[str, list[dict[str, Any]]]:
        """The values of each field and how many issues have them; a chosen field's as if none of it were chosen."""
        search, now = self._stores.search, told.now
        free = [SEARCHED.get(facet, facet) for facet in FACETS if facet not in view.chosen]
        wanted = view.wanted()
        counted = await search.count_facets(wanted, now=as_of.get(wanted, now), fields=free, most=MOST_FACET_VALUES)
        for facet in view.chosen:
            without = view.wanted(without=facet)
            fields = [SEARCHED.get(facet, facet)]
            counted |= await search.count_facets(
                without, now=as_of.get(without, now), fields=fields, most=MOST_FACET_VALUES
            )
        found = {}
        for facet in FACETS:
            counts = dict(counted[SEARCHED.get(facet, facet)])
            # What is chosen can be taken away again, also when nothing has it.
            values = [*counts, *(value for value in view.chosen.get(facet, ()) if value not in counts)]
            found[facet] = [
                {
                    "value": value,
                    "name": told.names.get(value, value) if facet == "integration" else value,
                    "count": counts.get(value, 0),
                    "chosen": value in view.chosen.get(facet, ()),
                    "address": view.toggled(facet, value).address(),
                }
                for value in values
            ]
        return found


def _chips(view: View, told: Told) -> list[dict[str, str]]:
    """What narrows a view down, each with the address of the view without it."""
    found = [
        {
            "label": FACETS[facet][0],
            "value": told.names.get(value, value) if facet == "integration" else value,
            "address": view.toggled(facet, value).address(),
        }
        for facet, values in view.chosen.items()
        for value in values
    ]
    if view.text:
        found.append({"label": "Search", "value": view.text, "address": replace(view, text="", after="").address()})
    if view.dql:
        found.append({"label": "DQL", "value": view.dql, "address": replace(view, dql="", after="").address()})
    return found
