"""Creating a value stream in plain forms: its name and with what it begins, its integrations and stages, or a file."""

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
from rally_accelerate.server.value_streams.document_text import read
from rally_accelerate.server.value_streams.importer import Importing
from rally_accelerate.server.web.error_pages import unkept
from rally_accelerate.server.web.forms import Form, submitted
from rally_accelerate.server.web.routing import actor_of, posted, shown
from rally_accelerate.server.web.templating import page
from rally_accelerate.server.web.value_stream_file import MOST_PREVIEWS, planned

#: More statuses than these are not laid out by hand.
MOST_STATUSES = 100

STARTS = {
    "statuses": "From the statuses of my issues",
    "default": "Default stages",
    "empty": "Empty",
    "file": "From a JSON file",
}


@dataclass(frozen=True, slots=True)
class _Begun:
    """A file that was shown as a preview; its secrets stay in the process."""

    name: str
    document: Any


class NewStreamPages:
    """The steps of the wizard."""

    def __init__(self, stores: Stores, importing: Importing) -> None:
        self._stores = stores
        self._importing = importing
        self._begun: ExpiringStore[_Begun] = ExpiringStore(most=MOST_PREVIEWS)

    def routes(self) -> list[Route]:
        """Their addresses; before the page of one value stream, whose id could be ``new`` else."""
        return [
            *shown("/value-streams/new", self.name, role=Role.EDITOR),
            posted("/value-streams/new", self.begin),
            posted("/value-streams/new/file/{token:str}", self.apply),
            *shown("/value-streams/new/integrations", self.integrations, role=Role.EDITOR),
            *shown("/value-streams/new/stages", self.stages, role=Role.EDITOR),
            posted("/value-streams/new/stages", self.made),
        ]

    async def name(self, request: Request) -> Response:
        """Step 1: name, description, with what it begins."""
        given = request.query_params
        return _first(request, given.get("name", ""), given.get("description", ""), "statuses", ())

    async def begin(self, request: Request) -> Response:
        """What step 1 asked for: the value stream, step 2, or what a file comes to."""
        try:
            form = await submitted(request)
        except ConfigError as error:
            return _first(request, "", "", "file", error.problems)
        name, start = " ".join(form["name"].split()), form["start"]
        description = form["description"].strip()
        if start == "statuses" and name:
            if await self._is_taken(name):
                # Told now, and not after two more steps.
                return _first(
                    request,
                    name,
                    description,
                    start,
                    [Problem("name", f"A value stream named “{name}” already exists")],
                )
            query = urlencode({"name": name, "description": description})
            return RedirectResponse(f"/value-streams/new/integrations?{query}", 303)
        try:
            document = await asyncio.to_thread(_begun, form, start, description)
            if start == "file":
                its_name = name or " ".join(str(document.get("name") or "").split())
                return await self._previewed(request, _Begun(its_name, document))
            _named(name)
            stream = await self._importing.create(document, actor=actor_of(request), name=name)
        except (ConfigError, OutdatedError, StoreError) as error:
            return _first(request, name, description, start, _problems(error))
        return RedirectResponse(f"/value-streams/{stream.id}", 303)

    async def _previewed(self, request: Request, begun: _Begun, *, refused: str = "") -> Response:
        """What a file comes to, before anything is created.

        Raises:
            ConfigError: With everything that is wrong with it.
        """
        plan, actor = await self._importing.plan(begun.document), actor_of(request)
        _named(begun.name)
        if await self._is_taken(begun.name):
            raise ConfigError("", problems=[Problem("name", f"A value stream named “{begun.name}” already exists")])
        token = self._begun.choose_key(actor)
        self._begun.put(actor, token, begun)
        data = {
            "title": "New value stream",
            "name": begun.name,
            "plan": planned(plan),
            "token": token,
            "refused": refused,
        }
        return page(request, "stream_begun.html", data, status=409 if refused else 200)

    async def apply(self, request: Request) -> Response:
        """Create the value stream whose preview was shown."""
        actor, token = actor_of(request), request.path_params["token"]
        begun = self._begun.get(actor, token)
        if begun is None:
            gone = Problem("", "the preview has expired; choose the file again")
            return _first(request, "", "", "file", [gone])
        try:
            try:
                stream = await self._importing.create(begun.document, actor=actor, name=begun.name)
            except (OutdatedError, StoreError) as error:
                said = unkept(error) if isinstance(error, StoreError) else str(error)
                return await self._previewed(request, begun, refused=said)
        except ConfigError as error:
            return _first(request, begun.name, "", "file", _problems(error))
        self._begun.delete(actor, token)
        return RedirectResponse(f"/value-streams/{stream.id}?saved={stream.version}", 303)

    async def integrations(self, request: Request) -> Response:
        """Step 2: where items come from."""
        given = request.query_params
        counts = await self._stores.issues.count_by_tracker()
        rows = [
            {"name": one.name, "issues": counts.get(one.id, 0), "disabled": one.disabled}
            for one in await self._stores.integrations.all()
            if one.tenant_id == DEFAULT_TENANT
        ]
        data = {
            "title": "New value stream",
            "name": given.get("name", ""),
            "description": given.get("description", ""),
            "integrations": rows,
        }
        return page(request, "stream_sources.html", data)

    async def stages(self, request: Request) -> Response:
        """Step 3: phases and stages, from the statuses that issues have."""
        given = request.query_params
        chosen = given.getlist("integration")
        statuses = await self._statuses(chosen)
        rows = [_line(row) for row in defaults.suggested(statuses)]
        return _third(
            request, name=given.get("name", ""), description=given.get("description", ""), chosen=chosen, rows=rows
        )

    async def made(self, request: Request) -> Response:
        """The value stream of step 3."""
        try:
            form = await submitted(request)
        except ConfigError as error:
            return _first(request, "", "", "statuses", error.problems)
        lines = _lines(form)
        chosen, description = form.all("integration"), form["description"]
        try:
            document = defaults.made_of(
                _rows(lines), description=description, tenant_id=DEFAULT_TENANT, integrations=chosen
            )
            _staged(document)
            stream = await self._importing.create(document, actor=actor_of(request), name=form["name"])
        except (ConfigError, OutdatedError, StoreError) as error:
            return _third(
                request,
                name=form["name"],
                description=description,
                chosen=chosen,
                rows=lines,
                problems=_problems(error),
            )
        return RedirectResponse(f"/value-streams/{stream.id}", 303)

    async def _is_taken(self, name: str) -> bool:
        its = [one.name for one in await self._stores.streams.all() if one.tenant_id == DEFAULT_TENANT]
        return name.casefold() in map(str.casefold, its)

    async def _statuses(self, chosen: Sequence[str]) -> list[str]:
        known = {one.name: one.id for one in await self._stores.integrations.all() if one.tenant_id == DEFAULT_TENANT}
        trackers = tuple(known[name] for name in chosen if name in known)
        wanted = IssueFilter(tenant_id=DEFAULT_TENANT, tracker_ids=trackers)
        facets = await self._stores.search.count_facets(
            wanted, now=datetime.now(UTC), fields=("status",), most=MOST_STATUSES
        )
        return [value for value, _ in facets["status"]]


def _begun(form: Form, start: str, description: str) -> dict[str, Any]:
    match start:
        case "file":
            if not form.has_file("file"):
                raise ConfigError("", problems=[Problem("file", "Choose a JSON file")])
            document = read(form.content("file"))
            if isinstance(document, dict) and description:
                document["description"] = description
            if not isinstance(document, dict):
                raise ConfigError("", problems=[Problem("", "the file must contain one JSON object { … }")])
            return document
        case "empty":
            return defaults.empty(description=description, tenant_id=DEFAULT_TENANT)
        case _:
            return defaults.default(description=description, tenant_id=DEFAULT_TENANT)


def _named(name: str) -> None:
    if not name.strip():
        raise ConfigError("", problems=[Problem("name", "Enter a name")])


def _staged(document: Mapping[str, Any]) -> None:
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
        return [Problem("", unkept(error))]
    found: Sequence[Problem] = getattr(error, "problems", ())
    return found or [Problem("", str(error))]


def _told(problems: Sequence[Problem], fields: Container[str]) -> dict[str, Any]:
    """What is wrong: at its field where it has one, else above the form."""
    return {
        "faults": {problem.path: problem.text for problem in problems if problem.path in fields},
        "problems": [str(problem) for problem in problems if problem.path not in fields],
    }


def _first(request: Request, name: str, description: str, start: str, problems: Sequence[Problem]) -> Response:
    data = {
        "title": "New value stream",
        "name": name,
        "description": description,
        "start": start if start in STARTS else "statuses",
        "starts": STARTS,
        **_told(problems, {"name", "file"}),
    }
    return page(request, "stream_new.html", data, status=400 if problems else 200)


def _third(
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
        **_told(problems, {"name", *(f"limit.{row['status']}" for row in rows)}),
    }
    return page(request, "stream_stages.html", data, status=400 if problems else 200)
