"""The plug-in page's second way in a real Chromium: a JSON file, with wrong inputs on the way, to a dot with its history."""

import json
import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from support.processes import RunningServer, Simulator, start_server, start_simulator
from support.sign_in_page import sign_in
from support.waiting import wait_until


def entry(rally: Simulator) -> dict[str, object]:
    """The integration as the plug-in's page says it is written."""
    properties = {"baseUrl": rally.url, "apiKey": rally.key}
    return {
        "type": "ucv-ext-rally",
        "name": "my-rally",
        "tenant_id": "5ade13625558f2c6688d15ce",
        "properties": properties,
    }


def with_default_stages(page: Page, target: RunningServer) -> None:
    """A value stream with the default stages, whose map is the page afterwards."""
    page.goto(f"{target.url}/value-streams/new")
    page.get_by_label("Name", exact=True).fill("Web shop")
    page.get_by_label("Default stages").check()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(re.compile(r"/value-streams/(?!new)[^/]+$"))


def with_dots(page: Page) -> bool:
    """Whether the map has dots, after it was loaded again."""
    page.reload()
    return page.locator("a.dot").count() > 0


def test_from_a_json_file_to_a_story_s_dot_with_its_history(tmp_path: Path, page: Page) -> None:
    with start_simulator("--items", "120") as rally, start_server(tmp_path / "host.sqlite") as target:
        sign_in(page, target)
        with_default_stages(page, target)
        address = page.url
        with page.expect_download() as caught:
            page.get_by_role("link", name="Download JSON").click()
        assert caught.value.suggested_filename == "Web_shop-vsm.json"
        document = json.loads(caught.value.path().read_text())

        # A query that is wrong, and braces that are missing, are told; nothing is applied.
        wrong = document | {"integrations": [entry(rally)], "query": "issue.status == x"}
        file = tmp_path / "wrong.json"
        for content, said in (
            (json.dumps(wrong), "line 1, column"),
            ('{"integrations": ["type": "ucv-ext-rally"]}', "is outside of braces"),
        ):
            file.write_text(content)
            # The page that refuses a file has the same form.
            with page.expect_navigation():
                page.get_by_role("link", name="Import JSON").click()
            page.get_by_label("JSON file").set_input_files(file)
            page.get_by_role("button", name="Preview").click()
            expect(page.get_by_role("alert")).to_contain_text(said)
        page.goto(f"{target.url}/settings/integrations")
        assert page.get_by_role("link", name="my-rally").count() == 0

        # The right file is previewed, applied, and its integration runs.
        file = tmp_path / "right.json"
        file.write_text(json.dumps(document | {"integrations": [entry(rally)]}))
        page.goto(f"{address}/import")
        page.get_by_label("JSON file").set_input_files(file)
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("listitem").filter(has_text="my-rally").first).to_be_visible()
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.get_by_text("Imported as version 2; integration my-rally was added.")).to_be_visible()
        page.goto(f"{target.url}/settings/integrations")
        expect(page.get_by_role("link", name="my-rally").first).to_be_visible()
        page.goto(address)
        wait_until(lambda: with_dots(page))

        # A dot opens its card beside the map; Escape leads back to the dot.
        assert rally.key not in page.content()
        dot = page.get_by_role("group", name="Items in Merged").locator("a.dot").first
        dot.click()
        panel = page.locator("#panel")
        expect(panel.get_by_role("heading", name="History")).to_be_visible()
        expect(panel).to_contain_text("updated status to Accepted")
        expect(panel.locator("h2 a")).to_have_attribute("href", re.compile(re.escape(rally.url)))
        page.keyboard.press("Escape")
        expect(panel).to_be_hidden()
        expect(dot).to_be_focused()
        # The arrow keys lead to the next dot, Enter opens it.
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("group", name="Items in Merged").locator("a.dot").nth(1)).to_be_focused()
        page.keyboard.press("Enter")
        expect(panel.get_by_role("heading", name="History")).to_be_visible()


def test_everything_works_without_scripts_and_fits_the_screen(tmp_path: Path, browser: Browser) -> None:
    with start_simulator("--items", "60") as rally, start_server(tmp_path / "host.sqlite") as target:
        context = browser.new_context(viewport={"width": 360, "height": 740}, java_script_enabled=False)
        page = context.new_page()
        sign_in(page, target)
        target.query(
            "mutation ($input: AddIntegrationInput!) { addIntegration(input: $input) { _id } }",
            input={**entry_input(rally)},
        )
        with_default_stages(page, target)
        address = page.url
        wait_until(lambda: with_dots(page))
        page.locator(".list summary").first.click()
        page.locator(".list a").first.click()
        page.get_by_role("heading", name="History").wait_for()
        for path in ("", "/edit", "/import", "/versions", "/versions/1", "/settings", "/stages/1"):
            page.goto(f"{address}{path}")
            for width in (1280, 360):
                page.set_viewport_size({"width": width, "height": 740})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.goto(f"{address}/edit")
        text = page.get_by_label("Value stream file")
        text.fill(text.input_value().replace('"wipLimit": 10', '"wipLimit": 1'))
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("region", name="Preview")).to_contain_text("wipLimit: 10 → 1")
        page.get_by_role("button", name="Save").click()
        page.wait_for_url(address)
        expect(page.locator(".stage.over")).to_have_count(1)
        context.close()


def entry_input(rally: Simulator) -> dict[str, object]:
    """The same integration as an input object."""
    given = entry(rally)
    return {
        "name": given["name"],
        "displayName": given["name"],
        "type": given["type"],
        "tenantId": given["tenant_id"],
        "properties": given["properties"],
    }
