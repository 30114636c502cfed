"""The file of a value stream: downloading, importing with a preview, and editing in place."""

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
from rally_accelerate.server.value_streams.document_text import MOST_CHARACTERS, completed, hidden, read
from rally_accelerate.server.value_streams.export import downloaded, file_name, known_integrations
from rally_accelerate.server.value_streams.importer import Importing, Plan
from rally_accelerate.server.web.error_pages import unkept
from rally_accelerate.server.web.forms import Form, form, submitted
from rally_accelerate.server.web.routing import actor_of, posted, routed, shown
from rally_accelerate.server.web.templating import missing, page
from rally_accelerate.server.web.value_streams import GONE, frame, listed, problems_of

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

    def __init__(self, stores: Stores, schedule: Scheduler, importing: Importing) -> None:
        self._stores = stores
        self._schedule = schedule
        self._importing = importing
        self._previews: ExpiringStore[_Preview] = ExpiringStore(most=MOST_PREVIEWS)
        #: Secrets that were typed into a text by what stands for them in it, as it is shown again.
        self._entered: ExpiringStore[Mapping[str, str]] = ExpiringStore(most=MOST_EDITED)

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            routed("/value-streams/{id:str}/file", self.download),
            *shown("/value-streams/{id:str}/import", self.choose, role=Role.EDITOR),
            posted("/value-streams/{id:str}/import", self.preview),
            posted("/value-streams/{id:str}/import/{token:str}", self.apply),
            *shown("/value-streams/{id:str}/edit", self.edit, role=Role.EDITOR),
            posted("/value-streams/{id:str}/edit", self.save),
        ]

    async def download(self, request: Request) -> Response:
        """The file, without secrets."""
        stream = await self._stream(request)
        if stream is None:
            return missing(request, GONE)
        return attachment(await self._text(stream), file_name(stream.name))

    async def choose(self, request: Request) -> Response:
        """Where the file is chosen."""
        stream = await self._stream(request)
        return missing(request, GONE) if stream is None else _import(request, stream)

    async def preview(self, request: Request) -> Response:
        """What an import of the chosen file would change."""
        stream, actor = await self._stream(request), actor_of(request)
        if stream is None:
            return missing(request, GONE)
        try:
            document = await asyncio.to_thread(read, _chosen(await submitted(request)))
            plan = await self._importing.plan(document, stream=stream)
        except ConfigError as error:
            return _import(request, stream, problems=problems_of(error), status=400)
        return _preview(request, stream, plan, self._kept(actor, stream, document))

    async def apply(self, request: Request) -> Response:
        """Import the file whose preview was shown."""
        stream, actor = await self._stream(request), actor_of(request)
        if stream is None:
            return missing(request, GONE)
        token = request.path_params["token"]
        keeps_others = bool((await form(request))["keep_others"])
        pending = self._previews.get(actor, token)
        if pending is None or pending.stream_id != stream.id:
            gone = Problem("", "the preview has expired; choose the file again")
            return _import(request, stream, problems=listed([gone]), status=400)
        try:
            done = await self._importing.replace(
                stream.id, pending.document, based_on=pending.version, actor=actor, keeps_others=keeps_others
            )
        except OutdatedError as error:
            # Shown anew, against what is valid by now.
            plan = await self._importing.plan(pending.document, stream=stream)
            return _preview(request, stream, plan, self._kept(actor, stream, pending.document), outdated=str(error))
        except (ConfigError, NotFoundError) as error:
            return _import(request, stream, problems=problems_of(error), status=400)
        self._previews.delete(actor, token)
        # Where only settings of integrations changed there is no new version to tell of.
        told_of = f"?saved={done.version}" if done.version > pending.version else ""
        return RedirectResponse(f"/value-streams/{stream.id}{told_of}", 303)

    async def edit(self, request: Request) -> Response:
        """The file as text."""
        stream = await self._stream(request)
        if stream is None:
            return missing(request, GONE)
        return _edit(request, stream, text=await self._text(stream), based_on=stream.version)

    async def save(self, request: Request) -> Response:  # noqa: PLR0911 - one page for each way to go on
        """Save the edited text; what is wrong with it is told beside it."""
        stream = await self._stream(request)
        if stream is None:
            return missing(request, GONE)
        try:
            form = await submitted(request)
        except ConfigError as error:
            return _edit(request, stream, text="", based_on=stream.version, problems=problems_of(error), status=413)
        actor, entered = actor_of(request), form["entered"]
        text, number = form["text"], _version(form["version"])
        try:
            text = completed(text, self._entered.get(actor, entered) or {})
            document = await asyncio.to_thread(read, text)
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
            problems = [Problem("", unkept(error))]
            return await self._again(request, stream, text=text, based_on=number, problems=problems, status=503)
        except OutdatedError as error:
            return await self._outdated(request, stream, text=text, based_on=number, error=error)
        except NotFoundError:
            return missing(request, GONE)
        self._entered.delete(actor, entered)
        return RedirectResponse(f"/value-streams/{stream.id}", 303)

    async def _outdated(
        self, request: Request, stream: StoredValueStream, *, text: str, based_on: int, error: OutdatedError
    ) -> Response:
        """The text is kept; what others changed meanwhile stands above it, and it can be saved all the same."""
        former = await self._stores.streams.get_version(stream.id, based_on)
        latest = next(iter(await self._stores.streams.list_versions(stream.id, limit=1)), None)
        outdated = {
            "said": str(error),
            "by": latest.actor if latest else "",
            "at": latest.at if latest else None,
            "differences": told(differences(former.document, stream.document)) if former else [],
        }
        return await self._again(request, stream, text=text, based_on=stream.version, outdated=outdated, status=409)

    async def _again(self, request: Request, stream: StoredValueStream, *, text: str, **more: Any) -> Response:
        """A text as it was typed, but for its secrets: they wait here until it comes back."""
        if len(text) > MOST_CHARACTERS:
            return _edit(request, stream, text="", **more)
        actor, shown = actor_of(request), await asyncio.to_thread(hidden, text)
        # A key of its own each time: in a page that somebody goes back to, the same words may stand for others.
        key = self._entered.choose_key(actor) if shown.secrets else ""
        if key:
            self._entered.put(actor, key, shown.secrets)
        return _edit(request, stream, text=shown.text, entered=key, **more)

    def _kept(self, actor: Actor, stream: StoredValueStream, document: Any) -> str:
        """The token by which a file is applied that was shown."""
        token = self._previews.choose_key(actor)
        self._previews.put(actor, token, _Preview(stream.id, stream.version, document))
        return token

    async def _stream(self, request: Request) -> StoredValueStream | None:
        return await self._stores.streams.by_id(request.path_params["id"])

    async def _text(self, stream: StoredValueStream) -> str:
        return as_text(downloaded(stream, await known_integrations(self._stores, self._schedule)))


def _version(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0  # noqa: PLR2004 - digits of any version


def _chosen(form: Form) -> bytes:
    if not form.has_file("file"):
        raise ConfigError("no file", problems=[Problem("", "choose a JSON file to import")])
    return form.content("file")


def as_text(document: Any) -> str:
    """A document as people read and edit it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def attachment(text: str, name: str) -> Response:
    """A file to be saved."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return Response(text, media_type="application/json", headers={"Content-Disposition": disposition})


def told(found: Sequence[Any]) -> list[dict[str, str]]:
    """Differences for a template."""
    return [{"kind": each.kind, "what": each.what, "name": each.name, "detail": each.detail} for each in found]


def planned(plan: Plan) -> dict[str, Any]:
    """What an import comes to, for a template."""
    return {
        "integrations": [
            {"name": write.name, "kind": "changed" if write.id else "added", "changed": list(write.changed)}
            for write in plan.writes
        ],
        "differences": told(plan.differences),
        "notices": list(plan.notices),
        "changesNothing": plan.changes_nothing,
        "effect": plan.effect.text,
        "hidden": list(plan.effect.hidden),
    }


def _import(
    request: Request, stream: StoredValueStream, *, problems: Sequence[Mapping[str, str]] = (), status: int = 200
) -> Response:
    data = {**frame(stream, "import"), "problems": problems}
    return page(request, "stream_import.html", data, status=status)


def _preview(request: Request, stream: StoredValueStream, plan: Plan, token: str, *, outdated: str = "") -> Response:
    data = {**frame(stream, "import"), "plan": planned(plan), "token": token, "outdated": outdated}
    return page(request, "stream_preview.html", data, status=409 if outdated else 200)


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
        **frame(stream, "edit"),
        "entered": entered,
        "text": text,
        "basedOn": based_on,
        "problems": problems,
        "plan": planned(plan) if plan else None,
        "outdated": outdated,
    }
    return page(request, "stream_edit.html", data, status=status)


PAGE = 50

#: Lines of a comparison; longer ones are read in the files.
MOST_LINES = 3_000
#: Longer files are not compared.
MOST_COMPARED = 20_000


class VersionPages:
    """The pages about versions."""

    def __init__(self, stores: Stores, schedule: Scheduler, importing: Importing) -> None:
        self._stores = stores
        self._schedule = schedule
        self._importing = importing

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            *shown("/value-streams/{id:str}/versions", self.listed),
            routed("/value-streams/{id:str}/versions/{number:str}", self.one),
            routed("/value-streams/{id:str}/versions/{number:str}/file", self.download),
            posted("/value-streams/{id:str}/versions/{number:str}/restore", self.restore),
        ]

    async def listed(self, request: Request) -> Response:
        """Every version, newest first, with what it changed."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return missing(request, GONE)
        skip = _number(request.query_params.get("skip", ""))
        found = await self._stores.streams.list_versions(stream.id, skip=skip, limit=PAGE + 1)
        shown, rows = found[:PAGE], []
        for number, version in enumerate(shown):
            before = found[number + 1] if number + 1 < len(found) else None
            rows.append(
                {
                    "number": version.number,
                    "at": version.at,
                    "actor": version.actor,
                    "why": version.why,
                    "changes": told(differences(before.document, version.document)) if before else [],
                }
            )
        more = f"?skip={skip + PAGE}" if len(found) > PAGE else ""
        return page(request, "stream_versions.html", {**frame(stream, "versions"), "versions": rows, "more": more})

    async def one(self, request: Request) -> Response:
        """One version, compared with another one: the valid one unless another is asked for."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return missing(request, GONE)
        version = await self._version(stream, request.path_params["number"].removesuffix(".json"))
        other = await self._version(stream, request.query_params.get("with") or str(stream.version))
        if version is None or other is None:
            return missing(request, "this version")
        old, new = sorted((version, other), key=lambda each: each.number)
        data = {
            **frame(stream, "versions"),
            "chosen": _shown(version),
            "old": _shown(old),
            "new": _shown(new),
            "differences": told(differences(old.document, new.document)),
            "lines": await self._lines(stream, old, new),
            "isValid": version.number == stream.version,
        }
        return page(request, "stream_version.html", data)

    async def download(self, request: Request) -> Response:
        """The file of a version."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return missing(request, GONE)
        version = await self._version(stream, request.path_params["number"])
        if version is None:
            return missing(request, "this version")
        known = await known_integrations(self._stores, self._schedule)
        text = as_text(downloaded(stream, known, document=version.document))
        return attachment(text, file_name(f"{stream.name} {version.number}"))

    async def restore(self, request: Request) -> Response:
        """Make an older version valid again, as a new version."""
        stream = await self._stores.streams.by_id(request.path_params["id"])
        if stream is None:
            return missing(request, GONE)
        version = await self._version(stream, request.path_params["number"])
        if version is None:
            return missing(request, "this version")
        try:
            given = (await submitted(request))["version"]
            based_on = _number(given) if given else stream.version
            await self._importing.replace(
                stream.id,
                version.document,
                based_on=based_on,
                actor=actor_of(request),
                why=f"restored version {version.number}",
            )
        except (ConfigError, NotFoundError, OutdatedError) as error:
            data = {**frame(stream, "versions"), "number": version.number, "problems": problems_of(error)}
            return page(request, "stream_refused.html", data, status=409 if isinstance(error, OutdatedError) else 400)
        return RedirectResponse(f"/value-streams/{stream.id}", 303)

    async def _version(self, stream: StoredValueStream, given: str) -> ValueStreamVersion | None:
        return await self._stores.streams.get_version(stream.id, _number(given))

    async def _lines(
        self, stream: StoredValueStream, old: ValueStreamVersion, new: ValueStreamVersion
    ) -> list[dict[str, str]]:
        """The two files line by line, around what differs."""
        # Settings of integrations have no versions: both files would show those of today.
        known = await known_integrations(self._stores, self._schedule)
        texts = [as_text(_bare(downloaded(stream, known, document=each.document))) for each in (old, new)]
        # In a thread: the time to compare long files of equal lines grows with the square of their length.
        return await asyncio.to_thread(lambda: list(_compared(*texts)))


def _bare(document: dict[str, Any]) -> dict[str, Any]:
    made = {"status", "startTime", "latest", "properties", "loggingLevel", "disabled"}
    entries = [
        {name: value for name, value in entry.items() if name not in made}
        for entry in document.get("integrations") or ()
    ]
    return {**document, "integrations": entries}


def _compared(old: str, new: str) -> Iterator[dict[str, str]]:
    sides = old.splitlines(), new.splitlines()
    if max(map(len, sides)) > MOST_COMPARED:
        yield {"kind": "place", "text": f"Files of more than {MOST_COMPARED:,} lines are too long to compare here."}
        return
    found = difflib.unified_diff(*sides, lineterm="", n=3)
    words = {"+": "added", "-": "removed", "@": "place", " ": "same"}
    for number, line in enumerate(found):
        if number > MOST_LINES:
            yield {"kind": "place", "text": "… more differences; download both files to compare them"}
            return
        if not line.startswith(("+++", "---")):
            yield {"kind": words.get(line[:1], "same"), "text": line}


def _shown(version: ValueStreamVersion) -> dict[str, Any]:
    return {"number": version.number, "at": version.at, "actor": version.actor, "why": version.why}


def _number(given: str) -> int:
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else 0  # noqa: PLR2004 - digits
