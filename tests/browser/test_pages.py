"""The pages in a real Chromium: a run is started by a click and its issue is seen with its history, without a script."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from support.processes import RunningServer, run_command, start_server, start_simulator, write_settings
from support.sign_in_page import sign_in


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A host that a sync has filled; no test changes it."""
    folder = tmp_path_factory.mktemp("synced")
    with start_simulator("--items", "150") as rally, start_server(folder / "host.sqlite") as target:
        file = write_settings(folder / "rally.json", rally, target)
        assert run_command("sync", str(file), "--once", "--state", str(folder / "state")).code == 0
        yield target


def test_from_the_list_of_integrations_to_an_issue_with_its_history(synced: RunningServer, page: Page) -> None:
    sign_in(page, synced)
    page.get_by_text("Other sources").wait_for()
    page.get_by_role("link", name="Issues", exact=True).click()
    page.locator(".facets").get_by_role("link", name="Accepted").click()
    page.get_by_role("link", name="Remove filter Status: Accepted").wait_for()
    page.wait_for_load_state()
    assert set(page.locator("tbody .badge").all_inner_texts()) == {"Accepted"}
    page.locator("summary", has_text="Columns").click()
    # A menu over the page closes with Escape, and with a click beside it.
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Update columns")).to_be_hidden()
    page.locator("summary", has_text="Columns").click()
    page.get_by_role("heading", name="Issues", exact=True).click()
    expect(page.get_by_role("button", name="Update columns")).to_be_hidden()
    page.locator("summary", has_text="Columns").click()
    page.get_by_label("Changes").check()
    page.get_by_role("button", name="Update columns").click()
    page.get_by_role("columnheader", name="Changes").wait_for()
    page.get_by_role("columnheader", name="ID").get_by_role("link").click()
    page.wait_for_selector("th[aria-sort=ascending]")
    page.get_by_label("Search with DQL").fill("issue.status = Accepted or isue.x = 1")
    page.get_by_label("Search with DQL").press("Enter")
    page.get_by_text("did you mean issue?").wait_for()
    page.get_by_label("Search with DQL").fill("issue.status = Accepted")
    page.get_by_label("Search with DQL").press("Enter")
    page.wait_for_url(re.compile(r"Accepted(&|$)"))
    page.locator("tbody th a").first.click()
    page.get_by_role("heading", name="History").wait_for()
    expect(page.locator(".timeline li").nth(1)).to_be_visible()
    expect(page.get_by_role("link", name="Open in Rally")).to_have_attribute("href", re.compile("."))
    # What it was at the first change that is known.
    page.locator(".timeline time a").last.click()
    page.get_by_text("were different").wait_for()
    expect(page.locator("tr.differs").first).to_be_visible()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_its_screen(synced: RunningServer, browser: Browser, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 700}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(synced.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sign_in(page, synced)
    pages = ("integrations", "integrations/new", "plugins", "plugins/ucv-ext-rally")
    for address in (*(f"/settings/{page_name}" for page_name in pages), "/executions", "/issues"):
        page.goto(synced.url + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("tbody th a").first.click()
    page.wait_for_url("**/issues/*/*")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".timeline time a").last.click()
    page.wait_for_url("**as-of**")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
