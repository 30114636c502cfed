"""Connection test, preview and project picker of the integration form."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.config.form import format_value
from rally_accelerate.config.load import validate_integration
from rally_accelerate.config.model import Integration
from rally_accelerate.config.redaction import Redactor
from rally_accelerate.config.value_parsers import as_list
from rally_accelerate.errors import ConfigError
from rally_accelerate.observe.logs import log_context
from rally_accelerate.server import dry_runs
from rally_accelerate.server.dry_runs import DryRuns
from rally_accelerate.server.form_drafts import Draft, DraftStore
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.runner import Runner
from rally_accelerate.server.store.encryption import list_secret_values
from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.web import integration_form as forms
from rally_accelerate.server.web.forms import Form, read_large_form
from rally_accelerate.server.web.integration_form import UNNAMED
from rally_accelerate.server.web.routing import actor_of, page_routes, post_route
from rally_accelerate.server.web.templating import not_found, render_page

DRAFTS = "/settings/drafts"

TEMPLATES = {"test": "connection_test.html", "preview": "issue_preview.html"}

DRAFT = "this draft (drafts are kept for one hour)"

_CHECKS = {"test": dry_runs.check_connection, "preview": dry_runs.preview_items, "projects": dry_runs.load_projects}

#: For a look at the connection and the projects, what else is wrong does not matter: so much is left out in turn.
_OMITTED_SETTINGS: dict[str, tuple[tuple[str, ...], ...]] = {
    "projects": (("fieldMapping",), ("fieldMapping", "types"), ("fieldMapping", "types", "projects")),
    "test": ((),),
    "preview": ((),),
}


class PreviewPages:
    """The pages of what was tried."""

    def __init__(self, stores: Stores, runs: Runner, trials: DryRuns, drafts: DraftStore) -> None:
        self._stores = stores
        self._runs = runs
        self._trials = trials
        self._drafts = drafts

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *page_routes(f"{DRAFTS}/{{draft:str}}/test", self.test, role=Role.EDITOR),
            post_route(f"{DRAFTS}/{{draft:str}}/test", self.again),
            *page_routes(f"{DRAFTS}/{{draft:str}}/preview", self.preview, role=Role.EDITOR),
            post_route(f"{DRAFTS}/{{draft:str}}/preview", self.again),
        ]

    async def test(self, request: Request) -> Response:
        """Show the connection test step by step."""
        return await self._page(request, "test", "Test connection")

    async def preview(self, request: Request) -> Response:
        """Show a preview of a few issues."""
        return await self._page(request, "preview", "Preview issues")

    async def again(self, request: Request) -> Response:
        """Try again."""
        draft = self._drafts.get(actor_of(request), request.path_params["draft"])
        if draft is None:
            return not_found(request, DRAFT)
        what = request.url.path.rpartition("/")[2]
        stored = await load_integration(self._stores, draft)
        start_dry_run(what, draft, stored, trials=self._trials, runs=self._runs, actor=actor_of(request))
        return RedirectResponse(f"{DRAFTS}/{draft.id}/{what}", 303)

    async def _page(self, request: Request, what: str, title: str) -> Response:
        actor = actor_of(request)
        draft = self._drafts.get(actor, request.path_params["draft"])
        trial = self._trials.get(actor, f"{draft.id}/{what}") if draft is not None else None
        if draft is None or trial is None:
            return not_found(request, DRAFT)
        data = {
            "title": f"{title} · {draft.values['name'] or forms.UNNAMED}",
            "heading": title,
            "name": draft.values["name"] or forms.UNNAMED,
            "form": form_address(draft),
            "origin": draft.origin,
            "place": f"/settings/integrations/{draft.integration_id}" if draft.origin else "",
            "again": f"{DRAFTS}/{draft.id}/{what}",
            "trial": {"findings": [], "issues": [], "skipped": [], "notices": [], **trial.as_dict()},
        }
        return render_page(request, TEMPLATES[what], data)


def start_dry_run(
    what: str, draft: Draft, stored: StoredIntegration | None, *, trials: DryRuns, runs: Runner, actor: Actor
) -> None:
    """Start a connection test, a preview or a project list with the entered settings.

    Args:
        what: ``test``, ``preview`` or ``projects``.
        draft: The entered settings.
        stored: The integration that is edited; None for a new one.
        trials: Runs it in the background.
        runs: Shares Rally's request limit with it.
        actor: The user who started it.
    """
    typed = forms.from_draft(draft)
    raw = forms.raw_of(typed, stored)
    # Asked again: a draft may be older than the last change of what is stored.
    faults = forms.validate(typed, stored)
    faults.pop("name", None)
    named = {**raw, "name": raw["name"] or forms.UNNAMED}
    tries = (_integration(named, omitted) for omitted in _OMITTED_SETTINGS[what])
    integration = next((candidate for candidate in tries if candidate is not None), None)
    remaining = any(field.removeprefix("properties.") in forms.SECURE for field in faults)
    if integration is None or remaining:
        return
    work = _CHECKS[what](integration, runs.limiters)
    with log_context(integration.name):
        # What begins here goes on with the name.
        trials.start(actor, f"{draft.id}/{what}", work, redactor=Redactor(list_secret_values(raw["properties"])))


async def load_integration(stores: Stores, draft: Draft) -> StoredIntegration | None:
    """Return the integration that a draft edits, if it still exists."""
    return await stores.integrations.by_id(draft.integration_id) if draft.integration_id else None


def form_address(draft: Draft) -> str:
    """Return the URL of the form with a draft."""
    place = f"{draft.integration_id}/edit" if draft.integration_id else "new"
    return f"/settings/integrations/{place}?draft={draft.id}"


def _integration(raw: dict[str, Any], omitted: tuple[str, ...]) -> Integration | None:
    properties = {name: value for name, value in raw["properties"].items() if name not in omitted}
    try:
        return validate_integration({**raw, "properties": properties})
    except ConfigError:
        return None


PROJECTS, CHILDREN = "properties.projects", "properties.includeChildProjects"

Project = Mapping[str, Any]


class ProjectPages:
    """The page of the tree."""

    def __init__(self, stores: Stores, runs: Runner, trials: DryRuns, drafts: DraftStore) -> None:
        self._stores = stores
        self._runs = runs
        self._trials = trials
        self._drafts = drafts

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *page_routes(f"{DRAFTS}/{{draft:str}}/projects", self.tree, role=Role.EDITOR),
            post_route(f"{DRAFTS}/{{draft:str}}/projects", self.select),
        ]

    async def tree(self, request: Request) -> Response:
        """Show the part of the tree that matches the search."""
        actor = actor_of(request)
        draft = self._drafts.get(actor, request.path_params["draft"])
        trial = self._trials.get(actor, f"{draft.id}/projects") if draft is not None else None
        if draft is None or trial is None:
            return not_found(request, DRAFT)
        texts = {"workspace": None, **trial.as_dict()}
        projects: Sequence[Project] = texts.get("projects", ())
        chosen, others = selected_projects(projects, _texts(draft))
        children = draft.values.get(CHILDREN) == "true"
        offers = {} if children else child_project_offers(projects, chosen, texts.get("counts", ()))
        search = request.query_params.get("search", "").strip()
        rows = build_rows(projects, search=search)
        here = {row["id"] for row in rows}
        data = {
            "title": "Choose projects",
            "name": draft.values["name"] or UNNAMED,
            "form": form_address(draft),
            "again": f"{DRAFTS}/{draft.id}/projects",
            "trial": {key: value for key, value in texts.items() if key not in {"projects", "counts"}},
            "count": len(projects),
            "rows": [{**row, "chosen": row["id"] in chosen, "offer": offers.get(row["id"])} for row in rows],
            # What a search hides stays chosen.
            "unseen": [
                {"id": project["id"], "name": project["name"]} for project in projects if project["id"] in chosen - here
            ],
            "others": others,
            "children": children,
            "search": search,
        }
        return render_page(request, "projects.html", data)

    async def select(self, request: Request) -> Response:
        """Put the choice into the draft: then back to the form, or on with another search."""
        actor, form = actor_of(request), await read_large_form(request)
        draft = self._drafts.get(actor, request.path_params["draft"])
        if draft is None:
            return not_found(request, DRAFT)
        if form.get("do") == "again":
            stored = await load_integration(self._stores, draft)
            start_dry_run("projects", draft, stored, trials=self._trials, runs=self._runs, actor=actor)
            return RedirectResponse(f"{DRAFTS}/{draft.id}/projects", 303)
        trial = self._trials.get(actor, f"{draft.id}/projects")
        projects: Sequence[Project] = trial.as_dict().get("projects", ()) if trial is not None else ()
        parent = form.get("add") or ""
        self._keep(request, draft, form, projects, parent=int(parent) if parent.isdecimal() else None)
        if parent:
            query = urlencode({"search": form.get("search", "")})
            return RedirectResponse(f"{DRAFTS}/{draft.id}/projects?{query}#project-{parent}", 303)
        if form.get("do") == "search":
            query = urlencode({"search": form.get("search", "")})
            return RedirectResponse(f"{DRAFTS}/{draft.id}/projects?{query}", 303)
        return RedirectResponse(form_address(draft), 303)

    def _keep(
        self, request: Request, draft: Draft, form: Form, projects: Sequence[Project], *, parent: int | None
    ) -> None:
        ids = {int(text) for text in form.all("project") if text.isdecimal()}
        if parent is not None:
            ids |= open_descendants(projects, parent)
        texts = [*form.all("other"), *setting_values(projects, ids)]
        values = {
            **draft.values,
            PROJECTS: format_value("projects", list(dict.fromkeys(texts))),
            CHILDREN: "true" if form.get("children") else "false",
        }
        changed = replace(draft, values=values)
        self._drafts.store(
            actor_of(request),
            draft.integration_id,
            values=changed.values,
            secrets_typed=draft.secrets,
            cleared=draft.cleared,
            draft_id=draft.id,
        )


def build_rows(projects: Sequence[Project], *, search: str = "") -> list[dict[str, Any]]:
    """Return the project tree as rows in display order, each with its depth.

    Args:
        projects: As Rally lists them; a parent that the user does not see makes a root.
        search: Only projects whose name contains this, in any case, and what leads to them.
    """
    known = {project["id"]: project for project in projects}
    below: dict[int | None, list[Project]] = defaultdict(list)
    for each in sorted(projects, key=lambda one: (str(one["name"]).casefold(), one["id"])):
        below[each["parent"] if each["parent"] in known else None].append(each)
    pattern = search.casefold()
    matching = {project["id"] for project in projects if pattern in str(project["name"]).casefold()}
    leading = {project_id for match in matching for project_id in _ancestors(match, known)}
    rows: list[dict[str, Any]] = []
    # Without recursion: who knows how deep a company goes. A ring of parents has no root, and is shown by nothing.
    waiting: list[tuple[Project, int]] = [(root, 0) for root in reversed(below[None])]
    while waiting:
        each, depth = waiting.pop()
        if each["id"] in leading:
            rows.append({**each, "depth": min(depth, 12), "match": bool(pattern) and each["id"] in matching})
            waiting += [(child, depth + 1) for child in reversed(below[each["id"]])]
    return rows


def open_descendants(projects: Sequence[Project], parent: int) -> set[int]:
    """Return the open projects below one, at any depth, by id."""
    children: dict[int | None, list[Project]] = defaultdict(list)
    for project in projects:
        children[project["parent"]].append(project)
    project_ids: set[int] = set()
    seen = {parent}
    waiting = [parent]
    while waiting:
        for project in children[waiting.pop()]:
            if project["id"] not in seen:
                seen.add(project["id"])
                waiting.append(project["id"])
                project_ids |= {project["id"]} if project["open"] else set()
    return project_ids


def child_project_offers(
    projects: Sequence[Project], chosen: set[int], counts: Sequence[Mapping[str, int]]
) -> Mapping[int, dict[str, Any]]:
    """Return what is offered at each chosen project whose child projects are not chosen, by id.

    Args:
        projects: As Rally lists them.
        chosen: The ids of the chosen ones.
        counts: How many items a project has (``own``) and the projects below it (``children``), as far as known.
    """
    known = {counts_of_project["id"]: counts_of_project for counts_of_project in counts}
    offers: dict[int, dict[str, Any]] = {}
    for project in projects:
        if project["id"] in chosen and (more := open_descendants(projects, project["id"]) - chosen):
            count = known.get(project["id"])
            offers[project["id"]] = {
                "projects": len(more),
                "below": count["children"] if count else None,
                "own": count["own"] if count else None,
            }
    return offers


def selected_projects(projects: Sequence[Project], texts: Sequence[str]) -> tuple[set[int], list[str]]:
    """Return the projects that the setting names exactly, and its other texts: patterns and paths."""
    names = Counter(str(project["name"]) for project in projects)
    by_text = {str(project["id"]): project["id"] for project in projects}
    by_text |= {str(project["name"]): project["id"] for project in projects if names[str(project["name"])] == 1}
    chosen = {by_text[text] for text in texts if text in by_text}
    return chosen, [text for text in texts if text not in by_text]


def setting_values(projects: Sequence[Project], ids: set[int]) -> Iterator[str]:
    """Yield the setting's text for each selected project: its name, or its ObjectID if the name is ambiguous."""
    names = Counter(str(project["name"]).casefold() for project in projects)
    for each in projects:
        if each["id"] in ids:
            name = str(each["name"])
            plain = names[name.casefold()] == 1 and name and not name.isdecimal() and " // " not in name
            yield name if plain else str(each["id"])


def _ancestors(project_id: int, known: Mapping[int, Project]) -> Iterator[int]:
    seen: set[int] = set()
    step: int | None = project_id
    while step is not None and step in known and step not in seen:
        seen.add(step)
        yield step
        step = known[step]["parent"]


def _texts(draft: Draft) -> list[str]:
    try:
        return list(as_list(draft.values.get(PROJECTS, "")))
    except ValueError:
        return []
