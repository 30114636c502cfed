"""Add and edit an integration: one form, from which a connection, a preview and the projects can be looked at."""

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
from rally_accelerate.server.web.error_pages import unkept
from rally_accelerate.server.web.forms import form, large_form
from rally_accelerate.server.web.integration_form import FIELDS, LONG, Typed
from rally_accelerate.server.web.integration_preview import begin
from rally_accelerate.server.web.integrations import LIST
from rally_accelerate.server.web.routing import actor_of, own_path, posted, shown
from rally_accelerate.server.web.templating import missing, page

#: What can be looked at from the form, and which faults do not stand in its way.
TRIED = {
    "test": {"name"},
    "preview": {"name"},
    "projects": {
        "name",
        *(f"properties.{each}" for each in ("projects", "types", "typeNames", "query", "fieldMapping")),
    },
}


LABELS = {
    "name": "Integration Name",
    "loggingLevel": "Logging Level",
    "tenant_id": "Tenant",
    **{f"properties.{field.name}": field.label for field in FIELDS},
}


#: Said of a secret that was typed into a draft which is kept no longer.
FORGOTTEN = "has expired because the server restarted or an hour passed; enter it again"


class EditingPages:
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
        """Their addresses."""
        return [
            *shown(f"{LIST}/new", self.form, role=Role.EDITOR),
            posted(f"{LIST}/new", self.sent),
            *shown(f"{LIST}/{{id:str}}/edit", self.form, role=Role.EDITOR),
            posted(f"{LIST}/{{id:str}}/edit", self.sent),
            posted(f"{LIST}/{{id:str}}/test", self.test),
        ]

    async def form(self, request: Request) -> Response:
        """The form: empty, of an integration, or with what was typed already."""
        stored = await self._stored(request)
        if stored is None and "id" in request.path_params:
            return missing(request, "this integration")
        draft = self._drafts.get(actor_of(request), request.query_params.get("draft", ""))
        if draft is not None and draft.integration_id == (stored.id if stored else ""):
            return self._page(request, stored, forms.typed_again(draft), draft=draft)
        lost = await self._lost(request, request.query_params.get("draft", ""))
        return self._page(request, stored, forms.typed_of(stored) if stored else forms.empty(), lost=lost)

    async def sent(self, request: Request) -> Response:
        """Save what was typed, or try it out; with problems, the form again and nothing lost."""
        stored = await self._stored(request)
        if stored is None and "id" in request.path_params:
            return missing(request, "this integration")
        actor, form = actor_of(request), await large_form(request)
        before = self._drafts.get(actor, form.get("draft", ""))
        typed = forms.typed_from(form, before)
        draft = self._drafts.store(
            actor,
            stored.id if stored else "",
            values=typed.values,
            secrets_typed=typed.secrets,
            cleared=typed.cleared,
            draft_id=before.id if before else "",
        )
        found = forms.problems(typed, stored)
        lost = await self._lost(request, form.get("draft", "")) if before is None else None
        saved = lost if lost and lost["id"] else None
        if before is None and saved is None:
            # A browser sends no secret twice; saved without a word, the one before it would stay.
            found |= {f"properties.{name}": [FORGOTTEN] for name in forms.held(form) - typed.secrets.keys()}
        if await self._is_taken(typed, stored):
            found.setdefault("name", []).append("is already in use")
        what = form.get("do", "save")
        if what in TRIED:
            found = {field: texts for field, texts in found.items() if field not in TRIED[what]}
            if not found:
                begin(what, draft, stored, trials=self._trials, runs=self._runs, actor=actor)
                return RedirectResponse(f"/settings/drafts/{draft.id}/{what}", 303)
        elif not found:
            try:
                its_id = await self._save(request, typed, stored)
            except ConfigError as error:
                found = {problem.path: [problem.text] for problem in error.problems} or {"name": [str(error)]}
            except StoreError as error:
                # On a full disk, what was typed must not be lost as well.
                return self._page(request, stored, typed, draft=draft, fault=unkept(error))
            else:
                self._drafts.mark_saved(actor, draft.id, its_id)
                return RedirectResponse(f"{LIST}/{its_id}", 303)
        return self._page(request, stored, typed, draft=draft, problems=found, lost=saved)

    async def test(self, request: Request) -> Response:
        """Try the connection of an integration as it is stored."""
        stored = await self._stored(request)
        if stored is None:
            return missing(request, "this integration")
        actor, typed = actor_of(request), forms.typed_of(stored)
        origin = own_path((await form(request))["back"], otherwise=f"{LIST}/{stored.id}")
        draft = self._drafts.store(actor, stored.id, values=typed.values, secrets_typed={}, origin=origin)
        if problems := forms.problems(typed, stored):
            return self._page(request, stored, typed, draft=draft, problems=problems)
        begin("test", draft, stored, trials=self._trials, runs=self._runs, actor=actor)
        return RedirectResponse(f"/settings/drafts/{draft.id}/test", 303)

    async def _lost(self, request: Request, draft_id: str) -> dict[str, str] | None:
        """What became of a draft that is kept no longer: the integration that it was saved as, if it was."""
        if not draft_id:
            return None
        its_id = self._drafts.get_saved_integration_id(actor_of(request), draft_id)
        saved = await self._stores.integrations.by_id(its_id) if its_id else None
        return {"id": saved.id, "name": saved.name} if saved else {"id": "", "name": ""}

    async def _save(self, request: Request, typed: Typed, stored: StoredIntegration | None) -> str:
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

    async def _is_taken(self, typed: Typed, stored: StoredIntegration | None) -> bool:
        """Whether another integration has the name: told with all else that is wrong, not after it."""
        tenant = typed.values["tenant_id"] or DEFAULT_TENANT
        other = await self._stores.integrations.by_name(typed.values["name"], tenant)
        return other is not None and (stored is None or other.id != stored.id)

    async def _stored(self, request: Request) -> StoredIntegration | None:
        its_id = request.path_params.get("id")
        return await self._stores.integrations.by_id(its_id) if its_id else None

    def _page(
        self,
        request: Request,
        stored: StoredIntegration | None,
        typed: Typed,
        *,
        draft: Draft | None = None,
        problems: Mapping[str, list[str]] | None = None,
        fault: str = "",
        lost: Mapping[str, str] | None = None,
    ) -> Response:
        told = dict(sorted((problems or {}).items(), key=lambda pair: forms.order_of(pair[0])))
        fields = [_shown(field, typed, stored, told) for field in FIELDS]
        hidden_faults = any(field["hidden"] and field["problems"] for field in fields)
        hidden_faults = hidden_faults or any(name in told for name in ("loggingLevel", "tenant_id"))
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
            "problems": told,
            "fault": fault,
            "lost": lost,
            "labels": LABELS,
            "first": next(iter(told), ""),
        }
        return page(request, "integrationform.html", data, status=503 if fault else 422 if told else 200)


def _shown(
    field: FormField, typed: Typed, stored: StoredIntegration | None, problems: Mapping[str, list[str]]
) -> dict[str, Any]:
    """A field as the page shows it; of a secret, only whether there is one."""
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
