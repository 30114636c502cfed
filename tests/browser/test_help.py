"""The built documentation in a real Chromium: it loads nothing from elsewhere, its search works, its policy suffices."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from rally_accelerate.server.web.help_site import help_site
from support.processes import RunningServer, start_server
from support.sign_in_page import sign_in

pytestmark = pytest.mark.skipif(not help_site().is_built, reason="the documentation is not built (make docs)")

AUDIT = (Path(__file__).parent / "audit.js").read_text()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server without issues."""
    with start_server(tmp_path_factory.mktemp("help") / "host.sqlite") as running:
        yield running


@pytest.fixture
def visited(page: Page, target: RunningServer) -> Iterator[list[str]]:
    """The addresses that a signed-in browser requests; a violation of a policy fails the test of ``page``."""
    sign_in(page, target)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    yield requested
    assert [address for address in requested if not address.startswith((f"{target.url}/", "data:"))] == []


def test_the_search_finds_a_setting(page: Page, target: RunningServer, visited: list[str]) -> None:
    page.get_by_role("link", name="Help", exact=True).click()
    expect(page.get_by_role("heading", name="Documentation")).to_be_visible()
    page.get_by_role("button", name="Search").click()
    field = page.locator('input[aria-label="Search"]')
    field.fill("proxyServer")
    result = page.locator("ol a").first
    expect(result).to_contain_text("Settings")
    # Its style sheet is allowed by its hash: without it, the dialog would fill the page.
    box = field.bounding_box()
    assert box is not None
    assert box["y"] > 50
    result.click()
    page.wait_for_url("**/help/reference/settings.html**#proxyserver")
    assert any("search.json" in address for address in visited)


def test_a_field_of_the_form_leads_to_its_setting(page: Page, target: RunningServer, visited: list[str]) -> None:
    page.goto(f"{target.url}/settings/integrations/new")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Help on Proxy Server (opens a new tab)").click()
    expect(opened.value.locator("#proxyserver")).to_be_in_viewport()
    opened.value.close()


def test_every_page_of_the_documentation_loads(page: Page, target: RunningServer, visited: list[str]) -> None:
    page.goto(f"{target.url}/help/")
    links = page.locator("nav.md-nav--primary a.md-nav__link[href]")
    addresses = dict.fromkeys(links.evaluate_all("links => links.map((link) => link.href)"))
    assert len(addresses) > 20
    for address in addresses:
        page.goto(address)
        expect(page.locator("h1")).to_be_visible()
    # The logo leads back to the server's pages.
    page.locator("header a.md-logo").click()
    page.wait_for_url(f"{target.url}/settings/integrations")


@pytest.mark.parametrize(("scheme", "name"), [("light", "default"), ("dark", "slate")])
def test_a_page_can_be_used_by_everybody(
    page: Page, target: RunningServer, visited: list[str], scheme: str, name: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    page.goto(f"{target.url}/help/reference/settings.html")
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", name)
    page.wait_for_load_state()
    # The title has the generator's form.
    assert [fault for fault in page.evaluate(AUDIT) if not fault.startswith("the title")] == []
