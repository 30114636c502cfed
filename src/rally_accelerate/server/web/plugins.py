"""Settings > Plugins: the Rally plug-in, its versions, and its documentation made from the settings model."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rally_accelerate import __version__
from rally_accelerate.config.form import format_value, list_form_fields
from rally_accelerate.config.model import DESCRIPTION, DISPLAY_NAME, EVENT, EVENT_DESCRIPTION, PLUGIN_ID, Integration
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.web.routing import actor_of, page_routes
from rally_accelerate.server.web.templating import render_page


@dataclass(frozen=True, slots=True)
class Release:
    """One version."""

    version: str
    #: As in the changelog; empty while it is not released.
    date: str
    description: str


RELEASES = (
    Release(
        "0.1.0",
        "2026-11-29",
        "Syncs stories, defects and other types with their full history, comments, relations, sprints and releases. "
        "Custom mapping rules, removal detection, a drop-in replacement for the ucv-ext-rally image, and this server.",
    ),
)


PLUGINS = "/settings/plugins"


class PluginPages:
    """The pages about the one plug-in that this host has."""

    def __init__(self, stores: Stores, schedule: Scheduler) -> None:
        self._stores = stores
        self._schedule = schedule

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [*page_routes(PLUGINS, self.index), *page_routes(f"{PLUGINS}/{PLUGIN_ID}", self.detail)]

    async def index(self, request: Request) -> Response:
        """List the plug-ins."""
        plugin = {
            "id": PLUGIN_ID,
            "name": DISPLAY_NAME,
            "version": __version__,
            "description": DESCRIPTION,
            "documentation": f"{PLUGINS}/{PLUGIN_ID}",
        }
        versions = [
            {"version": release.version, "date": release.date, "description": release.description}
            for release in RELEASES
        ]
        data = {
            "title": "Plugins",
            "plugins": [plugin],
            "versions": versions,
            "known": len(await self._stores.integrations.all()),
            "mayEdit": actor_of(request).may(Role.EDITOR),
        }
        return render_page(request, "plugins.html", data)

    async def detail(self, request: Request) -> Response:
        """Show the documentation of the plug-in."""
        general = [
            {"name": field.alias or name, "description": field.description or "", "required": field.is_required()}
            for name, field in Integration.model_fields.items()
            if field.description
        ]
        fields = [
            {
                "name": setting.name,
                "label": setting.label,
                "type": setting.kind,
                "description": setting.description,
                "required": setting.required,
                "hidden": setting.hidden,
                "default": format_value(setting.name, setting.default),
                "choices": list(setting.choices),
            }
            for setting in list_form_fields()
        ]
        data = {
            "title": f"{DISPLAY_NAME} plug-in",
            "plugin": {"id": PLUGIN_ID, "name": DISPLAY_NAME, "version": __version__, "description": DESCRIPTION},
            "events": [
                {"name": EVENT, "seconds": self._schedule.interval.total_seconds(), "description": EVENT_DESCRIPTION}
            ],
            "general": general,
            "fields": fields,
            "mayEdit": actor_of(request).may(Role.EDITOR),
        }
        return render_page(request, "plugin.html", data)
