"""Every way into a host, described for a fuzzer: the addresses that its application has, whoever made them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount, Route

import rally_accelerate.server.web

PAGES = Path(rally_accelerate.server.web.__file__).parent

#: Where pages and forms read what they are given: ``given.get("text")``, ``form.getlist("column")``.
READ = re.compile(r"""\.(?:get|getlist|multi_items)\(\s*f?["']([A-Za-z_][\w-]*)["']""")

#: How a route writes a part of its path: ``{id:str}``.
PART = re.compile(r"\{(\w+)(?::\w+)?\}")

#: What most programs get wrong somewhere.
NASTY = (
    "",
    " ",
    "-1",
    "0",
    "1e999",
    "9" * 400,
    "2026-01-31T12:00",
    "0001-01-01T00:00:00+14:00",
    "\x00",
    "a\x00b",
    "../../etc/passwd",
    "%2e%2e%2f",
    "'; DROP TABLE issues; --",
    "{{ 7 * 7 }}",
    "<script>alert(1)</script>",
    "issue.status = 'Defined' and (issue.id in (US1, US2) or not issue.labels contains x)",
    "issue.status = ",
    "((((",
    "*",
    '"',
    "AND OR NOT NEAR(",
    "\u202egnp.exe",
    "\U0001f600" * 50,
    "ä" * 300,
    "[]",
    "{}",
    '{"a": [1, {"b": null}]}',
    "true",
    "null",
)


def iter_endpoints(app: Starlette) -> Iterator[tuple[str, str]]:
    """Method and path of every route; folders of files answer for themselves."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/{{file}}"
        elif isinstance(route, Route):
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield method, PART.sub(r"{\1}", route.path)


def list_parameter_names() -> list[str]:
    """Every name that a page asks an address or a form for, and some that are none."""
    names = {name for path in sorted(PAGES.rglob("*.py")) for name in READ.findall(path.read_text(encoding="utf-8"))}
    return sorted(names)


def build_openapi(app: Starlette, known: Sequence[str]) -> dict[str, Any]:
    """An OpenAPI document of a host.

    Args:
        app: The application.
        known: Ids that exist, to be tried as parts of paths and as values.
    """
    value = {"anyOf": [{"enum": [*known, *NASTY]}, {"type": "string"}]}
    form = {"schema": {"type": "object", "properties": dict.fromkeys(list_parameter_names(), value)}}
    paths: dict[str, dict[str, Any]] = {}
    for method, path in iter_endpoints(app):
        parameters: list[dict[str, Any]] = [
            {"name": name, "in": "path", "required": True, "schema": value} for name in PART.findall(path)
        ]
        operation: dict[str, Any] = {"parameters": parameters, "responses": {"200": {"description": "any"}}}
        if method == "GET":
            parameters += [{"name": name, "in": "query", "schema": value} for name in list_parameter_names()]
        else:
            kinds = ("application/x-www-form-urlencoded", "multipart/form-data", "application/json")
            operation["requestBody"] = {"content": dict.fromkeys(kinds, form)}
        paths.setdefault(path, {})[method.lower()] = operation
    return {"openapi": "3.0.3", "info": {"title": "host", "version": "1"}, "paths": paths}
