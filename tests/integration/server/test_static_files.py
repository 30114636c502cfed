"""Styles and scripts: served from memory, without a file descriptor for each answer."""

import errno
from pathlib import Path
from typing import Any

import anyio
import pytest

from rally_accelerate.server.web.templating import FOLDER
from support.server_client import ServerClient

FILES = sorted(path.name for path in (FOLDER / "static").iterdir())


@pytest.fixture(autouse=True)
def _no_descriptor_is_free(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file be opened once the server has begun."""

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(anyio, "open_file", full)
    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr(Path, "read_bytes", full)


async def test_every_file_is_served_without_opening_it(asked: ServerClient) -> None:
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    for name in FILES:
        answer = await asked.http.get(f"/static/{name}")
        assert (answer.status_code, len(answer.content) > 0) == (200, True)
        assert answer.headers["content-type"].partition(";")[0] == kinds[Path(name).suffix]
        head = await asked.http.head(f"/static/{name}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == answer.headers["content-length"]


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}'])
async def test_a_known_file_is_not_sent_again(asked: ServerClient, form: str) -> None:
    tag = (await asked.http.get("/static/pages.css")).headers["etag"]
    answer = await asked.http.get("/static/pages.css", headers={"If-None-Match": form.format(tag)})
    assert (answer.status_code, answer.content) == (304, b"")
    other = await asked.http.get("/static/pages.css", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["", "nothing.css", "../app.py", "%2e%2e/app.py", "pages.css/", "/pages.css"])
async def test_nothing_else_is_served(asked: ServerClient, path: str) -> None:
    assert (await asked.http.get(f"/static/{path}")).status_code == 404


async def test_files_cannot_be_changed(asked: ServerClient) -> None:
    headers = {"Sec-Fetch-Site": "same-origin"}
    assert (await asked.http.post("/static/pages.css", headers=headers)).status_code == 405
