"""What was tried from the form: the connection link by link, and a few issues as they would be."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.config.load import validated
from rally_accelerate.config.model import Integration
from rally_accelerate.config.redact import Redactor
from rally_accelerate.errors import ConfigError
from rally_accelerate.host import tryouts
from rally_accelerate.host.access import Actor, Role
from rally_accelerate.host.drafts import Draft, Drafts
from rally_accelerate.host.runs import Runs
from rally_accelerate.host.store.integrations import StoredIntegration
from rally_accelerate.host.store.vault import secret_values
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.trials import Trials
from rally_accelerate.host.web import typed as forms
from rally_accelerate.host.web.render import missing, page
from rally_accelerate.host.web.routing import actor_of, posted, shown
from rally_accelerate.observe.logs import telling_of

DRAFTS = "/settings/drafts"

GONE = "this draft, which is kept for an hour,"

_WORKS = {"test": tryouts.connection, "preview": tryouts.items, "projects": tryouts.projects}

#: For a look at the connection and the projects, what else is wrong does not matter: so much is left out in turn.
_LEFT_OUT: dict[str, tuple[tuple[str, ...], ...]] = {
    "projects": (("fieldMapping",), ("fieldMapping", "types"), ("fieldMapping", "types", "projects")),
    "test": ((),),
    "preview": ((),),
}


class TryoutPages:
    """The pages of what was tried."""

    def __init__(self, stores: Stores, runs: Runs, trials: Trials, drafts: Drafts) -> None:
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
        return await self._page(request, "preview", "Preview of issues")

    async def again(self, request: Request) -> Response:
        """Try again."""
        draft = self._drafts.of(actor_of(request), request.path_params["draft"])
        if draft is None:
            return missing(request, GONE)
        what = request.url.path.rpartition("/")[2]
        stored = await stored_of(self._stores, draft)
        begin(what, draft, stored, trials=self._trials, runs=self._runs, actor=actor_of(request))
        return RedirectResponse(f"{DRAFTS}/{draft.id}/{what}", 303)

    async def _page(self, request: Request, what: str, title: str) -> Response:
        actor = actor_of(request)
        draft = self._drafts.of(actor, request.path_params["draft"])
        trial = self._trials.of(actor, f"{draft.id}/{what}") if draft is not None else None
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
            "trial": {"findings": [], "issues": [], "skipped": [], "notices": [], **trial.shown()},
        }
        return page(request, f"{what}.html", data)


def begin(
    what: str, draft: Draft, stored: StoredIntegration | None, *, trials: Trials, runs: Runs, actor: Actor
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
        trials.begin(actor, f"{draft.id}/{what}", work, redactor=Redactor(secret_values(raw["properties"])))


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
        return validated({**raw, "properties": properties})
    except ConfigError:
        return None
