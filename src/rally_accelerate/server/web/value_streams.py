"""Pages to list, rename and delete value streams."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.errors import ConfigError, NotFoundError, OutdatedError, Problem
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.value_streams import StoredValueStream
from rally_accelerate.server.value_streams.document import phases_of, stages_of
from rally_accelerate.server.value_streams.importer import Importer
from rally_accelerate.server.web.forms import read_form, read_large_form
from rally_accelerate.server.web.routing import actor_of, page_routes, post_route
from rally_accelerate.server.web.templating import not_found, render_page

VALUE_STREAM = "this value stream"

#: The pages of a value stream beside its map, as the browser names them.
TABS = {"edit": "Edit JSON", "import": "Import JSON", "versions": "Versions", "settings": "Settings"}


class ValueStreamPages:
    """The pages about value streams as a whole."""

    def __init__(self, stores: Stores, importing: Importer) -> None:
        self._stores = stores
        self._importing = importing

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *page_routes("/value-streams", self.index),
            *page_routes("/value-streams/{id:str}/settings", self.settings, role=Role.EDITOR),
            post_route("/value-streams/{id:str}/rename", self.rename),
            post_route("/value-streams/{id:str}/delete", self.delete),
        ]

    async def index(self, request: Request) -> Response:
        """List all value streams."""
        rows = [_row(one) for one in await self._stores.streams.all()]
        return render_page(request, "value_streams.html", {"title": "Value streams", "streams": rows})

    async def settings(self, request: Request) -> Response:
        """Show the form for name, description and deletion."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        return not_found(request, VALUE_STREAM) if stream is None else _settings(request, stream)

    async def rename(self, request: Request) -> Response:
        """Change the name and description."""
        stream_id, actor = request.path_params["id"], actor_of(request)
        stream = await self._stores.streams.by_id(stream_id)
        if stream is None:
            return not_found(request, VALUE_STREAM)
        fields = await read_large_form(request)
        name, description = fields["name"], fields["description"].strip()
        try:
            await self._importing.rename(stream, name=name, description=description, actor=actor)
        except (ConfigError, NotFoundError, OutdatedError) as error:
            faults = {problem.path: problem.text for problem in getattr(error, "problems", ())} or {"": str(error)}
            return _settings(request, stream, name=name, description=description, faults=faults)
        return RedirectResponse(f"/value-streams/{stream_id}", 303)

    async def delete(self, request: Request) -> Response:
        """Remove a value stream; the form requires a check mark, to prevent accidental removal."""
        stream_id = request.path_params["id"]
        stream = await self._stores.streams.by_id(stream_id)
        if stream is None:
            return not_found(request, VALUE_STREAM)
        if not (await read_form(request))["sure"]:
            return _settings(request, stream, faults={"sure": "Select the checkbox to confirm the deletion."})
        await self._importing.remove(stream, actor=actor_of(request))
        return RedirectResponse("/value-streams", 303)


def layout_data(stream: StoredValueStream, tab: str) -> dict[str, Any]:
    """Return the data that all pages of a value stream show."""
    return {
        "title": f"{TABS[tab]} · {stream.name}" if tab in TABS else stream.name,
        "tab": tab,
        "stream": {
            "id": stream.id,
            "name": stream.name,
            "description": stream.document.get("description") or "",
            "version": stream.version,
            "lastUpdate": stream.last_update,
        },
    }


def problems_of(error: ConfigError | NotFoundError | OutdatedError) -> list[dict[str, str]]:
    """Why a value stream was not taken, each thing with its path, for ``stream_parts.problems``."""
    return problem_data(getattr(error, "problems", ())) or [{"path": "", "text": f"{error} {error.hint}".strip()}]


def problem_data(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """Return problems for a template."""
    return [{"path": problem.path, "text": problem.text} for problem in problems]


def _settings(
    request: Request,
    stream: StoredValueStream,
    *,
    name: str | None = None,
    description: str | None = None,
    faults: Mapping[str, str] | None = None,
) -> Response:
    """Show the settings form with the entered values and their problems."""
    data_of_stream = layout_data(stream, "settings")
    typed = {
        "name": stream.name if name is None else name,
        "description": data_of_stream["stream"]["description"] if description is None else description,
    }
    data = {**data_of_stream, "typed": typed, "faults": faults or {}}
    return render_page(request, "stream_settings.html", data, status=400 if faults else 200)


def _row(stream: StoredValueStream) -> Mapping[str, Any]:
    return {
        "id": stream.id,
        "name": stream.name,
        "description": stream.document.get("description") or "",
        "phases": [phase["name"] for _, phase in phases_of(stream.document)],
        "stages": sum(1 for _ in stages_of(stream.document)),
        "integrations": len(stream.document.get("integrations") or ()),
        "version": stream.version,
        "lastUpdate": stream.last_update,
    }
