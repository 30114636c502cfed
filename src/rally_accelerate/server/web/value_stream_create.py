"""Wizard to create a value stream: name, integrations and stages, or a file."""

import asyncio
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.config.model import DEFAULT_TENANT
from rally_accelerate.errors import ConfigError, OutdatedError, Problem, StoreError
from rally_accelerate.server.form_drafts import ExpiringStore
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.store.issue_search import IssueFilter
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.value_streams import defaults
from rally_accelerate.server.value_streams.document_text import parse_document
from rally_accelerate.server.value_streams.importer import Importer
from rally_accelerate.server.web.error_pages import unsaved_message
from rally_accelerate.server.web.forms import Form, parse_form
from rally_accelerate.server.web.routing import actor_of, page_routes, post_route
from rally_accelerate.server.web.templating import render_page
from rally_accelerate.server.web.value_stream_file import MOST_PREVIEWS, plan_data

#: More statuses than these are not laid out by hand.
MOST_STATUSES = 100

STARTS = {
    "statuses": "From the statuses of my issues",
    "default": "Default stages",
    "empty": "Empty",
    "file": "From a JSON file",
}


@dataclass(frozen=True, slots=True)
class _PendingImport:
    """A file that was shown as a preview; its secrets stay in the process."""

    name: str
    document: Any


class ValueStreamCreatePages:
    """The steps of the wizard."""

    def __init__(self, stores: Stores, importing: Importer) -> None:
        self._stores = stores
        self._importing = importing
        self._pending: ExpiringStore[_PendingImport] = ExpiringStore(most=MOST_PREVIEWS)

    def routes(self) -> list[Route]:
        """Return the routes, which must precede those of one value stream because its ID could be ``new``."""
        return [
            *page_routes("/value-streams/new", self.show_name, role=Role.EDITOR),
            post_route("/value-streams/new", self.submit_name),
            post_route("/value-streams/new/file/{token:str}", self.apply),
            *page_routes("/value-streams/new/integrations", self.show_integrations, role=Role.EDITOR),
            *page_routes("/value-streams/new/stages", self.show_stages, role=Role.EDITOR),
            post_route("/value-streams/new/stages", self.submit_stages),
        ]

    async def show_name(self, request: Request) -> Response:
        """Step 1: name, description, with what it begins."""
        query = request.query_params
        return _name_page(request, query.get("name", ""), query.get("description", ""), "statuses", ())

    async def submit_name(self, request: Request) -> Response:
        """Submit step 1: create the value stream, continue with step 2, or preview a file."""
        try:
            form = await parse_form(request)
        except ConfigError as error:
            return _name_page(request, "", "", "file", error.problems)
        name, start = " ".join(form["name"].split()), form["start"]
        description = form["description"].strip()
        if start == "statuses" and name:
            if await self._is_name_in_use(name):
                # Told now, and not after two more steps.
                return _name_page(
                    request,
                    name,
                    description,
                    start,
                    [Problem("name", f"A value stream named “{name}” already exists")],
                )
            query = urlencode({"name": name, "description": description})
            return RedirectResponse(f"/value-streams/new/integrations?{query}", 303)
        try:
            document = await asyncio.to_thread(_initial_document, form, start, description)
            if start == "file":
                stream_name = name or " ".join(str(document.get("name") or "").split())
                return await self._preview(request, _PendingImport(stream_name, document))
            _require_name(name)
            stream = await self._importing.create(document, actor=actor_of(request), name=name)
        except (ConfigError, OutdatedError, StoreError) as error:
            return _name_page(request, name, description, start, _problems(error))
        return RedirectResponse(f"/value-streams/{stream.id}", 303)

    async def _preview(self, request: Request, pending: _PendingImport, *, refused: str = "") -> Response:
        """Show a preview of a file before anything is created.

        Raises:
            ConfigError: With everything that is wrong with it.
        """
        plan, actor = await self._importing.plan(pending.document), actor_of(request)
        _require_name(pending.name)
        if await self._is_name_in_use(pending.name):
            raise ConfigError("", problems=[Problem("name", f"A value stream named “{pending.name}” already exists")])
        token = self._pending.choose_key(actor)
        self._pending.put(actor, token, pending)
        data = {
            "title": "New value stream",
            "name": pending.name,
            "plan": plan_data(plan),
            "token": token,
            "refused": refused,
        }
        return render_page(request, "stream_create_preview.html", data, status=409 if refused else 200)

    async def apply(self, request: Request) -> Response:
        """Create the value stream whose preview was shown."""
        actor, token = actor_of(request), request.path_params["token"]
        pending = self._pending.get(actor, token)
        if pending is None:
            problem = Problem("", "the preview has expired; choose the file again")
            return _name_page(request, "", "", "file", [problem])
        try:
            try:
                stream = await self._importing.create(pending.document, actor=actor, name=pending.name)
            except (OutdatedError, StoreError) as error:
                message = unsaved_message(error) if isinstance(error, StoreError) else str(error)
                return await self._preview(request, pending, refused=message)
        except ConfigError as error:
            return _name_page(request, pending.name, "", "file", _problems(error))
        self._pending.delete(actor, token)
        return RedirectResponse(f"/value-streams/{stream.id}?saved={stream.version}", 303)

    async def show_integrations(self, request: Request) -> Response:
        """Step 2: where items come from."""
        query = request.query_params
        counts = await self._stores.issues.count_by_tracker()
        rows = [
            {"name": one.name, "issues": counts.get(one.id, 0), "disabled": one.disabled}
            for one in await self._stores.integrations.all()
            if one.tenant_id == DEFAULT_TENANT
        ]
        data = {
            "title": "New value stream",
            "name": query.get("name", ""),
            "description": query.get("description", ""),
            "integrations": rows,
        }
        return render_page(request, "stream_sources.html", data)

    async def show_stages(self, request: Request) -> Response:
        """Step 3: phases and stages, from the statuses that issues have."""
        query = request.query_params
        chosen = query.getlist("integration")
        statuses = await self._statuses(chosen)
        rows = [_line(row) for row in defaults.suggest_rows(statuses)]
        return _stages_page(
            request, name=query.get("name", ""), description=query.get("description", ""), chosen=chosen, rows=rows
        )

    async def submit_stages(self, request: Request) -> Response:
        """Create the value stream from step 3."""
        try:
            form = await parse_form(request)
        except ConfigError as error:
            return _name_page(request, "", "", "statuses", error.problems)
        lines = _lines(form)
        chosen, description = form.all("integration"), form["description"]
        try:
            document = defaults.build_document(
                _rows(lines), description=description, tenant_id=DEFAULT_TENANT, integrations=chosen
            )
            _require_phase(document)
            stream = await self._importing.create(document, actor=actor_of(request), name=form["name"])
        except (ConfigError, OutdatedError, StoreError) as error:
            return _stages_page(
                request,
                name=form["name"],
                description=description,
                chosen=chosen,
                rows=lines,
                problems=_problems(error),
            )
        return RedirectResponse(f"/value-streams/{stream.id}", 303)

    async def _is_name_in_use(self, name: str) -> bool:
        names = [one.name for one in await self._stores.streams.all() if one.tenant_id == DEFAULT_TENANT]
        return name.casefold() in map(str.casefold, names)

    async def _statuses(self, chosen: Sequence[str]) -> list[str]:
        known = {one.name: one.id for one in await self._stores.integrations.all() if one.tenant_id == DEFAULT_TENANT}
        trackers = tuple(known[name] for name in chosen if name in known)
        criteria = IssueFilter(tenant_id=DEFAULT_TENANT, tracker_ids=trackers)
        facets = await self._stores.search.count_facets(
            criteria, now=datetime.now(UTC), fields=("status",), most=MOST_STATUSES
        )
        return [value for value, _ in facets["status"]]


def _initial_document(form: Form, start: str, description: str) -> dict[str, Any]:
    match start:
        case "file":
            if not form.has_file("file"):
                raise ConfigError("", problems=[Problem("file", "Choose a JSON file")])
            document = parse_document(form.content("file"))
            if isinstance(document, dict) and description:
                document["description"] = description
            if not isinstance(document, dict):
                raise ConfigError("", problems=[Problem("", "the file must contain one JSON object { … }")])
            return document
        case "empty":
            return defaults.empty(description=description, tenant_id=DEFAULT_TENANT)
        case _:
            return defaults.default(description=description, tenant_id=DEFAULT_TENANT)


def _require_name(name: str) -> None:
    if not name.strip():
        raise ConfigError("", problems=[Problem("name", "Enter a name")])


def _require_phase(document: Mapping[str, Any]) -> None:
    if not document["phases"]:
        raise ConfigError("", problems=[Problem("", "Assign at least one status to a phase")])


def _line(row: defaults.Row) -> dict[str, str]:
    limit = "" if row.wip_limit is None else str(row.wip_limit)
    return {"status": row.status, "phase": row.phase, "stage": row.stage, "limit": limit}


def _lines(form: Form) -> list[dict[str, str]]:
    columns = [form.all(name) for name in ("status", "phase", "stage", "limit")]
    return [
        {"status": status, "phase": " ".join(phase.split()), "stage": " ".join(stage.split()), "limit": limit.strip()}
        for status, phase, stage, limit in zip(*columns, strict=False)
    ]


def _rows(lines: Sequence[Mapping[str, str]]) -> list[defaults.Row]:
    problems = [
        Problem(f"limit.{line['status']}", "Enter a whole number of at least 1")
        for line in lines
        if line["limit"] and not (line["limit"].isdecimal() and int(line["limit"][:9]) > 0)
    ]
    if problems:
        raise ConfigError("", problems=problems)
    return [
        defaults.Row(line["status"], line["phase"], line["stage"], int(line["limit"][:9]) if line["limit"] else None)
        for line in lines
    ]


def _problems(error: ConfigError | OutdatedError | StoreError) -> Sequence[Problem]:
    if isinstance(error, StoreError):
        # On a full disk, what was typed must not be lost as well.
        return [Problem("", unsaved_message(error))]
    problems: Sequence[Problem] = getattr(error, "problems", ())
    return problems or [Problem("", str(error))]


def _form_faults(problems: Sequence[Problem], fields: Container[str]) -> dict[str, Any]:
    """Return the problems by field, and those without a field for the top of the form."""
    return {
        "faults": {problem.path: problem.text for problem in problems if problem.path in fields},
        "problems": [str(problem) for problem in problems if problem.path not in fields],
    }


def _name_page(request: Request, name: str, description: str, start: str, problems: Sequence[Problem]) -> Response:
    data = {
        "title": "New value stream",
        "name": name,
        "description": description,
        "start": start if start in STARTS else "statuses",
        "starts": STARTS,
        **_form_faults(problems, {"name", "file"}),
    }
    return render_page(request, "stream_new.html", data, status=400 if problems else 200)


def _stages_page(
    request: Request,
    *,
    name: str,
    description: str,
    chosen: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    problems: Sequence[Problem] = (),
) -> Response:
    data = {
        "title": "New value stream",
        "name": name,
        "description": description,
        "chosen": chosen,
        "rows": rows,
        "phases": defaults.PHASES,
        **_form_faults(problems, {"name", *(f"limit.{row['status']}" for row in rows)}),
    }
    return render_page(request, "stream_stages.html", data, status=400 if problems else 200)
