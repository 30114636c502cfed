"""Issues: the list with its filters, on the page and as files."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from rally_accelerate.host.store.search import Wanted
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.unheard import unheard
from rally_accelerate.host.web.issue_columns import COLUMNS, Told, as_object
from rally_accelerate.host.web.issue_files import Files
from rally_accelerate.host.web.issue_views import FACETS, PAGE, View, fault_of, view_of
from rally_accelerate.host.web.render import page
from rally_accelerate.host.web.routing import routed

#: What a search calls a field that people call otherwise.
SEARCHED = {"integration": "tracker"}

#: So many values of a field are counted, and so many shown before the rest is unfolded.
MOST_VALUES = 50
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
                "hints": await unheard(self._stores.database, view.query),
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
            "hints": await unheard(self._stores.database, view.query),
        }
        return StreamingResponse(Files(self._stores.search, view, told).as_json(around), media_type="application/json")

    async def as_csv(self, request: Request) -> Response:
        """A whole view for a spreadsheet."""
        view, told = view_of(request.query_params), await self._told()
        if fault := fault_of(view):
            return PlainTextResponse(f"The query cannot be read: {fault['message']}\n", 400)
        return StreamingResponse(
            Files(self._stores.search, view, told).as_csv(),
            media_type="text/csv; charset=utf-8; header=present",
            headers={"Content-Disposition": 'attachment; filename="issues.csv"'},
        )

    async def _told(self) -> Told:
        names = {one.id: one.name for one in await self._stores.integrations.all()}
        return Told(names, datetime.now(UTC))

    async def _as_of(self, view: View, told: Told) -> dict[Wanted, datetime] | None:
        """As of when each search of a page is told; None while one of them takes longer than people wait."""
        found = {}
        for wanted in (view.wanted(), *(view.wanted(without=facet) for facet in view.chosen)):
            moment = await self._stores.search.soon(wanted, now=told.now, seconds=SOON)
            if moment is None:
                return None
            found[wanted] = moment
        return found

    async def _facets(
        self, view: View, told: Told, as_of: Mapping[Wanted, datetime]
    ) -> dict[str, list[dict[str, Any]]]:
        """The values of each field and how many issues have them; a chosen field's as if none of it were chosen."""
        search, now = self._stores.search, told.now
        free = [SEARCHED.get(facet, facet) for facet in FACETS if facet not in view.chosen]
        wanted = view.wanted()
        counted = await search.facets(wanted, now=as_of.get(wanted, now), fields=free, most=MOST_VALUES)
        for facet in view.chosen:
            without = view.wanted(without=facet)
            fields = [SEARCHED.get(facet, facet)]
            counted |= await search.facets(without, now=as_of.get(without, now), fields=fields, most=MOST_VALUES)
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
