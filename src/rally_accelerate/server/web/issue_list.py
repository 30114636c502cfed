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
from rally_accelerate.server.web.issue_columns import (
    COLUMNS,
    USUAL,
    Column,
    RenderContext,
    as_cell,
    as_object,
    heading,
    select_columns,
)
from rally_accelerate.server.web.routing import role_route
from rally_accelerate.server.web.templating import render_page

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

    def search(self, *, without: str = "") -> IssueFilter:
        """Return the search of the view, optionally without the filter of one field.

        Raises:
            QueryError: Its query cannot be read.
        """
        query = self.query
        among: dict[str, Any] = {
            name: self.chosen.get(facet, ()) for facet, (_, name) in FACETS.items() if facet != without
        }
        return IssueFilter(text=self.text, queries=(query,) if query is not None else (), **among)

    def parameters(self, *, leave_out: str = "") -> list[tuple[str, str]]:
        """Return the query parameters of the view, without defaults."""
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
        """Return the URL of the view."""
        query = urlencode(self.parameters())
        return f"{path}?{query}" if query else path

    def toggle(self, facet: str, value: str) -> "View":
        """Return the view with a value of a field added or removed."""
        values = self.chosen.get(facet, ())
        changed = tuple(other for other in values if other != value) if value in values else (*values, value)
        return replace(self, chosen={**self.chosen, facet: changed}, after="")

    def sort_by(self, sort: Sort) -> "View":
        """Return the view sorted by a column, reversed if it is the current one."""
        descending = not self.descending if sort is self.sort else sort in LARGEST_FIRST
        return replace(self, sort=sort, descending=descending, after="")


def parse_view(query: QueryParams) -> View:
    """Parse the view from query parameters; invalid values get their defaults."""
    order = query.get("sort", "").strip()
    try:
        sort, descending = Sort(order.removeprefix("-")), order.startswith("-")
    except ValueError:
        sort, descending = Sort.UPDATED, True
    values = {facet: _values_of(query, facet) for facet in FACETS}
    return View(
        chosen={facet: several for facet, several in values.items() if several},
        text=query.get("text", "").strip()[:LONGEST_TEXT],
        dql=query.get("dql", "").strip(),
        sort=sort,
        descending=descending,
        columns=select_columns(query.getlist("column")),
        after=query.get("after", ""),
        limit=_limit(query.get("limit", "")),
    )


def query_fault(view: View) -> dict[str, Any] | None:
    """Return the problem of a view's query with its line and a position marker; None if the query is valid."""
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


def _values_of(query: QueryParams, facet: str) -> tuple[str, ...]:
    values = (value for value in query.getlist(facet) if value)
    return tuple(dict.fromkeys(values))[:MOST_FILTER_VALUES]


def _limit(text: str) -> int | None:
    if not (text.isdecimal() and len(text) <= len(str(LARGEST_PAGE))):
        return None
    return min(max(int(text), 1), LARGEST_PAGE)


#: So many rows are read at once.
AT_ONCE = 500


class IssueExport:
    """Writes views; a file holds nothing in memory but the rows that were just read.

    Args:
        search: Where the rows are read.
        view: Which; from its beginning, or from where its page begins.
        told: What values need beside their rows.
    """

    def __init__(self, search: Search, view: View, context: RenderContext) -> None:
        self._search = search
        self._view = view
        self._context = context
        self._more = ""

    async def as_csv(self) -> AsyncIterator[bytes]:
        """CSV (RFC 4180) in UTF-8, with a row of headings, in the view's columns."""
        columns = self._view.columns
        yield _line([heading(column) for column in columns])
        async for rows in self._pages():
            yield b"".join(_line([as_cell(column, row, self._context) for column in columns]) for row in rows)

    async def as_json(self, around: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """Yield one JSON object: the given members, the rows as ``issues``, and the next page as ``more``."""
        yield orjson.dumps(dict(around))[:-1] + (b"," if around else b"") + b'"issues":['
        first = True
        async for rows in self._pages():
            text = b",".join(orjson.dumps(as_object(row, self._context)) for row in rows)
            yield text if first else b"," + text
            first = False
        yield b'],"more":' + orjson.dumps(self._more) + b"}"

    async def _pages(self) -> AsyncIterator[list[IssueRow]]:
        view, after, remaining = self._view, self._view.after, self._view.limit
        search = view.search()
        while remaining is None or remaining > 0:
            page_of_rows = await self._search.page(
                search,
                now=self._context.now,
                sort=view.sort,
                descending=view.descending,
                after=after,
                limit=AT_ONCE if remaining is None else min(remaining, AT_ONCE),
            )
            if page_of_rows.rows:
                yield page_of_rows.rows
            after = page_of_rows.after
            if not after:
                return
            remaining = None if remaining is None else remaining - len(page_of_rows.rows)
        self._more = replace(view, after=after).address("/issues.json")


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode("utf-8", "replace")


#: What a search calls a field that people call otherwise.
SEARCH_FIELDS = {"integration": "tracker"}

#: So many values of a field are counted, and so many shown before the rest is unfolded.
MOST_FACET_VALUES = 50
VISIBLE_FACET_VALUES = 6

#: Seconds to wait for a search before the page says that it takes longer.
SEARCH_TIMEOUT = 0.3


class IssuePages:
    """The list of issues."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            role_route("/issues", self.index),
            role_route("/issues.json", self.as_json),
            role_route("/issues.csv", self.as_csv),
        ]

    async def index(self, request: Request) -> Response:
        """Show one page of a view."""
        view, context = parse_view(request.query_params), await self._context()
        fault = query_fault(view)
        data: dict[str, Any] = {
            "title": "Issues",
            "view": view,
            "columns": view.columns,
            "all_columns": list(COLUMNS.values()),
            "fault": fault,
            "names": context.names,
            "told": context,
            "chips": _chips(view, context),
            "labels": {facet: label for facet, (label, _) in FACETS.items()},
            "shown_values": VISIBLE_FACET_VALUES,
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
        as_of = None if fault else await self._as_of(view, context)
        if fault is None and as_of is None:
            data["is_looking"] = True
        elif as_of is not None:
            search = view.search()
            result = await self._stores.search.page(
                search,
                now=as_of[search],
                sort=view.sort,
                descending=view.descending,
                after=view.after,
                limit=view.limit or PAGE,
            )
            data |= {
                "rows": [(row, as_object(row, context)) for row in result.rows],
                "count": await self._stores.search.count(search, now=as_of[search]),
                "facets": await self._facets(view, context, as_of),
                "hints": await find_unknown_fields(self._stores.database, view.query),
                "next": replace(view, after=result.after).address() if result.after else "",
            }
        return render_page(request, "issues.html", data, status=200 if fault is None else 400)

    async def as_json(self, request: Request) -> Response:
        """Export a view with its counts as JSON; with ``limit``, one page and the URL of the next one."""
        view, context = parse_view(request.query_params), await self._context()
        if fault := query_fault(view):
            return JSONResponse({"title": "Issues", "issues": [], "fault": fault}, 400)
        around = {
            "title": "Issues",
            "view": dict.fromkeys(FACETS, ()) | dict(view.chosen) | {"text": view.text, "dql": view.dql},
            "count": await self._stores.search.count(view.search(), now=context.now),
            "facets": await self._facets(view, context, {}),
            "hints": await find_unknown_fields(self._stores.database, view.query),
        }
        return StreamingResponse(
            IssueExport(self._stores.search, view, context).as_json(around), media_type="application/json"
        )

    async def as_csv(self, request: Request) -> Response:
        """Export a view as CSV."""
        view, context = parse_view(request.query_params), await self._context()
        if fault := query_fault(view):
            return PlainTextResponse(f"Invalid query: {fault['message']}\n", 400)
        return StreamingResponse(
            IssueExport(self._stores.search, view, context).as_csv(),
            media_type="text/csv; charset=utf-8; header=present",
            headers={"Content-Disposition": 'attachment; filename="issues.csv"'},
        )

    async def _context(self) -> RenderContext:
        names = {one.id: one.name for one in await self._stores.integrations.all()}
        return RenderContext(names, datetime.now(UTC))

    async def _as_of(self, view: View, context: RenderContext) -> dict[IssueFilter, datetime] | None:
        """Return the time of the results of each search of a page; None while one of them is still running."""
        times = {}
        for search in (view.search(), *(view.search(without=facet) for facet in view.chosen)):
            moment = await self._stores.search.search_within(search, now=context.now, seconds=SEARCH_TIMEOUT)
            if moment is None:
                return None
            times[search] = moment
        return times

    async def _facets(
        self, view: View, context: RenderContext, as_of: Mapping[IssueFilter, datetime]
    ) -> dict[str, list[dict[str, Any]]]:
        """Return the values of each field with their counts; counts of a filtered field ignore its own filter."""
        search, now = self._stores.search, context.now
        free = [SEARCH_FIELDS.get(facet, facet) for facet in FACETS if facet not in view.chosen]
        criteria = view.search()
        counted = await search.count_facets(criteria, now=as_of.get(criteria, now), fields=free, most=MOST_FACET_VALUES)
        for facet in view.chosen:
            without = view.search(without=facet)
            fields = [SEARCH_FIELDS.get(facet, facet)]
            counted |= await search.count_facets(
                without, now=as_of.get(without, now), fields=fields, most=MOST_FACET_VALUES
            )
        facets = {}
        for facet in FACETS:
            counts = dict(counted[SEARCH_FIELDS.get(facet, facet)])
            # What is chosen can be taken away again, also when nothing has it.
            values = [*counts, *(value for value in view.chosen.get(facet, ()) if value not in counts)]
            facets[facet] = [
                {
                    "value": value,
                    "name": context.names.get(value, value) if facet == "integration" else value,
                    "count": counts.get(value, 0),
                    "chosen": value in view.chosen.get(facet, ()),
                    "address": view.toggle(facet, value).address(),
                }
                for value in values
            ]
        return facets


def _chips(view: View, context: RenderContext) -> list[dict[str, str]]:
    """Return the active filters, each with the URL of the view without it."""
    chips = [
        {
            "label": FACETS[facet][0],
            "value": context.names.get(value, value) if facet == "integration" else value,
            "address": view.toggle(facet, value).address(),
        }
        for facet, values in view.chosen.items()
        for value in values
    ]
    if view.text:
        chips.append({"label": "Search", "value": view.text, "address": replace(view, text="", after="").address()})
    if view.dql:
        chips.append({"label": "DQL", "value": view.dql, "address": replace(view, dql="", after="").address()})
    return chips
