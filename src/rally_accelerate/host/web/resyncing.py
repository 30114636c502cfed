"""Sending again, with a look at what it would change; and approving what a run did not dare to mark as gone."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.config.load import validated
from rally_accelerate.config.redact import Redactor
from rally_accelerate.config.values import as_instant
from rally_accelerate.errors import ConfigError, NotFound
from rally_accelerate.host import tryouts
from rally_accelerate.host.access import Role
from rally_accelerate.host.administration import Administration
from rally_accelerate.host.missing import count_missing, missing_of
from rally_accelerate.host.runs import Runs
from rally_accelerate.host.store.integrations import StoredIntegration
from rally_accelerate.host.store.vault import secret_values
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.trials import Trials
from rally_accelerate.host.web import forms
from rally_accelerate.host.web.integrations import LIST, refusal
from rally_accelerate.host.web.render import missing, page
from rally_accelerate.host.web.routing import actor_of, posted, shown
from rally_accelerate.model.progress import Window
from rally_accelerate.observe.logs import telling_of

#: Reading everything of a large workspace takes its time.
PREVIEW_SECONDS = 1800.0

#: How many issues a page lists that would be marked as gone.
SHOWN = 200


class ResyncPages:
    """The pages before something large."""

    def __init__(self, stores: Stores, runs: Runs, administration: Administration, trials: Trials) -> None:
        self._stores = stores
        self._runs = runs
        self._administration = administration
        self._trials = trials

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            *shown(f"{LIST}/{{id:str}}/resync", self.asked, role=Role.EDITOR),
            posted(f"{LIST}/{{id:str}}/resync", self.chosen),
            *shown(f"{LIST}/{{id:str}}/removals", self.removals, role=Role.EDITOR),
            posted(f"{LIST}/{{id:str}}/removals", self.approve),
        ]

    async def asked(self, request: Request) -> Response:
        """What to send again, and what the preview found."""
        stored = await self._stores.integrations.by_id(request.path_params["id"])
        return missing(request, "this integration") if stored is None else self._page(request, stored)

    async def chosen(self, request: Request) -> Response:
        """Preview, stop the preview, or do it."""
        stored = await self._stores.integrations.by_id(request.path_params["id"])
        if stored is None:
            return missing(request, "this integration")
        actor, form = actor_of(request), await forms.form(request)
        if form.get("do") == "stop":
            self._trials.stop(actor, _key(stored))
            return RedirectResponse(f"{LIST}/{stored.id}/resync", 303)
        try:
            window = _window(form)
        except ValueError as error:
            return self._page(request, stored, fault=str(error), form=form)
        if form.get("do") == "preview":
            try:
                integration = validated(stored.raw)
            except ConfigError as error:
                return refusal(request, error)
            work = tryouts.resync(self._stores, self._runs, integration, window)
            redactor = Redactor(secret_values(stored.properties))
            with telling_of(stored.name):
                self._trials.begin(actor, _key(stored), work, redactor=redactor, seconds=PREVIEW_SECONDS)
            return RedirectResponse(f"{LIST}/{stored.id}/resync", 303)
        await self._administration.resync(actor, stored.id, since=window.since)
        return RedirectResponse(f"{LIST}/{stored.id}", 303)

    async def removals(self, request: Request) -> Response:
        """What would be marked as gone."""
        stored = await self._stores.integrations.by_id(request.path_params["id"])
        if stored is None:
            return missing(request, "this integration")
        database = self._stores.database
        latest = next(iter(await self._stores.executions.of(stored.id, limit=1)), None)
        listed = await missing_of(database, stored.id, limit=SHOWN)
        data = {
            "title": f"Missing items of {stored.name}",
            "integration": {"id": stored.id, "name": stored.name, "disabled": stored.disabled},
            "count": await count_missing(database, stored.id),
            "withheld": latest.report.get("withheld", 0) if latest else 0,
            "notices": list(latest.report.get("notices", ())) if latest else [],
            "issues": [
                {
                    "key": each.external_id,
                    "id": each.display_id,
                    "name": each.name,
                    "status": each.status,
                    "since": each.since,
                }
                for each in listed
            ],
        }
        return page(request, "removals.html", data)

    async def approve(self, request: Request) -> Response:
        """Mark them, in a run that begins now."""
        its_id = request.path_params["id"]
        try:
            await self._administration.approve_removals(actor_of(request), its_id)
        except NotFound:
            return missing(request, "this integration")
        except ConfigError as error:
            return refusal(request, error)
        return RedirectResponse(f"{LIST}/{its_id}", 303)

    def _page(
        self, request: Request, stored: StoredIntegration, *, fault: str = "", form: forms.Form | None = None
    ) -> Response:
        trial = self._trials.of(actor_of(request), _key(stored))
        begun = {"since": "", "progress": "", "percent": None, "result": None}
        shown = {**begun, **trial.shown()} if trial is not None else None
        since = str(shown.get("since") or "")[:10] if shown else ""
        data: dict[str, Any] = {
            "title": f"Resync {stored.name}",
            "integration": {"id": stored.id, "name": stored.name, "disabled": stored.disabled},
            "range": form.get("range", "full") if form else "date" if since else "full",
            "date": form.get("date", "") if form else since,
            "fault": fault,
            "trial": shown,
        }
        return page(request, "resync.html", data, status=422 if fault else 200)


def _key(stored: StoredIntegration) -> str:
    return f"{stored.id}/resync"


def _window(form: forms.Form) -> Window:
    """What is to be sent again.

    Raises:
        ValueError: No date, or none that can be read.
    """
    if form.get("range", "full") == "full":
        return Window()
    since = as_instant(form.get("date", "").strip())
    if since is None:
        raise ValueError("give a date like 2026-01-31")
    return Window(since)
