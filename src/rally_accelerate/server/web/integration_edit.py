"""The form to add and edit an integration, with connection test, preview and project picker."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate import __version__
from rally_accelerate.config.form import FormField
from rally_accelerate.config.model import DEFAULT_TENANT, DISPLAY_NAME
from rally_accelerate.config.value_parsers import LEVELS
from rally_accelerate.errors import ConfigError, StoreError
from rally_accelerate.server.dry_runs import DryRuns
from rally_accelerate.server.form_drafts import Draft, DraftStore
from rally_accelerate.server.integrations import IntegrationService
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.runner import Runner
from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.web import integration_form as forms
from rally_accelerate.server.web.error_pages import unsaved_message
from rally_accelerate.server.web.forms import read_form, read_large_form
from rally_accelerate.server.web.integration_form import FIELDS, LONG, FormInput
from rally_accelerate.server.web.integration_preview import start_dry_run
from rally_accelerate.server.web.integrations import LIST
from rally_accelerate.server.web.routing import actor_of, local_path, page_routes, post_route
from rally_accelerate.server.web.templating import not_found, render_page

#: What can be looked at from the form, and which faults do not stand in its way.
IGNORED_FAULTS = {
    "test": {"name"},
    "preview": {"name"},
    "projects": {
        "name",
        *(f"properties.{setting}" for setting in ("projects", "types", "typeNames", "query", "fieldMapping")),
    },
}


LABELS = {
    "name": "Integration Name",
    "loggingLevel": "Logging Level",
    "tenant_id": "Tenant",
    **{f"properties.{field.name}": field.label for field in FIELDS},
}


#: Said of a secret that was typed into a draft which is kept no longer.
DRAFT_EXPIRED = "has expired because the server restarted or an hour passed; enter it again"


class IntegrationEditPages:
    """The form."""

    def __init__(
        self, stores: Stores, runs: Runner, administration: IntegrationService, trials: DryRuns, drafts: DraftStore
    ) -> None:
        self._stores = stores
        self._runs = runs
        self._administration = administration
        self._trials = trials
        self._drafts = drafts

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *page_routes(f"{LIST}/new", self.show_form, role=Role.EDITOR),
            post_route(f"{LIST}/new", self.submit),
            *page_routes(f"{LIST}/{{id:str}}/edit", self.show_form, role=Role.EDITOR),
            post_route(f"{LIST}/{{id:str}}/edit", self.submit),
            post_route(f"{LIST}/{{id:str}}/test", self.test),
        ]

    async def show_form(self, request: Request) -> Response:
        """Show the form: empty, with a stored integration, or with a draft."""
        stored = await self._load(request)
        if stored is None and "id" in request.path_params:
            return not_found(request, "this integration")
        draft = self._drafts.get(actor_of(request), request.query_params.get("draft", ""))
        if draft is not None and draft.integration_id == (stored.id if stored else ""):
            return self._page(request, stored, forms.from_draft(draft), draft=draft)
        lost = await self._describe_expired_draft(request, request.query_params.get("draft", ""))
        return self._page(request, stored, forms.from_stored(stored) if stored else forms.empty(), lost=lost)

    async def submit(self, request: Request) -> Response:
        """Save what was typed, or try it out; with problems, the form again and nothing lost."""
        stored = await self._load(request)
        if stored is None and "id" in request.path_params:
            return not_found(request, "this integration")
        actor, form = actor_of(request), await read_large_form(request)
        before = self._drafts.get(actor, form.get("draft", ""))
        typed = forms.from_request(form, before)
        draft = self._drafts.store(
            actor,
            stored.id if stored else "",
            values=typed.values,
            secrets_typed=typed.secrets,
            cleared=typed.cleared,
            draft_id=before.id if before else "",
        )
        faults = forms.validate(typed, stored)
        lost = await self._describe_expired_draft(request, form.get("draft", "")) if before is None else None
        saved = lost if lost and lost["id"] else None
        if before is None and saved is None:
            # A browser sends no secret twice; saved without a word, the one before it would stay.
            faults |= {
                f"properties.{name}": [DRAFT_EXPIRED] for name in forms.kept_secrets_of(form) - typed.secrets.keys()
            }
        if await self._is_name_in_use(typed, stored):
            faults.setdefault("name", []).append("is already in use")
        what = form.get("do", "save")
        if what in IGNORED_FAULTS:
            faults = {field: texts for field, texts in faults.items() if field not in IGNORED_FAULTS[what]}
            if not faults:
                start_dry_run(what, draft, stored, trials=self._trials, runs=self._runs, actor=actor)
                return RedirectResponse(f"/settings/drafts/{draft.id}/{what}", 303)
        elif not faults:
            try:
                integration_id = await self._save(request, typed, stored)
            except ConfigError as error:
                faults = {problem.path: [problem.text] for problem in error.problems} or {"name": [str(error)]}
            except StoreError as error:
                # On a full disk, what was typed must not be lost as well.
                return self._page(request, stored, typed, draft=draft, fault=unsaved_message(error))
            else:
                self._drafts.mark_saved(actor, draft.id, integration_id)
                return RedirectResponse(f"{LIST}/{integration_id}", 303)
        return self._page(request, stored, typed, draft=draft, problems=faults, lost=saved)

    async def test(self, request: Request) -> Response:
        """Try the connection of an integration as it is stored."""
        stored = await self._load(request)
        if stored is None:
            return not_found(request, "this integration")
        actor, typed = actor_of(request), forms.from_stored(stored)
        origin = local_path((await read_form(request))["back"], otherwise=f"{LIST}/{stored.id}")
        draft = self._drafts.store(actor, stored.id, values=typed.values, secrets_typed={}, origin=origin)
        if problems := forms.validate(typed, stored):
            return self._page(request, stored, typed, draft=draft, problems=problems)
        start_dry_run("test", draft, stored, trials=self._trials, runs=self._runs, actor=actor)
        return RedirectResponse(f"/settings/drafts/{draft.id}/test", 303)

    async def _describe_expired_draft(self, request: Request, draft_id: str) -> dict[str, str] | None:
        """Return the integration that an expired draft was saved as, if any."""
        if not draft_id:
            return None
        integration_id = self._drafts.get_saved_integration_id(actor_of(request), draft_id)
        saved = await self._stores.integrations.by_id(integration_id) if integration_id else None
        return {"id": saved.id, "name": saved.name} if saved else {"id": "", "name": ""}

    async def _save(self, request: Request, typed: FormInput, stored: StoredIntegration | None) -> str:
        raw = forms.raw_of(typed, stored)
        if stored is None:
            return await self._administration.add(actor_of(request), raw)
        changes = {
            "name": raw["name"],
            "display_name": raw["name"] if stored.display_name == stored.name else stored.display_name,
            "tenant_id": raw["tenant_id"],
            "logging_level": raw["loggingLevel"],
            "show_hidden": raw["showHidden"],
            "properties": raw["properties"],
        }
        return (await self._administration.edit(actor_of(request), stored.id, changes)).id

    async def _is_name_in_use(self, typed: FormInput, stored: StoredIntegration | None) -> bool:
        """Return whether another integration has the name, to report it together with the other problems."""
        tenant = typed.values["tenant_id"] or DEFAULT_TENANT
        other = await self._stores.integrations.by_name(typed.values["name"], tenant)
        return other is not None and (stored is None or other.id != stored.id)

    async def _load(self, request: Request) -> StoredIntegration | None:
        integration_id = request.path_params.get("id")
        return await self._stores.integrations.by_id(integration_id) if integration_id else None

    def _page(
        self,
        request: Request,
        stored: StoredIntegration | None,
        typed: FormInput,
        *,
        draft: Draft | None = None,
        problems: Mapping[str, list[str]] | None = None,
        fault: str = "",
        lost: Mapping[str, str] | None = None,
    ) -> Response:
        faults = dict(sorted((problems or {}).items(), key=lambda pair: forms.order_of(pair[0])))
        fields = [_field_data(field, typed, stored, faults) for field in FIELDS]
        hidden_faults = any(field["hidden"] and field["problems"] for field in fields)
        hidden_faults = hidden_faults or any(name in faults for name in ("loggingLevel", "tenant_id"))
        data = {
            "title": f"Edit {stored.name}" if stored else f"Add {DISPLAY_NAME} Integration",
            "plugin": {"name": DISPLAY_NAME, "version": __version__},
            "integration": {"id": stored.id, "name": stored.name} if stored else None,
            "action": f"{LIST}/{stored.id}/edit" if stored else f"{LIST}/new",
            "draft": draft.id if draft else "",
            "envelope": {name: typed.values[name] for name in forms.ENVELOPE},
            "showHidden": bool(typed.values["showHidden"]) or hidden_faults,
            "fields": fields,
            "levels": LEVELS,
            "problems": faults,
            "fault": fault,
            "lost": lost,
            "labels": LABELS,
            "first": next(iter(faults), ""),
        }
        return render_page(request, "integration_form.html", data, status=503 if fault else 422 if faults else 200)


def _field_data(
    field: FormField, typed: FormInput, stored: StoredIntegration | None, problems: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Return the template data of a field; for a secret, only whether it is set."""
    key = f"properties.{field.name}"
    known = bool(stored and stored.properties.get(field.name))
    state = "kept" if known else ""
    if field.name in typed.secrets or field.name in typed.cleared:
        state = "typed" if field.name in typed.secrets else "cleared"
    return {
        "name": key,
        "label": field.label,
        "kind": field.kind,
        "description": field.description,
        "required": field.required,
        "hidden": field.hidden,
        "choices": field.choices,
        "long": field.name in LONG,
        "value": "" if field.kind == "Secure" else typed.values.get(key, ""),
        "secret": state if field.kind == "Secure" else "",
        "problems": problems.get(key, []),
    }
