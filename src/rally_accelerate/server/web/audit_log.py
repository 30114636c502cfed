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
from rally_accelerate.server.web.routing import routed, shown
from rally_accelerate.server.web.templating import page, segment

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
        """Their addresses."""
        return [
            *shown("/audit", self.listed, role=Role.ADMIN),
            routed("/audit.csv", self.table, role=Role.ADMIN),
        ]

    async def listed(self, request: Request) -> Response:
        """Who did what, newest first."""
        wanted, faults = _wanted(request)
        before = request.query_params.get("before", "")
        known = int(before) if before.isdecimal() and len(before) < len(str(2**63)) else None
        entries = await self._stores.audit.list_entries(wanted, before=known, limit=PAGE + 1)
        filters = {
            name: request.query_params.get(name, "") for name in ("actor", "action", "kind", "text", "from", "to")
        }
        given = {name: value for name, value in filters.items() if value}
        more = "?" + urlencode({**given, "before": entries[PAGE - 1].id}) if len(entries) > PAGE else ""
        data = {
            "title": "Audit log",
            "entries": [entry_row(one) for one in entries[:PAGE]],
            "filters": filters,
            "faults": faults,
            "choices": await self._stores.audit.list_choices(),
            "more": more,
            "csv": "/audit.csv" + (f"?{urlencode(given)}" if given else ""),
        }
        return page(request, "audit.html", data, status=400 if faults else 200)

    async def table(self, request: Request) -> Response:
        """The same entries for a spreadsheet."""
        wanted, faults = _wanted(request)
        if faults:
            return await self.listed(request)
        written = io.StringIO()
        rows = csv.writer(written)
        rows.writerow(COLUMNS)
        for entry in await self._stores.audit.list_entries(wanted, limit=MOST_ROWS):
            row = entry_row(entry)
            rows.writerow([_cell(row[name]) for name in COLUMNS])
        headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
        return Response(written.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def entry_row(entry: AuditEntry) -> dict[str, Any]:
    """An entry in lists."""
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
    """Where the thing can be looked at; empty where it has no page, or went with this entry."""
    place = PLACES.get(entry.kind, "")
    return f"{place}/{segment(entry.object_id)}" if place and entry.object_id and entry.action not in ENDS else ""


def _wanted(request: Request) -> tuple[AuditFilter, dict[str, str]]:
    given = request.query_params
    faults: dict[str, str] = {}
    days = {name: _day(given.get(name, ""), name, faults) for name in ("from", "to")}
    return (
        AuditFilter(
            actor=given.get("actor", ""),
            action=given.get("action", ""),
            kind=given.get("kind", ""),
            text=given.get("text", "").strip(),
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
        found = datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
        found + timedelta(days=1)
    except (ValueError, OverflowError):
        faults[name] = f"{text[:20]!r} is not a valid date. Use a date such as 2026-01-31."
        return None
    return found


def _cell(value: Any) -> str:
    match value:
        case datetime():
            text = value.isoformat()
        case dict():
            text = "; ".join(f"{name}: {each}" for name, each in value.items())
        case _:
            text = str(value)
    # Spreadsheets take such a beginning for a formula, and names may come from anybody.
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
