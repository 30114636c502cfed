"""The way of the plug-in's page in a real Chromium: Plugins, Add Integration, Save; with scripts and without."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from support.processes import Simulator, start_server, start_simulator
from support.sign_in_page import sign_in

#: A loaded machine is slow, and without scripts a page is loaded again every few seconds only.
PATIENCE = 60_000


@pytest.fixture(scope="module")
def rally() -> Iterator[Simulator]:
    """One simulator for all cases; its world does not change."""
    with start_simulator("--items", "200") as running:
        yield running


@pytest.fixture(params=["with scripts", "without scripts"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of either kind."""
    context = browser.new_context(java_script_enabled=request.param == "with scripts")
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def test_an_integration_is_added_tried_and_run(tmp_path: Path, page: Page, rally: Simulator) -> None:
    with start_server(tmp_path / "host.sqlite") as target:
        sign_in(page, target)
        page.get_by_role("link", name="Settings").click()
        page.get_by_role("link", name="Plugins").click()
        page.get_by_role("link", name="Add Integration").click()
        page.get_by_role("button", name="Save", exact=True).click()
        # Everything at once, the first mistake in focus.
        page.get_by_text("Fix 2 fields to continue").wait_for()
        expect(page.get_by_label("Integration Name", exact=True)).to_be_focused()
        page.get_by_label("Integration Name", exact=True).fill("my-rally")
        page.get_by_label("URL", exact=True).fill(rally.url)
        page.get_by_label("API Token", exact=True).fill("a wrong key")
        page.get_by_role("button", name="Test connection").click()
        page.get_by_text("Connection failed").wait_for()
        page.get_by_role("link", name="Back to form").click()
        expect(page.get_by_label("Integration Name", exact=True)).to_have_value("my-rally")
        expect(page.get_by_label("API Token", exact=True)).to_have_value("")
        page.get_by_label("API Token", exact=True).fill(rally.key)
        page.get_by_role("button", name="Test connection").click()
        page.get_by_text("Connected", exact=True).wait_for()
        page.get_by_role("link", name="Back to form").click()

        page.get_by_role("button", name="Choose projects").click()
        page.get_by_label("Team Amber").check()
        page.get_by_role("button", name="Use these projects").click()
        expect(page.get_by_label("Projects", exact=True)).to_have_value("Team Amber")
        expect(page.get_by_label("Filter", exact=True)).to_be_hidden()
        page.get_by_label("Show hidden properties").check()
        expect(page.get_by_label("Filter", exact=True)).to_be_visible()
        page.get_by_role("button", name="Preview issues").click()
        page.get_by_text("Nothing has been saved").wait_for()
        page.wait_for_load_state()
        assert 0 < page.locator("tbody tr").count() <= 5
        page.get_by_role("link", name="Back to form").click()
        page.get_by_role("button", name="Save", exact=True).click()

        page.get_by_role("heading", name="my-rally").wait_for()
        page.get_by_text("Online").wait_for()
        page.get_by_role("link", name="Integrations", exact=True).first.click()
        row = page.get_by_role("row", name=re.compile("my-rally"))
        page.get_by_role("switch", name="my-rally enabled").click()
        expect(page.get_by_role("switch", name="my-rally enabled")).to_have_attribute("aria-checked", "false")
        expect(row).to_contain_text("Disabled")
        page.locator("main summary").click()
        page.get_by_role("link", name="Edit").click()
        expect(page.get_by_label("API Token", exact=True)).to_have_attribute("placeholder", "••••")
        page.wait_for_load_state()
        assert rally.key not in page.content()


def test_a_run_is_followed_and_its_log_is_searched(tmp_path: Path, page: Page, rally: Simulator) -> None:
    with start_server(tmp_path / "host.sqlite") as target:
        sign_in(page, target)
        page.goto(f"{target.url}/settings/integrations/new")
        page.get_by_label("Integration Name", exact=True).fill("never")
        # Nothing listens there, and the run tries for minutes.
        page.get_by_label("URL", exact=True).fill("http://127.0.0.1:9")
        page.get_by_label("API Token", exact=True).fill("sample-key")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("button", name="Stop run").wait_for()
        page.get_by_role("link", name="All runs").click()
        page.locator("tbody th a").first.click()
        page.get_by_role("button", name="Stop").click()
        page.locator(".badge", has_text="interrupted").wait_for()
        page.get_by_label("Level").select_option("WARNING")
        page.get_by_role("button", name="Apply").click()
        page.wait_for_url("**level=WARNING**")
        lines = page.locator(".lines li")
        expect(lines.last).to_contain_text("stopped")
        assert all("INFO" not in text for text in lines.all_inner_texts())
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert download.value.suggested_filename.endswith(".txt")


@pytest.mark.parametrize("page", ["with scripts"], indirect=True)
def test_an_integration_of_a_parent_project_says_so_and_the_tree_offers_its_children(
    tmp_path: Path, page: Page, rally: Simulator
) -> None:
    with start_server(tmp_path / "host.sqlite") as target:
        sign_in(page, target)
        page.goto(f"{target.url}/settings/integrations/new")
        page.get_by_label("Integration Name", exact=True).fill("my-rally")
        page.get_by_label("URL", exact=True).fill(rally.url)
        page.get_by_label("API Token", exact=True).fill(rally.key)
        page.get_by_label("Projects", exact=True).fill("Sample Company Delivery")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator(".badge.no-items").first).to_have_text("No items", timeout=PATIENCE)
        expect(page.get_by_text("their child projects have")).to_be_visible()
        page.get_by_role("link", name="Edit").click()
        page.get_by_role("button", name="Choose projects").click()
        offer = page.locator(".offer")
        expect(offer).to_contain_text(
            re.compile(r"No items in this project\. \d+ child projects, \d+ items: Add them"), timeout=PATIENCE
        )
        # What is narrowed away takes its offer along.
        page.get_by_label("Search", exact=True).fill("team amber")
        expect(page.get_by_label("Team Birch")).to_be_hidden()
        expect(page.get_by_label("Team Amber")).to_be_visible()
        expect(offer).to_be_visible()
        page.get_by_role("button", name="Add the child projects of Sample Company Delivery").click()
        expect(page.get_by_label("Team Amber")).to_be_checked(timeout=PATIENCE)
        expect(page.locator(".offer")).to_have_count(0)
        page.get_by_role("button", name="Use these projects").click()
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("heading", name="my-rally").wait_for()
        page.get_by_role("button", name="Run now").click()
        page.get_by_text("Online").wait_for()
        expect(page.locator(".badge.no-items")).to_have_count(0)
