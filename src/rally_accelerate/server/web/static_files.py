"""Styles, scripts and the icon, served from memory.

Reading them from the disk would take a file descriptor for each answer on its way, and clients without a password that
read slowly could use up all of them.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    tag: str


class StaticFiles:
    """An application that serves the files of a folder as they were when it was made, for a ``Mount``.

    Args:
        folder: It has no folders in it.
    """

    def __init__(self, folder: Path) -> None:
        self._files = _read(folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Raises:
            HTTPException: There is no such file, or it cannot be changed.
        """
        request = Request(scope)
        if request.method not in {"GET", "HEAD"}:
            raise HTTPException(405)
        file = self._files.get(scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/"))
        if file is None:
            raise HTTPException(404)
        headers = {"ETag": file.tag}
        if file.tag in tags(request.headers.get("if-none-match", "")):
            answer = Response(status_code=304, headers=headers)
        else:
            answer = Response(file.content, media_type=file.media_type, headers=headers)
        await answer(scope, receive, send)


@cache
def _read(folder: Path) -> dict[str, _File]:
    files = {}
    for path in folder.iterdir():
        if path.is_file():
            content = path.read_bytes()
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            files[path.name] = _File(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return files


def tags(header: str) -> set[str]:
    """Return the tags of ``If-None-Match``, weak ones as strong: the content is the same byte by byte."""
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
