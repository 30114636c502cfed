"""The documentation in the server: for everyone who is signed in, with its own policy, or a page that says how to get it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from rally_accelerate.config.model import Integration, Properties
from rally_accelerate.server.app import Server
from rally_accelerate.server.http_server import serve
from rally_accelerate.server.web import help as help_pages
from rally_accelerate.server.web import templating
from rally_accelerate.server.web.help_site import HelpSite
from support.server_client import ServerClient, open_server, set_session_cookie
from support.waiting import PATIENCE_SECONDS

PAGE = '<h1>Settings</h1><script>start()</script><a href="../index.html">Home</a>'

#: Pages that lead to a page of the documentation, with its name.
CONTEXTS = [
    ("/settings/integrations/new", "reference/settings"),
    ("/issues", "reference/query-language"),
]


def use(monkeypatch: pytest.MonkeyPatch, site: HelpSite) -> None:
    monkeypatch.setattr(help_pages, "help_site", lambda: site)
    monkeypatch.setattr(templating, "help_site", lambda: site)


@pytest.fixture
def site(tmp_path: Path) -> HelpSite:
    """A documentation site of a few files."""
    folder = tmp_path / "help"
    (folder / "reference").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Documentation</h1>")
    (folder / "reference" / "settings.html").write_text(PAGE)
    (folder / "reference" / "query-language.html").touch()
    (folder / "search.json").write_text("{}")
    (folder / "inline.json").write_text(
        json.dumps({"scripts": ["sha256-one", "sha256-two"], "styles": ["sha256-three"]})
    )
    (tmp_path / "secret.txt").write_text("not for everyone")
    return HelpSite(folder)


@pytest.fixture
async def helped(tmp_path: Path, site: HelpSite, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ServerClient]:
    """A server with a documentation site."""
    use(monkeypatch, site)
    async with open_server(tmp_path / "host.sqlite") as asked:
        yield asked


@pytest.fixture
async def helpless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ServerClient]:
    """A server without a documentation site."""
    use(monkeypatch, HelpSite(tmp_path / "nothing"))
    async with open_server(tmp_path / "host.sqlite") as asked:
        yield asked


async def test_every_page_links_to_the_documentation(helped: ServerClient) -> None:
    assert 'href="/help/"' in (await helped.http.get("/issues")).text
    moved = await helped.http.get("/help")
    assert (moved.status_code, moved.headers["location"]) == (308, "/help/")
    first = await helped.http.get("/help/")
    assert first.text == "<h1>Documentation</h1>"
    assert first.headers["content-type"].startswith("text/html")


async def test_the_policy_allows_inline_scripts_by_hash_and_no_other_server(helped: ServerClient) -> None:
    found = await helped.http.get("/help/reference/settings.html")
    assert found.text == PAGE
    policy = dict(part.strip().split(" ", 1) for part in found.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'sha256-one' 'sha256-two'"
    assert policy["style-src"] == "'self' 'sha256-three'"
    assert {policy[kind] for kind in ("connect-src", "worker-src")} == {"'self'"}
    assert policy["img-src"] == "'self' data:"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert found.headers["x-frame-options"] == "DENY"


async def test_only_the_documentation_has_a_policy_of_its_own(helped: ServerClient) -> None:
    for address in ("/issues", "/help/nothing.html", "/helpful", "/help"):
        assert "sha256" not in (await helped.http.get(address)).headers["content-security-policy"]


async def test_files_are_sent_once(helped: ServerClient) -> None:
    first = await helped.http.get("/help/search.json")
    assert (first.headers["content-type"], first.headers["cache-control"]) == ("application/json", "no-cache")
    again = await helped.http.get("/help/search.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await helped.http.get("/help/nothing.html")).headers["cache-control"] == "no-store"


async def test_nobody_reads_it_without_signing_in(helped: ServerClient) -> None:
    helped.http.cookies.clear()
    page = await helped.http.get("/help/reference/settings.html", headers={"Accept": "text/html"})
    assert page.status_code == 303
    assert page.headers["location"] == "/sign-in?next=/help/reference/settings.html"
    assert (await helped.http.get("/help/search.json")).status_code == 401


@pytest.mark.parametrize(
    "name",
    ["../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "/etc/passwd", "inline.json", "reference", "x%00y"],
)
async def test_no_other_file_can_be_read(helped: ServerClient, name: str) -> None:
    found = await helped.http.get(f"/help/{name}")
    assert found.status_code == 404
    assert "not for everyone" not in found.text


async def test_forms_lead_to_their_settings(helped: ServerClient) -> None:
    for address, page in CONTEXTS:
        assert f'href="/help/{page}.html' in (await helped.http.get(address)).text, address
    form = (await helped.http.get("/settings/integrations/new")).text
    assert 'href="/help/reference/settings.html#proxyserver"' in form
    assert 'href="/help/reference/settings.html#tenant_id"' in form


def test_every_field_of_the_form_has_its_place_in_the_reference() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/settings.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")]
    shown = {field.alias or name for name, field in Properties.model_fields.items() if field.json_schema_extra}
    assert shown | {"name", "tenant_id", "loggingLevel"} <= set(headings)
    assert shown <= {field.alias or name for name, field in Properties.model_fields.items()}
    assert Integration.model_fields
    # Anchors are lower case, and the second of two equal ones would have another.
    assert len({heading.lower() for heading in headings}) == len(headings)


async def test_without_the_site_a_page_says_how_to_get_it(helpless: ServerClient) -> None:
    found = await helpless.http.get("/help/")
    assert found.status_code == 200
    assert "make docs" in found.text
    assert (await helpless.http.get("/help/reference/settings.html")).status_code == 404
    for address, _ in CONTEXTS:
        assert 'href="/help/' not in (await helpless.http.get(address)).text.replace('href="/help/"', ""), address


async def test_it_is_served_below_a_path(tmp_path: Path, site: HelpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, site)
    async with (
        Server.open(tmp_path / "host.sqlite") as host,
        serve(host, outside="https://tools.example.com/rally/") as url,
        httpx2.AsyncClient(base_url=url, headers={"Host": "tools.example.com"}, timeout=PATIENCE_SECONDS) as http,
    ):
        await set_session_cookie(host, http)
        http.headers["Cookie"] = "; ".join(f"__Secure-rally-accelerate={cookie.value}" for cookie in http.cookies.jar)
        assert (await http.get("/rally/help")).headers["location"] == "/rally/help/"
        assert (await http.get("/rally/help/reference/settings.html")).text == PAGE
        assert 'href="/rally/help/reference/query-language.html"' in (await http.get("/rally/issues")).text
