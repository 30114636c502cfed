"""The versions of a value stream: listed, compared, downloaded and restored."""

import asyncio
import difflib
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.errors import ConfigError, NotFound, Outdated
from rally_accelerate.host.schedule import Schedule
from rally_accelerate.host.store.streams import StoredStream, Version
from rally_accelerate.host.stores import Stores
from rally_accelerate.host.streams.difference import differences
from rally_accelerate.host.streams.download import downloaded, file_name
from rally_accelerate.host.streams.importing import Importing
from rally_accelerate.host.streams.known import known_integrations
from rally_accelerate.host.web.forms import submitted
from rally_accelerate.host.web.render import missing, page
from rally_accelerate.host.web.routing import actor_of, posted, routed, shown
from rally_accelerate.host.web.streamfile import as_text, attachment, told
from rally_accelerate.host.web.streams import GONE, frame, problems_of

PAGE = 50

#: Lines of a comparison; longer ones are read in the files.
MOST_LINES = 3_000
#: Longer files are not compared.
MOST_COMPARED = 20_000


class VersionPages:
    """The pages about versions."""

    def __init__(self, stores: Stores, schedule: Schedule, importing: Importing) -> None:
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
        found = await self._stores.streams.versions(stream.id, skip=skip, limit=PAGE + 1)
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
        except (ConfigError, NotFound, Outdated) as error:
            data = {**frame(stream, "versions"), "number": version.number, "problems": problems_of(error)}
            return page(request, "stream_refused.html", data, status=409 if isinstance(error, Outdated) else 400)
        return RedirectResponse(f"/value-streams/{stream.id}", 303)

    async def _version(self, stream: StoredStream, given: str) -> Version | None:
        return await self._stores.streams.version(stream.id, _number(given))

    async def _lines(self, stream: StoredStream, old: Version, new: Version) -> list[dict[str, str]]:
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
        yield {"kind": "place", "text": f"Files of more than {MOST_COMPARED:,} lines are not compared here."}
        return
    found = difflib.unified_diff(*sides, lineterm="", n=3)
    words = {"+": "added", "-": "removed", "@": "place", " ": "same"}
    for number, line in enumerate(found):
        if number > MOST_LINES:
            yield {"kind": "place", "text": "… more differs; compare the two files"}
            return
        if not line.startswith(("+++", "---")):
            yield {"kind": words.get(line[:1], "same"), "text": line}


def _shown(version: Version) -> dict[str, Any]:
    return {"number": version.number, "at": version.at, "actor": version.actor, "why": version.why}


def _number(given: str) -> int:
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else 0  # noqa: PLR2004 - digits
