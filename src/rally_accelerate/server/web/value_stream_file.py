"""File of a value stream: download, import with preview, editor and versions."""

import asyncio
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.errors import ConfigError, NotFoundError, OutdatedError, Problem, StoreError
from rally_accelerate.server.form_drafts import ExpiringStore
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.store.value_streams import StoredValueStream, ValueStreamVersion
from rally_accelerate.server.value_streams.diff import differences
from rally_accelerate.server.value_streams.document_text import (
    MOST_CHARACTERS,
    mask_secrets,
    parse_document,
    restore_secrets,
)
from rally_accelerate.server.value_streams.export import export_document, file_name, load_integrations
from rally_accelerate.server.value_streams.importer import Importer, Plan
from rally_accelerate.server.web.error_pages import unsaved_message
from rally_accelerate.server.web.forms import Form, parse_form, read_form
from rally_accelerate.server.web.routing import actor_of, page_routes, post_route, role_route
from rally_accelerate.server.web.templating import not_found, render_page
from rally_accelerate.server.web.value_streams import VALUE_STREAM, layout_data, problem_data, problems_of

#: So many previews are remembered: a file may be large.
MOST_PREVIEWS = 20

#: So many edited texts, whose secrets are remembered until they are saved.
MOST_EDITED = 200


@dataclass(frozen=True, slots=True)
class _Preview:
    """A file that was shown as a preview; its secrets stay in the process."""

    stream_id: str
    version: int
    document: Any


class FilePages:
    """The pages about the JSON file."""

    def __init__(self, stores: Stores, schedule: Scheduler, importing: Importer) -> None:
        self._stores = stores
        self._schedule = schedule
        self._importing = importing
        self._previews: ExpiringStore[_Preview] = ExpiringStore(most=MOST_PREVIEWS)
        #: Secrets that were typed into a text by what stands for them in it, as it is shown again.
        self._entered: ExpiringStore[Mapping[str, str]] = ExpiringStore(most=MOST_EDITED)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            role_route("/value-streams/{id:str}/file", self.download),
            *page_routes("/value-streams/{id:str}/import", self.choose, role=Role.EDITOR),
            post_route("/value-streams/{id:str}/import", self.preview),
            post_route("/value-streams/{id:str}/import/{token:str}", self.apply),
            *page_routes("/value-streams/{id:str}/edit", self.edit, role=Role.EDITOR),
            post_route("/value-streams/{id:str}/edit", self.save),
        ]

    async def download(self, request: Request) -> Response:
        """Download the file, without secrets."""
        stream = await self._stream(request)
        if stream is None:
            return not_found(request, VALUE_STREAM)
        return attachment(await self._text(stream), file_name(stream.name))

    async def choose(self, request: Request) -> Response:
        """Show the form to choose a file."""
        stream = await self._stream(request)
        return not_found(request, VALUE_STREAM) if stream is None else _import(request, stream)

    async def preview(self, request: Request) -> Response:
        """Show what an import of the chosen file would change."""
        stream, actor = await self._stream(request), actor_of(request)
        if stream is None:
            return not_found(request, VALUE_STREAM)
        try:
            document = await asyncio.to_thread(parse_document, _choose_file(await parse_form(request)))
            plan = await self._importing.plan(document, stream=stream)
        except ConfigError as error:
            return _import(request, stream, problems=problems_of(error), status=400)
        return _preview(request, stream, plan, self._entered_secrets(actor, stream, document))

    async def apply(self, request: Request) -> Response:
        """Import the file whose preview was shown."""
        stream, actor = await self._stream(request), actor_of(request)
        if stream is None:
            return not_found(request, VALUE_STREAM)
        token = request.path_params["token"]
        keeps_others = bool((await read_form(request))["keep_others"])
        pending = self._previews.get(actor, token)
        if pending is None or pending.stream_id != stream.id:
            problem = Problem("", "the preview has expired; choose the file again")
            return _import(request, stream, problems=problem_data([problem]), status=400)
        try:
            done = await self._importing.replace(
                stream.id, pending.document, based_on=pending.version, actor=actor, keeps_others=keeps_others
            )
        except OutdatedError as error:
            # Shown again, compared with the version that is valid now.
            plan = await self._importing.plan(pending.document, stream=stream)
            return _preview(
                request, stream, plan, self._entered_secrets(actor, stream, pending.document), outdated=str(error)
            )
        except (ConfigError, NotFoundError) as error:
            return _import(request, stream, problems=problems_of(error), status=400)
        self._previews.delete(actor, token)
        # Where only settings of integrations changed there is no new version to tell of.
        source = f"?saved={done.version}" if done.version > pending.version else ""
        return RedirectResponse(f"/value-streams/{stream.id}{source}", 303)

    async def edit(self, request: Request) -> Response:
        """Show the file in the editor."""
        stream = await self._stream(request)
        if stream is None:
            return not_found(request, VALUE_STREAM)
        return _edit(request, stream, text=await self._text(stream), based_on=stream.version)

    async def save(self, request: Request) -> Response:  # noqa: PLR0911 - one page for each way to go on
        """Save the edited text, or show it again with its errors."""
        stream = await self._stream(request)
        if stream is None:
            return not_found(request, VALUE_STREAM)
        try:
            form = await parse_form(request)
        except ConfigError as error:
            return _edit(request, stream, text="", based_on=stream.version, problems=problems_of(error), status=413)
        actor, entered = actor_of(request), form["entered"]
        text, number = form["text"], _version(form["version"])
        try:
            text = restore_secrets(text, self._entered.get(actor, entered) or {})
            document = await asyncio.to_thread(parse_document, text)
            if form["action"] == "preview":
                plan = await self._importing.plan(document, stream=stream)
                return await self._again(request, stream, text=text, based_on=number, plan=plan)
            await self._importing.replace(
                stream.id,
                document,
                based_on=number,
                actor=actor,
                why="edited",
                keeps_others=bool(form["keep_others"]),
            )
        except ConfigError as error:
            return await self._again(
                request, stream, text=text, based_on=number, problems=problems_of(error), status=400
            )
        except StoreError as error:
            # On a full disk, what was written must not be lost as well.
            problems = [Problem("", unsaved_message(error))]
            return await self._again(request, stream, text=text, based_on=number, problems=problems, status=503)
        except OutdatedError as error:
            return await self._outdated(request, stream, text=text, based_on=number, error=error)
        except NotFoundError:
            return not_found(request, VALUE_STREAM)
        self._entered.delete(actor, entered)
        return RedirectResponse(f"/value-streams/{stream.id}", 303)

    async def _outdated(
        self, request: Request, stream: StoredValueStream, *, text: str, based_on: int, error: OutdatedError
    ) -> Response:
        """Show the editor with the unsaved text and the changes that another user saved in the meantime."""
        former = await self._stores.streams.get_version(stream.id, based_on)
        latest = next(iter(await self._stores.streams.list_versions(stream.id, limit=1)), None)
        outdated = {
            "said": str(error),
            "by": latest.actor if latest else "",
            "at": latest.at if latest else None,
            "differences": difference_data(differences(former.document, stream.document)) if former else [],
        }
        return await self._again(request, stream, text=text, based_on=stream.version, outdated=outdated, status=409)

    async def _again(self, request: Request, stream: StoredValueStream, *, text: str, **more: Any) -> Response:
        """Return the entered text with placeholders for its secrets, which stay in memory."""
        if len(text) > MOST_CHARACTERS:
            return _edit(request, stream, text="", **more)
        actor, shown = actor_of(request), await asyncio.to_thread(mask_secrets, text)
        # A key of its own each time: in a page that somebody goes back to, the same words may stand for others.
        key = self._entered.choose_key(actor) if shown.secrets else ""
        if key:
            self._entered.put(actor, key, shown.secrets)
        return _edit(request, stream, text=shown.text, entered=key, **more)

    def _entered_secrets(self, actor: Actor, stream: StoredValueStream, document: Any) -> str:
        """Store a previewed file and return its token."""
        token = self._previews.choose_key(actor)
        self._previews.put(actor, token, _Preview(stream.id, stream.version, document))
        return token

    async def _stream(self, request: Request) -> StoredValueStream | None:
        return await self._stores.streams.by_id(request.path_params["id"])

    async def _text(self, stream: StoredValueStream) -> str:
        return as_text(export_document(stream, await load_integrations(self._stores, self._schedule)))


def _version(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 - digits of any version


def _choose_file(form: Form) -> bytes:
    if not form.has_file("file"):
        raise ConfigError("no file", problems=[Problem("", "choose a JSON file to import")])
    return form.content("file")


def as_text(document: Any) -> str:
    """Format a document as indented JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def attachment(text: str, name: str) -> Response:
    """Return a response that downloads a file."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return Response(text, media_type="application/json", headers={"Content-Disposition": disposition})


def difference_data(changes: Sequence[Any]) -> list[dict[str, str]]:
    """Differences for a template."""
    return [{"kind": item.kind, "what": item.what, "name": item.name, "detail": item.detail} for item in changes]


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return the template data of an import plan."""
    return {
        "integrations": [
            {"name": write.name, "kind": "changed" if write.id else "added", "changed": list(write.changed)}
            for write in plan.writes
        ],
        "differences": difference_data(plan.differences),
        "notices": list(plan.notices),
        "changesNothing": plan.changes_nothing,
        "effect": plan.effect.text,
        "hidden": list(plan.effect.hidden),
    }


def _import(
    request: Request, stream: StoredValueStream, *, problems: Sequence[Mapping[str, str]] = (), status: int = 200
) -> Response:
    data = {**layout_data(stream, "import"), "problems": problems}
    return render_page(request, "stream_import.html", data, status=status)


def _preview(request: Request, stream: StoredValueStream, plan: Plan, token: str, *, outdated: str = "") -> Response:
    data = {**layout_data(stream, "import"), "plan": plan_data(plan), "token": token, "outdated": outdated}
    return render_page(request, "stream_preview.html", data, status=409 if outdated else 200)


def _edit(
    request: Request,
    stream: StoredValueStream,
    *,
    text: str,
    based_on: int,
    problems: Sequence[Mapping[str, str]] = (),
    plan: Plan | None = None,
    outdated: Any = None,
    entered: str = "",
    status: int = 200,
) -> Response:
    data = {
        **layout_data(stream, "edit"),
        "entered": entered,
        "text": text,
        "basedOn": based_on,
        "problems": problems,
        "plan": plan_data(plan) if plan else None,
        "outdated": outdated,
    }
    return render_page(request, "stream_edit.html", data, status=status)


PAGE = 50

#: Lines of a comparison; longer ones are read in the files.
MOST_LINES = 3_000
#: Longer files are not compared.
MOST_COMPARED = 20_000


class VersionPages:
    """The pages about versions."""

    def __init__(self, stores: Stores, schedule: Scheduler, importing: Importer) -> None:
        self._stores = stores
        self._schedule = schedule
        self._importing = importing

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *page_routes("/value-streams/{id:str}/versions", self.index),
            role_route("/value-streams/{id:str}/versions/{number:str}", self.detail),
            role_route("/value-streams/{id:str}/versions/{number:str}/file", self.download),
            post_route("/value-streams/{id:str}/versions/{number:str}/restore", self.restore),
        ]

    async def index(self, request: Request) -> Response:
        """List all versions, newest first, with their changes."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return not_found(request, VALUE_STREAM)
        skip = _number(request.query_params.get("skip", ""))
        found = await self._stores.streams.list_versions(stream.id, skip=skip, limit=PAGE + 1)
        versions_shown, rows = found[:PAGE], []
        for number, version in enumerate(versions_shown):
            before = found[number + 1] if number + 1 < len(found) else None
            rows.append(
                {
                    "number": version.number,
                    "at": version.at,
                    "actor": version.actor,
                    "why": version.why,
                    "changes": difference_data(differences(before.document, version.document)) if before else [],
                }
            )
        more = f"?skip={skip + PAGE}" if len(found) > PAGE else ""
        return render_page(
            request, "stream_versions.html", {**layout_data(stream, "versions"), "versions": rows, "more": more}
        )

    async def detail(self, request: Request) -> Response:
        """Show a version compared with another one, by default the current one."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return not_found(request, VALUE_STREAM)
        version = await self._version(stream, request.path_params["number"].removesuffix(".json"))
        other = await self._version(stream, request.query_params.get("with") or str(stream.version))
        if version is None or other is None:
            return not_found(request, "this version")
        old, new = sorted((version, other), key=lambda each: each.number)
        data = {
            **layout_data(stream, "versions"),
            "chosen": _version_data(version),
            "old": _version_data(old),
            "new": _version_data(new),
            "differences": difference_data(differences(old.document, new.document)),
            "lines": await self._lines(stream, old, new),
            "isValid": version.number == stream.version,
        }
        return render_page(request, "stream_version.html", data)

    async def download(self, request: Request) -> Response:
        """Download the file of a version."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return not_found(request, VALUE_STREAM)
        version = await self._version(stream, request.path_params["number"])
        if version is None:
            return not_found(request, "this version")
        known = await load_integrations(self._stores, self._schedule)
        text = as_text(export_document(stream, known, document=version.document))
        return attachment(text, file_name(f"{stream.name} {version.number}"))

    async def restore(self, request: Request) -> Response:
        """Make an older version valid again, as a new version."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return not_found(request, VALUE_STREAM)
        version = await self._version(stream, request.path_params["number"])
        if version is None:
            return not_found(request, "this version")
        try:
            version_text = (await parse_form(request))["version"]
            based_on = _number(version_text) if version_text else stream.version
            await self._importing.replace(
                stream.id,
                version.document,
                based_on=based_on,
                actor=actor_of(request),
                why=f"restored version {version.number}",
            )
        except (ConfigError, NotFoundError, OutdatedError) as error:
            data = {**layout_data(stream, "versions"), "number": version.number, "problems": problems_of(error)}
            return render_page(
                request, "stream_restore_failed.html", data, status=409 if isinstance(error, OutdatedError) else 400
            )
        return RedirectResponse(f"/value-streams/{stream.id}", 303)

    async def _version(self, stream: StoredValueStream, number: str) -> ValueStreamVersion | None:
        return await self._stores.streams.get_version(stream.id, _number(number))

    async def _lines(
        self, stream: StoredValueStream, old: ValueStreamVersion, new: ValueStreamVersion
    ) -> list[dict[str, str]]:
        """Return the line diff of two files."""
        # Settings of integrations have no versions: both files would show those of today.
        known = await load_integrations(self._stores, self._schedule)
        texts = [
            as_text(_without_settings(export_document(stream, known, document=version.document)))
            for version in (old, new)
        ]
        # In a thread: the time to compare long files of equal lines grows with the square of their length.
        return await asyncio.to_thread(lambda: list(_compare_lines(*texts)))


def _without_settings(document: dict[str, Any]) -> dict[str, Any]:
    omitted = {"status", "startTime", "latest", "properties", "loggingLevel", "disabled"}
    entries = [
        {name: value for name, value in entry.items() if name not in omitted}
        for entry in document.get("integrations") or ()
    ]
    return {**document, "integrations": entries}


def _compare_lines(old: str, new: str) -> Iterator[dict[str, str]]:
    sides = old.splitlines(), new.splitlines()
    if max(map(len, sides)) > MOST_COMPARED:
        yield {"kind": "place", "text": f"Files of more than {MOST_COMPARED:,} lines are too long to compare here."}
        return
    differing = difflib.unified_diff(*sides, lineterm="", n=3)
    words = {"+": "added", "-": "removed", "@": "place", " ": "same"}
    for number, line in enumerate(differing):
        if number > MOST_LINES:
            yield {"kind": "place", "text": "… more differences; download both files to compare them"}
            return
        if not line.startswith(("+++", "---")):
            yield {"kind": words.get(line[:1], "same"), "text": line}


def _version_data(version: ValueStreamVersion) -> dict[str, Any]:
    return {"number": version.number, "at": version.at, "actor": version.actor, "why": version.why}


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 - digits
