"""Documents of value streams, for tests."""

import json
import re
from typing import Any
from urllib.parse import urlsplit

from rally_accelerate.server.value_streams.document import validate
from rally_accelerate.server.value_streams.layout import Layout, parse_layout
from support.server_client import ServerClient


def stage(name: str, query: str | None, **more: Any) -> dict[str, Any]:
    """One stage."""
    return {"name": name, "query": query, **more}


def stream(*phases: tuple[str, list[dict[str, Any]]], **more: Any) -> dict[str, Any]:
    """A document of some phases with their stages."""
    return {"phases": [{"name": name, "stages": stages} for name, stages in phases], **more}


def board() -> dict[str, Any]:
    """To Do, Doing, Done in two phases."""
    return stream(
        ("Plan", [stage("To Do", "issue.status = Defined")]),
        (
            "Work",
            [stage("Doing", "issue.status = 'In-Progress'"), stage("Done", "issue.status in (Completed, Accepted)")],
        ),
    )


def build_create_form(document: Any, name: str) -> dict[str, Any]:
    """What the form sends that begins a value stream with a file."""
    text = document if isinstance(document, str) else json.dumps(document)
    return {
        "data": {"name": name, "description": "", "start": "file"},
        "files": {"file": ("x.json", text)},
    }


def find_create_address(page: str) -> str:
    """Where the preview of a new value stream creates it."""
    match = re.search(r'action="(/value-streams/new/file/[^"]+)"', page)
    assert match is not None, page
    return match[1]


async def create_value_stream(client: ServerClient, document: Any, name: str = "Shop") -> str:
    """The id of a value stream that the form makes of a file, once its preview was shown."""
    preview = await client.http.post("/value-streams/new", **build_create_form(document, name))
    assert preview.status_code == 200, preview.text
    answer = await client.http.post(find_create_address(preview.text))
    assert answer.status_code == 303, answer.text
    return urlsplit(answer.headers["location"]).path.rpartition("/")[2]


def layout_from_document(document: dict[str, Any]) -> Layout:
    """The layout of a document, which must be right."""
    validate(document)
    return parse_layout(document)
