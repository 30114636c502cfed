"""Choosing projects: the workspace's tree with a box at each, from the form and back to it."""

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
from rally_accelerate.observe.logs import telling_of
from rally_accelerate.server import dry_runs
from rally_accelerate.server.dry_runs import DryRuns
from rally_accelerate.server.form_drafts import Draft, DraftStore
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.runner import Runner
from rally_accelerate.server.store.encryption import list_secret_values
from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.web import integration_form as forms
from rally_accelerate.server.web.forms import Form, large_form
from rally_accelerate.server.web.integration_form import UNNAMED
from rally_accelerate.server.web.routing import actor_of, posted, shown
from rally_accelerate.server.web.templating import missing, page

DRAFTS = "/settings/drafts"

GONE = "this draft (drafts are kept for one hour)"

_WORKS = {"test": dry_runs.check_connection, "preview": dry_runs.preview_items, "projects": dry_runs.load_projects}

#: For a look at the connection and the projects, what else is wrong does not matter: so much is left out in turn.
_LEFT_OUT: dict[str, tuple[tuple[str, ...], ...]] = {
    "projects": (("fieldMapping",), ("fieldMapping", "types"), ("fieldMapping", "types", "projects")),
    "test": ((),),
    "preview": ((),),
}


class TryoutPages:
    """The pages of what was tried."""

    def __init__(self, stores: Stores, runs: Runner, trials: DryRuns, drafts: DraftStore) -> None:
        self._stores = stores
        self._runs = runs
        self._trials = trials
        self._drafts = drafts

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            *shown(f"{DRAFTS}/{{draft:str}}/test", self.test, role=Role.EDITOR),
            posted(f"{DRAFTS}/{{draft:str}}/test", self.again),
            *shown(f"{DRAFTS}/{{draft:str}}/preview", self.preview, role=Role.EDITOR),
            posted(f"{DRAFTS}/{{draft:str}}/preview", self.again),
        ]

    async def test(self, request: Request) -> Response:
        """The connection, link by link."""
        return await self._page(request, "test", "Test connection")

    async def preview(self, request: Request) -> Response:
        """A few issues as they would be."""
        return await self._page(request, "preview", "Preview issues")

    async def again(self, request: Request) -> Response:
        """Try again."""
        draft = self._drafts.get(actor_of(request), request.path_params["draft"])
        if draft is None:
            return missing(request, GONE)
        what = request.url.path.rpartition("/")[2]
        stored = await stored_of(self._stores, draft)
        begin(what, draft, stored, trials=self._trials, runs=self._runs, actor=actor_of(request))
        return RedirectResponse(f"{DRAFTS}/{draft.id}/{what}", 303)

    async def _page(self, request: Request, what: str, title: str) -> Response:
        actor = actor_of(request)
        draft = self._drafts.get(actor, request.path_params["draft"])
        trial = self._trials.get(actor, f"{draft.id}/{what}") if draft is not None else None
        if draft is None or trial is None:
            return missing(request, GONE)
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
        return page(request, f"{what}.html", data)


def begin(
    what: str, draft: Draft, stored: StoredIntegration | None, *, trials: DryRuns, runs: Runner, actor: Actor
) -> None:
    """Begin to try something with what was typed.

    Args:
        what: ``test``, ``preview`` or ``projects``.
        draft: What was typed.
        stored: The integration that is edited, if it is one.
        trials: Where it goes on.
        runs: Whose share of Rally's patience it takes from.
        actor: Who wants to know.
    """
    typed = forms.typed_again(draft)
    raw = forms.raw_of(typed, stored)
    # Asked again: a draft may be older than the last change of what is stored.
    faults = forms.problems(typed, stored)
    faults.pop("name", None)
    named = {**raw, "name": raw["name"] or forms.UNNAMED}
    tries = (_integration(named, left_out) for left_out in _LEFT_OUT[what])
    integration = next((each for each in tries if each is not None), None)
    kept = any(field.removeprefix("properties.") in forms.SECURE for field in faults)
    if integration is None or kept:
        return
    work = _WORKS[what](integration, runs.limiters)
    with telling_of(integration.name):
        # What begins here goes on with the name.
        trials.start(actor, f"{draft.id}/{what}", work, redactor=Redactor(list_secret_values(raw["properties"])))


async def stored_of(stores: Stores, draft: Draft) -> StoredIntegration | None:
    """The integration that a draft edits, if it is one and still there."""
    return await stores.integrations.by_id(draft.integration_id) if draft.integration_id else None


def form_address(draft: Draft) -> str:
    """The form with what was typed."""
    place = f"{draft.integration_id}/edit" if draft.integration_id else "new"
    return f"/settings/integrations/{place}?draft={draft.id}"


def _integration(raw: dict[str, Any], left_out: tuple[str, ...]) -> Integration | None:
    properties = {name: value for name, value in raw["properties"].items() if name not in left_out}
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
        """Their addresses."""
        return [
            *shown(f"{DRAFTS}/{{draft:str}}/projects", self.tree, role=Role.EDITOR),
            posted(f"{DRAFTS}/{{draft:str}}/projects", self.chosen),
        ]

    async def tree(self, request: Request) -> Response:
        """The tree, as far as it matches the search."""
        actor = actor_of(request)
        draft = self._drafts.get(actor, request.path_params["draft"])
        trial = self._trials.get(actor, f"{draft.id}/projects") if draft is not None else None
        if draft is None or trial is None:
            return missing(request, GONE)
        told = {"workspace": None, **trial.as_dict()}
        projects: Sequence[Project] = told.get("projects", ())
        chosen, others = chosen_of(projects, _texts(draft))
        children = draft.values.get(CHILDREN) == "true"
        offers = {} if children else offers_of(projects, chosen, told.get("counts", ()))
        search = request.query_params.get("search", "").strip()
        rows = rows_of(projects, search=search)
        here = {row["id"] for row in rows}
        data = {
            "title": "Choose projects",
            "name": draft.values["name"] or UNNAMED,
            "form": form_address(draft),
            "again": f"{DRAFTS}/{draft.id}/projects",
            "trial": {key: value for key, value in told.items() if key not in {"projects", "counts"}},
            "count": len(projects),
            "rows": [{**row, "chosen": row["id"] in chosen, "offer": offers.get(row["id"])} for row in rows],
            # What a search hides stays chosen.
            "unseen": [{"id": each["id"], "name": each["name"]} for each in projects if each["id"] in chosen - here],
            "others": others,
            "children": children,
            "search": search,
        }
        return page(request, "projects.html", data)

    async def chosen(self, request: Request) -> Response:
        """Put the choice into the draft: then back to the form, or on with another search."""
        actor, form = actor_of(request), await large_form(request)
        draft = self._drafts.get(actor, request.path_params["draft"])
        if draft is None:
            return missing(request, GONE)
        if form.get("do") == "again":
            stored = await stored_of(self._stores, draft)
            begin("projects", draft, stored, trials=self._trials, runs=self._runs, actor=actor)
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
            ids |= open_below(projects, parent)
        texts = [*form.all("other"), *names_of(projects, ids)]
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


def rows_of(projects: Sequence[Project], *, search: str = "") -> list[dict[str, Any]]:
    """The tree as rows in the order in which it is drawn, each with its depth.

    Args:
        projects: As Rally lists them; a parent that the user does not see makes a root.
        search: Only projects whose name contains this, in any case, and what leads to them.
    """
    known = {each["id"]: each for each in projects}
    below: dict[int | None, list[Project]] = defaultdict(list)
    for each in sorted(projects, key=lambda one: (str(one["name"]).casefold(), one["id"])):
        below[each["parent"] if each["parent"] in known else None].append(each)
    wanted = search.casefold()
    matching = {each["id"] for each in projects if wanted in str(each["name"]).casefold()}
    leading = {its_id for match in matching for its_id in _way_up(match, known)}
    rows: list[dict[str, Any]] = []
    # Without recursion: who knows how deep a company goes. A ring of parents has no root, and is shown by nothing.
    waiting: list[tuple[Project, int]] = [(each, 0) for each in reversed(below[None])]
    while waiting:
        each, depth = waiting.pop()
        if each["id"] in leading:
            rows.append({**each, "depth": min(depth, 12), "match": bool(wanted) and each["id"] in matching})
            waiting += [(child, depth + 1) for child in reversed(below[each["id"]])]
    return rows


def open_below(projects: Sequence[Project], parent: int) -> set[int]:
    """Return the open projects below one, at any depth, by id."""
    children: dict[int | None, list[Project]] = defaultdict(list)
    for each in projects:
        children[each["parent"]].append(each)
    found: set[int] = set()
    seen = {parent}
    waiting = [parent]
    while waiting:
        for each in children[waiting.pop()]:
            if each["id"] not in seen:
                seen.add(each["id"])
                waiting.append(each["id"])
                found |= {each["id"]} if each["open"] else set()
    return found


def offers_of(
    projects: Sequence[Project], chosen: set[int], counts: Sequence[Mapping[str, int]]
) -> Mapping[int, dict[str, Any]]:
    """Return what is offered at each chosen project whose child projects are not chosen, by id.

    Args:
        projects: As Rally lists them.
        chosen: The ids of the chosen ones.
        counts: How many items a project has (``own``) and the projects below it (``children``), as far as known.
    """
    known = {each["id"]: each for each in counts}
    offers: dict[int, dict[str, Any]] = {}
    for each in projects:
        if each["id"] in chosen and (more := open_below(projects, each["id"]) - chosen):
            count = known.get(each["id"])
            offers[each["id"]] = {
                "projects": len(more),
                "below": count["children"] if count else None,
                "own": count["own"] if count else None,
            }
    return offers


def chosen_of(projects: Sequence[Project], texts: Sequence[str]) -> tuple[set[int], list[str]]:
    """Which projects the texts of the setting mean plainly, and the texts that mean something else: patterns, paths."""
    names = Counter(str(each["name"]) for each in projects)
    by_text = {str(each["id"]): each["id"] for each in projects}
    by_text |= {str(each["name"]): each["id"] for each in projects if names[str(each["name"])] == 1}
    chosen = {by_text[text] for text in texts if text in by_text}
    return chosen, [text for text in texts if text not in by_text]


def names_of(projects: Sequence[Project], ids: set[int]) -> Iterator[str]:
    """What to write for the chosen projects: the name, or the ObjectID where the name would mean more than this one."""
    names = Counter(str(each["name"]).casefold() for each in projects)
    for each in projects:
        if each["id"] in ids:
            name = str(each["name"])
            plain = names[name.casefold()] == 1 and name and not name.isdecimal() and " // " not in name
            yield name if plain else str(each["id"])


def _way_up(its_id: int, known: Mapping[int, Project]) -> Iterator[int]:
    seen: set[int] = set()
    step: int | None = its_id
    while step is not None and step in known and step not in seen:
        seen.add(step)
        yield step
        step = known[step]["parent"]


def _texts(draft: Draft) -> list[str]:
    try:
        return list(as_list(draft.values.get(PROJECTS, "")))
    except ValueError:
        return []
