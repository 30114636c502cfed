"""The pages in a real Chromium: a run is started by a click and its issue is seen with its history, without a script."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from support.processes import command, host, settings, simulator
from support.signing_in import sign_in

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
)

#: Background services of the browser would look for hosts outside this machine.
OFFLINE = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--no-sandbox",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=OFFLINE)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which a script error or a blocked resource is a failure."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    faults: list[str] = []
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    opened.on("requestfailed", lambda request: faults.append(request.url))
    yield opened
    context.close()
    assert faults == []


def test_from_the_list_of_integrations_to_an_issue_with_its_history(tmp_path: Path, page: Page) -> None:
    with simulator("--items", "150") as rally, host(tmp_path / "host.sqlite") as target:
        file = settings(tmp_path / "rally.json", rally, target)
        assert command("sync", str(file), "--once", "--state", str(tmp_path / "state")).code == 0
        sign_in(page, target)
        page.get_by_text("Uploaded from elsewhere").wait_for()
        page.get_by_role("link", name="Issues", exact=True).click()
        page.get_by_label("Status").select_option("Accepted")
        page.get_by_role("button", name="Show").click()
        assert set(page.locator("tbody .badge").all_inner_texts()) == {"Accepted"}
        page.locator("tbody th a").first.click()
        page.get_by_role("heading", name="History").wait_for()
        assert page.locator(".timeline li").count() > 1
        assert page.get_by_role("link", name="open in Rally").get_attribute("href", timeout=5000)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_its_screen(tmp_path: Path, browser: Browser, width: int, scheme: str) -> None:
    with simulator("--items", "100") as rally, host(tmp_path / "host.sqlite") as target:
        file = settings(tmp_path / "rally.json", rally, target)
        assert command("sync", str(file), "--once", "--state", str(tmp_path / "state")).code == 0
        context = browser.new_context(
            viewport={"width": width, "height": 700}, color_scheme="dark" if scheme == "dark" else "light"
        )
        page = context.new_page()
        page.goto(target.url)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sign_in(page, target)
        for address in ("/settings/integrations", "/issues"):
            page.goto(target.url + address)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("tbody th a").first.click()
        page.wait_for_url("**/issues/*/*")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        context.close()
