"""A server that a proxy shows below a path: every link, form, redirect and cookie has the path."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rally_accelerate.errors import ConfigError
from rally_accelerate.server.app import Server
from rally_accelerate.server.http_server import serve
from rally_accelerate.server.web.path_prefix import UrlPrefixMiddleware
from support.issues import UPLOAD, item, upload
from support.waiting import PATIENCE_SECONDS

OUTSIDE = "https://tools.example.com/rally/"
HEADERS = {"Host": "tools.example.com"}


@asynccontextmanager
async def shown(path: Path, *, outside: str = OUTSIDE) -> AsyncIterator[tuple[Server, httpx2.AsyncClient]]:
    async with (
        Server.open(path) as host,
        serve(host, outside=outside) as url,
        httpx2.AsyncClient(base_url=url, headers=HEADERS, timeout=PATIENCE_SECONDS) as http,
    ):
        yield host, http


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Server, httpx2.AsyncClient]]:
    async with shown(tmp_path / "host.sqlite") as found:
        yield found


async def sign_in(host: Server, http: httpx2.AsyncClient, *, before: str) -> httpx2.Response:
    form = {"name": "admin", "password": host.first_password or "", "next": "/issues"}
    return await http.post(f"{before}/sign-in", data=form, headers={"Origin": "https://tools.example.com"})


@pytest.mark.parametrize("before", ["/rally", ""], ids=["the proxy passes the path on", "the proxy removes the path"])
async def test_pages_lead_to_addresses_below_the_path(served: tuple[Server, httpx2.AsyncClient], before: str) -> None:
    host, http = served
    first = await http.get(f"{before}/")
    assert (first.status_code, first.headers["location"]) == (303, "/rally/sign-in")
    done = await sign_in(host, http, before=before)
    assert (done.status_code, done.headers["location"]) == (303, "/rally/issues")
    cookie = done.headers["set-cookie"]
    assert cookie.startswith("__Secure-rally-accelerate=")
    assert {"Path=/rally/", "Secure", "HttpOnly"} <= {part.strip() for part in cookie.split(";")}
    http.headers["Cookie"] = cookie.partition(";")[0]
    for path in ("/issues", "/settings/integrations", "/value-streams", "/users", "/profile", "/audit", "/executions"):
        page = await http.get(f"{before}{path}")
        assert page.status_code == 200, path
        assert int(page.headers["content-length"]) == len(page.content)
        # As in a browser, which has the page below the path.
        found = set(re.findall(r'\s(?:href|src|action|formaction)="(/[^"?#]*)', page.text))
        assert found
        assert all(each.startswith("/rally/") for each in found), found
        for each in sorted(one for one in found if "/static/" in one):
            assert (await http.get(each)).status_code == 200


async def test_what_issues_say_is_not_changed(served: tuple[Server, httpx2.AsyncClient]) -> None:
    host, http = served
    done = await sign_in(host, http, before="/rally")
    http.headers["Cookie"] = done.headers["set-cookie"].partition(";")[0]
    text = 'see <a href="/secret"> and action="/x"'
    body = {"query": UPLOAD, "variables": {"data": upload(item(1, name=text))}}
    key = {"Authorization": f"UserAccessKey {host.first_access_key}"}
    answer = await http.post("/rally/release-events-api/graphql", json=body, headers=key)
    assert "errors" not in answer.json()
    page = (await http.get("/rally/issues")).text
    assert "see &lt;a href=&#34;/secret&#34;&gt; and action=&#34;/x&#34;" in page
    assert (await http.get("/rally/issues.json")).json()["issues"][0]["name"] == text


async def test_the_path_alone_leads_to_the_first_page(served: tuple[Server, httpx2.AsyncClient]) -> None:
    _, http = served
    answer = await http.get("/rally?a=1")
    assert (answer.status_code, answer.headers["location"]) == (308, "/rally/?a=1")
    assert (await http.get("/rally/health")).status_code == 200
    assert (await http.head("/rally/sign-in")).status_code == 200


async def test_an_error_leads_back_to_the_page_before(served: tuple[Server, httpx2.AsyncClient]) -> None:
    host, http = served
    done = await sign_in(host, http, before="/rally")
    http.headers["Cookie"] = done.headers["set-cookie"].partition(";")[0]
    # A page that does not exist.
    page = await http.get("/rally/settings/nothing", headers={"Referer": "https://tools.example.com/rally/audit"})
    assert page.status_code == 404
    assert "/rally/rally" not in page.text


async def test_a_path_of_the_server_itself_is_refused(tmp_path: Path) -> None:
    for path in ("issues", "settings/x", "static", "health", "release-events-api"):
        with pytest.raises(ConfigError, match="is one of the server's own"):
            async with shown(tmp_path / "host.sqlite", outside=f"https://tools.example.com/{path}"):
                raise AssertionError


async def test_a_page_in_parts_is_changed_as_a_whole() -> None:
    parts = [b"<a hre", b'f="/a">', b'<a href="//b"> <a href="https://c/"> href="/d" text']

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html; charset=utf-8")]}
        )
        for number, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts) - 1})

    transport = httpx2.ASGITransport(app=UrlPrefixMiddleware(app, "/rally"))
    async with httpx2.AsyncClient(transport=transport, base_url="http://a") as http:
        page = await http.get("/rally/x")
    assert page.content == b'<a href="/rally/a"><a href="//b"> <a href="https://c/"> href="/rally/d" text'
    assert page.headers["content-length"] == str(len(page.content))
