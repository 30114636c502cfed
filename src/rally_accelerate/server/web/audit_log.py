"""The audit log, for administrators."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rally_accelerate.server.permissions import Role
from rally_accelerate.server.store.audit_log import AuditEntry, AuditFilter
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.web.routing import page_routes, role_route
from rally_accelerate.server.web.templating import quote_segment, render_page

PAGE = 100

#: More would be no list for a spreadsheet; a narrower time shows the rest.
MOST_ROWS = 50_000

#: Which things have a page, and where.
PLACES = {"user": "/users", "value stream": "/value-streams", "integration": "/settings/integrations"}

#: What is done last to a thing.
ENDS = frozenset({"deleted", "removed"})

COLUMNS = ("id", "at", "actor", "action", "kind", "name", "objectId", "detail")


class AuditPages:
    """The pages of the audit log."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *page_routes("/audit", self.index, role=Role.ADMIN),
            role_route("/audit.csv", self.as_csv, role=Role.ADMIN),
        ]

    async def index(self, request: Request) -> Response:
        """List the events, newest first."""
        criteria, faults = _parse_filters(request)
        before = request.query_params.get("before", "")
        known = int(before) if before.isdecimal() and len(before) < len(str(2**63)) else None
        entries = await self._stores.audit.list_entries(criteria, before=known, limit=PAGE + 1)
        filters = {
            name: request.query_params.get(name, "") for name in ("actor", "action", "kind", "text", "from", "to")
        }
        active = {name: value for name, value in filters.items() if value}
        more = "?" + urlencode({**active, "before": entries[PAGE - 1].id}) if len(entries) > PAGE else ""
        data = {
            "title": "Audit log",
            "entries": [entry_row(one) for one in entries[:PAGE]],
            "filters": filters,
            "faults": faults,
            "choices": await self._stores.audit.list_choices(),
            "more": more,
            "csv": "/audit.csv" + (f"?{urlencode(active)}" if active else ""),
        }
        return render_page(request, "audit.html", data, status=400 if faults else 200)

    async def as_csv(self, request: Request) -> Response:
        """Export the events as CSV."""
        criteria, faults = _parse_filters(request)
        if faults:
            return await self.index(request)
        output = io.StringIO()
        rows = csv.writer(output)
        rows.writerow(COLUMNS)
        for entry in await self._stores.audit.list_entries(criteria, limit=MOST_ROWS):
            row = entry_row(entry)
            rows.writerow([_cell(row[name]) for name in COLUMNS])
        headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
        return Response(output.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def entry_row(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry as a row of a list."""
    return {
        "id": entry.id,
        "at": entry.at,
        "actor": entry.actor,
        "actorId": entry.actor_id,
        "action": entry.action,
        "kind": entry.kind,
        "objectId": entry.object_id,
        "name": entry.name,
        "address": _address(entry),
        "detail": dict(entry.detail),
    }


def _address(entry: AuditEntry) -> str:
    """Return the page of an entry's target; empty if it has none or was deleted."""
    place = PLACES.get(entry.kind, "")
    return f"{place}/{quote_segment(entry.object_id)}" if place and entry.object_id and entry.action not in ENDS else ""


def _parse_filters(request: Request) -> tuple[AuditFilter, dict[str, str]]:
    query = request.query_params
    faults: dict[str, str] = {}
    days = {name: _day(query.get(name, ""), name, faults) for name in ("from", "to")}
    return (
        AuditFilter(
            actor=query.get("actor", ""),
            action=query.get("action", ""),
            kind=query.get("kind", ""),
            text=query.get("text", "").strip(),
            since=days["from"],
            # The last day is meant whole.
            until=days["to"] + timedelta(days=1) if days["to"] else None,
        ),
        faults,
    )


def _day(text: str, name: str, faults: dict[str, str]) -> datetime | None:
    if not text.strip():
        return None
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
        day + timedelta(days=1)
    except (ValueError, OverflowError):
        faults[name] = f"{text[:20]!r} is not a valid date. Use a date such as 2026-01-31."
        return None
    return day


def _cell(value: Any) -> str:
    match value:
        case datetime():
            text = value.isoformat()
        case dict():
            text = "; ".join(f"{name}: {item}" for name, item in value.items())
        case _:
            text = str(value)
    # Spreadsheets take such a beginning for a formula, and names may come from anybody.
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
