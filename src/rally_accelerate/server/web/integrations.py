"""Pages about integrations: the list, one integration, its actions, deletion and resync."""

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate import __version__
from rally_accelerate.config.form import list_form_fields
from rally_accelerate.config.load import validate_integration
from rally_accelerate.config.model import DEFAULT_TENANT, DESCRIPTION, DISPLAY_NAME, EVENT, EVENT_DESCRIPTION, PLUGIN_ID
from rally_accelerate.config.redaction import Redactor
from rally_accelerate.config.value_parsers import as_instant
from rally_accelerate.errors import ConfigError, NotFoundError
from rally_accelerate.model.progress import Window
from rally_accelerate.observe.logs import log_context
from rally_accelerate.server import dry_runs
from rally_accelerate.server.dry_runs import DryRuns
from rally_accelerate.server.integrations import IntegrationService
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.runner import Runner
from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store.encryption import list_secret_values, mask_secrets
from rally_accelerate.server.store.executions import SYNCED, Execution
from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.sync_state import count_missing, list_missing
from rally_accelerate.server.value_streams.document import integrations_of
from rally_accelerate.server.value_streams.importer import PLACEHOLDER
from rally_accelerate.server.web import forms
from rally_accelerate.server.web.executions import summarize
from rally_accelerate.server.web.routing import actor_of, local_path, page_routes, post_route, role_route
from rally_accelerate.server.web.templating import not_found, render_page

#: The status of an integration that works and has never brought an item.
EMPTY = "No items"

#: What a last run's outcome means for people (accelerate-api-notes.md#integration-status).
STATUS_LABELS = {
    "complete": "Online",
    "partial": "Partial",
    "failed": "Failed",
    "interrupted": "Interrupted",
    "": "New",
}

#: The status of an integration that this process does not run, see ``serve --without``.
PAUSED = "Paused"

LIST = "/settings/integrations"

#: How many runs the page of an integration shows.
LATEST_RUNS = 20


class IntegrationPages:
    """The pages about integrations."""

    def __init__(self, stores: Stores, schedule: Scheduler, runs: Runner, administration: IntegrationService) -> None:
        self._stores = stores
        self._schedule = schedule
        self._runs = runs
        self._administration = administration

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *page_routes(LIST, self.index),
            post_route(f"{LIST}/{{id:str}}/run", self.run),
            post_route(f"{LIST}/{{id:str}}/stop", self.stop),
            post_route(f"{LIST}/{{id:str}}/toggle", self.toggle),
            *page_routes(f"{LIST}/{{id:str}}/delete", self.confirm_delete, role=Role.EDITOR),
            post_route(f"{LIST}/{{id:str}}/delete", self.delete),
            role_route(f"{LIST}/{{id:str}}", self.detail),
        ]

    async def index(self, request: Request) -> Response:
        """List all integrations with their last run, and trackers of other connectors."""
        counts = await self._stores.issues.count_by_tracker()
        latest = await self._stores.executions.find_latest()
        synced = await self._stores.executions.find_last_synced()
        known = await self._stores.integrations.all()
        rows = [self._row(one, counts.get(one.id, 0), latest.get(one.id), synced=synced.get(one.id)) for one in known]
        ids = {one.id for one in known}
        elsewhere = [{"id": key, "issues": count} for key, count in sorted(counts.items()) if key not in ids]
        data = {
            "title": "Integrations",
            "integrations": rows,
            "elsewhere": elsewhere,
            "known": len(rows),
            "mayEdit": actor_of(request).may(Role.EDITOR),
            "interval": self._schedule.interval.total_seconds(),
            "placeholder": PLACEHOLDER,
        }
        return render_page(request, "integrations.html", data)

    async def detail(self, request: Request) -> Response:
        """Show an integration: its settings without secrets, its schedule and its latest runs."""
        integration = await self._stores.integrations.by_id(request.path_params["id"].removesuffix(".json"))
        if integration is None:
            return not_found(request, "this integration")
        counts = await self._stores.issues.count_by_tracker()
        runs = await self._stores.executions.list_latest(integration.id, limit=LATEST_RUNS)
        synced = await self._stores.executions.find_last(integration.id, SYNCED)
        labels = {field.name: field.label for field in list_form_fields()}
        data = {
            "title": integration.name,
            "integration": self._row(
                integration,
                counts.get(integration.id, 0),
                runs[0] if runs else None,
                synced=synced.completed if synced else None,
            ),
            "plugin": {"id": PLUGIN_ID, "name": DISPLAY_NAME, "version": __version__, "description": DESCRIPTION},
            "events": [
                {"name": EVENT, "seconds": self._schedule.interval.total_seconds(), "description": EVENT_DESCRIPTION}
            ],
            "missing": await count_missing(self._stores.database, integration.id),
            "properties": mask_secrets(integration.properties),
            "labels": labels,
            "loggingLevel": integration.logging_level,
            "tenant": integration.tenant_id,
            "created": integration.created,
            "executions": [summarize(one, self._runs) for one in runs],
            "mayEdit": actor_of(request).may(Role.EDITOR),
            # Those that the pages draw belong to this tenant.
            "undrawn": integration.tenant_id == DEFAULT_TENANT
            and not await self._stores.streams.exists(integration.tenant_id),
        }
        return render_page(request, "integration.html", data)

    async def run(self, request: Request) -> Response:
        """Run now."""
        integration_id = request.path_params["id"]
        try:
            await self._administration.run(actor_of(request), integration_id)
        except NotFoundError:
            return not_found(request, "this integration")
        except ConfigError as error:
            return refusal(request, error)
        return await back(request)

    async def stop(self, request: Request) -> Response:
        """Stop the run in progress."""
        try:
            await self._administration.stop(actor_of(request), request.path_params["id"])
        except NotFoundError:
            return not_found(request, "this integration")
        return await back(request)

    async def toggle(self, request: Request) -> Response:
        """Enable or disable: what the form says, else the other way round; enabling runs at once."""
        integration_id = request.path_params["id"]
        integration = await self._stores.integrations.by_id(integration_id)
        if integration is None:
            return not_found(request, "this integration")
        # The form states the wanted value, so it cannot undo the change of another user.
        target = (await forms.read_form(request)).get("to") or ("on" if integration.disabled else "off")
        if (target == "off") != integration.disabled:
            await self._administration.set_enabled(actor_of(request), integration_id, on=target == "on")
        return RedirectResponse(LIST, 303)

    async def confirm_delete(self, request: Request) -> Response:
        """Show what a deletion would remove."""
        return await self._confirm_delete(request)

    async def delete(self, request: Request) -> Response:
        """Delete an integration, when its name was typed."""
        form = await forms.read_form(request)
        integration = await self._stores.integrations.by_id(request.path_params["id"])
        if integration is None:
            return not_found(request, "this integration")
        faults = []
        if form.get("issues") not in {"keep", "remove"}:
            faults.append("Choose whether to keep or delete the issues.")
        if form.get("name", "").strip() != integration.name:
            faults.append(f"Type {integration.name} to confirm.")
        if faults:
            return await self._confirm_delete(request, fault=" ".join(faults), form=dict(form))
        await self._administration.remove(actor_of(request), integration.id, with_issues=form["issues"] == "remove")
        return RedirectResponse(LIST, 303)

    async def _confirm_delete(
        self, request: Request, *, fault: str = "", form: dict[str, str] | None = None
    ) -> Response:
        integration = await self._stores.integrations.by_id(request.path_params["id"])
        if integration is None:
            return not_found(request, "this integration")
        data = {
            "title": f"Delete {integration.name}",
            "integration": {"id": integration.id, "name": integration.name},
            "issues": (await self._stores.issues.count_by_tracker()).get(integration.id, 0),
            "runs": (await self._stores.executions.count_by_integration()).get(integration.id, 0),
            "streams": [
                {"id": stream.id, "name": stream.name}
                for stream in await self._stores.streams.all()
                if any(entry.get("_id") == integration.id for _, entry in integrations_of(stream.document))
            ],
            "fault": fault,
            "typed": {"name": "", "issues": "", **(form or {})},
        }
        return render_page(request, "delete.html", data, status=422 if fault else 200)

    def _status(self, integration: StoredIntegration, latest: Execution | None) -> str:
        if integration.disabled:
            return "Disabled"
        if self._schedule.is_excluded(integration.id):
            return PAUSED
        if self._runs.get_active_run(integration.id):
            return "Sync in progress"
        return STATUS_LABELS[latest.outcome if latest else ""]

    def _row(
        self, integration: StoredIntegration, issues: int, latest: Execution | None, *, synced: datetime | None
    ) -> dict[str, Any]:
        running = self._runs.get_active_run(integration.id)
        status = self._status(integration, latest)
        empty = latest.report.get("empty", "") if latest and not issues else ""
        if empty and status == STATUS_LABELS["complete"]:
            status = EMPTY
        return {
            "id": integration.id,
            "name": integration.name,
            "type": DISPLAY_NAME if integration.type == PLUGIN_ID else integration.type,
            "status": status,
            "disabled": integration.disabled,
            "issues": issues,
            # Why there are none, when that was found out.
            "empty": empty if status == EMPTY else "",
            # What the issues are as of, also while runs fail: the last try has its word in the status.
            "lastSync": synced,
            "nextRun": None if integration.disabled else self._schedule.compute_next_run(integration.id),
            "lastRun": summarize(latest, self._runs) if latest else None,
            "withheld": latest.report.get("withheld", 0) if latest else 0,
            "progress": running.describe_progress() if running is not None else None,
        }


def refusal(request: Request, error: ConfigError) -> Response:
    """Return a page that explains why an action failed."""
    data = {"title": "Action failed", "message": str(error), "hint": error.hint}
    return render_page(request, "action_failed.html", data, status=409)


async def back(request: Request) -> Response:
    """Back to the page of ours that the form stood on."""
    return RedirectResponse(local_path((await forms.read_form(request))["back"], otherwise=LIST), 303)


#: Reading everything of a large workspace takes its time.
PREVIEW_SECONDS = 1800.0

#: How many issues a page lists that would be marked as gone.
SHOWN = 200


class ResyncPages:
    """The pages before something large."""

    def __init__(self, stores: Stores, runs: Runner, administration: IntegrationService, trials: DryRuns) -> None:
        self._stores = stores
        self._runs = runs
        self._administration = administration
        self._trials = trials

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *page_routes(f"{LIST}/{{id:str}}/resync", self.show_form, role=Role.EDITOR),
            post_route(f"{LIST}/{{id:str}}/resync", self.submit),
            *page_routes(f"{LIST}/{{id:str}}/removals", self.removals, role=Role.EDITOR),
            post_route(f"{LIST}/{{id:str}}/removals", self.approve),
        ]

    async def show_form(self, request: Request) -> Response:
        """Show the resync form and the result of its preview."""
        stored = await self._stores.integrations.by_id(request.path_params["id"])
        return not_found(request, "this integration") if stored is None else self._page(request, stored)

    async def submit(self, request: Request) -> Response:
        """Preview, stop the preview, or do it."""
        stored = await self._stores.integrations.by_id(request.path_params["id"])
        if stored is None:
            return not_found(request, "this integration")
        actor, form = actor_of(request), await forms.read_form(request)
        if form.get("do") == "stop":
            self._trials.stop(actor, _key(stored))
            return RedirectResponse(f"{LIST}/{stored.id}/resync", 303)
        try:
            window = _window(form)
        except ValueError as error:
            return self._page(request, stored, fault=str(error), form=form)
        if form.get("do") == "preview":
            try:
                integration = validate_integration(stored.raw)
            except ConfigError as error:
                return refusal(request, error)
            work = dry_runs.preview_resync(self._stores, self._runs, integration, window)
            redactor = Redactor(list_secret_values(stored.properties))
            with log_context(stored.name):
                self._trials.start(actor, _key(stored), work, redactor=redactor, seconds=PREVIEW_SECONDS)
            return RedirectResponse(f"{LIST}/{stored.id}/resync", 303)
        await self._administration.resync(actor, stored.id, since=window.since)
        return RedirectResponse(f"{LIST}/{stored.id}", 303)

    async def removals(self, request: Request) -> Response:
        """List the items that would be marked as removed."""
        stored = await self._stores.integrations.by_id(request.path_params["id"])
        if stored is None:
            return not_found(request, "this integration")
        database = self._stores.database
        latest = next(iter(await self._stores.executions.list_latest(stored.id, limit=1)), None)
        listed = await list_missing(database, stored.id, limit=SHOWN)
        data = {
            "title": f"Missing items of {stored.name}",
            "integration": {"id": stored.id, "name": stored.name, "disabled": stored.disabled},
            "count": await count_missing(database, stored.id),
            "withheld": latest.report.get("withheld", 0) if latest else 0,
            "notices": list(latest.report.get("notices", ())) if latest else [],
            "issues": [
                {
                    "key": removed_item.external_id,
                    "id": removed_item.display_id,
                    "name": removed_item.name,
                    "status": removed_item.status,
                    "since": removed_item.since,
                }
                for removed_item in listed
            ],
        }
        return render_page(request, "missing_items.html", data)

    async def approve(self, request: Request) -> Response:
        """Mark them, in a run that begins now."""
        integration_id = request.path_params["id"]
        try:
            await self._administration.approve_removals(actor_of(request), integration_id)
        except NotFoundError:
            return not_found(request, "this integration")
        except ConfigError as error:
            return refusal(request, error)
        return RedirectResponse(f"{LIST}/{integration_id}", 303)

    def _page(
        self, request: Request, stored: StoredIntegration, *, fault: str = "", form: forms.Form | None = None
    ) -> Response:
        trial = self._trials.get(actor_of(request), _key(stored))
        begun = {"since": "", "progress": "", "percent": None, "result": None}
        preview = {**begun, **trial.as_dict()} if trial is not None else None
        since = str(preview.get("since") or "")[:10] if preview else ""
        data: dict[str, Any] = {
            "title": f"Resync {stored.name}",
            "integration": {"id": stored.id, "name": stored.name, "disabled": stored.disabled},
            "range": form.get("range", "full") if form else "date" if since else "full",
            "date": form.get("date", "") if form else since,
            "fault": fault,
            "trial": preview,
        }
        return render_page(request, "resync.html", data, status=422 if fault else 200)


def _key(stored: StoredIntegration) -> str:
    return f"{stored.id}/resync"


def _window(form: forms.Form) -> Window:
    """Submit the resync form.

    Raises:
        ValueError: No date, or none that can be read.
    """
    if form.get("range", "full") == "full":
        return Window()
    since = as_instant(form.get("date", "").strip())
    if since is None:
        raise ValueError("Enter a date such as 2026-01-31")
    return Window(since)
