"""The plug-in page's first way in a real Chromium, from the door to a story's dot with its history."""

from pathlib import Path

from playwright.sync_api import Page, expect

from support.processes import start_server, start_simulator
from support.sign_in_page import sign_in


def test_from_the_door_over_the_form_to_a_story_s_dot_with_its_history(tmp_path: Path, page: Page) -> None:
    with start_simulator("--items", "120") as rally, start_server(tmp_path / "host.sqlite") as target:
        # The door: a wrong password is told, the right one leads in.
        page.goto(target.url)
        page.get_by_label("Name").fill("admin")
        page.get_by_label("Password").fill("a wrong one")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        sign_in(page, target)

        # Settings > Integrations > Plugins > Add Integration.
        page.get_by_role("link", name="Settings").click()
        page.get_by_role("link", name="Plugins").click()
        page.get_by_role("link", name="Add Integration").first.click()

        # Wrong inputs are told at their fields, all at once, and nothing that was typed is lost.
        page.get_by_label("Integration Name").fill("my-rally")
        page.get_by_label("User Name", exact=False).first.fill("somebody")
        page.get_by_label("URL").first.fill("ftp://rally.example")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator("[aria-invalid=true]").nth(1)).to_be_visible()
        expect(page.get_by_label("Integration Name")).to_have_value("my-rally")

        # Mended, it is saved, and shows on the Integrations page.
        page.get_by_label("User Name", exact=False).first.fill("")
        page.get_by_label("URL").first.fill(rally.url)
        page.get_by_label("API Token").fill(rally.key)
        page.get_by_role("button", name="Save", exact=True).click()
        page.wait_for_url("**/settings/integrations/*")
        page.goto(f"{target.url}/settings/integrations")
        expect(page.get_by_role("link", name="my-rally").first).to_be_visible()
        expect(page.get_by_text("Online").first).to_be_visible()
        page.wait_for_load_state()
        assert rally.key not in page.content()

        # A value stream of the statuses that came: a story is a dot, its card has its history.
        page.get_by_role("link", name="Value streams").click()
        page.get_by_role("link", name="Create").first.click()
        page.get_by_label("Name", exact=True).fill("Sample work")
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url("**/value-streams/new/integrations**")
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Create", exact=True).click()
        page.locator("a.dot").first.click()
        panel = page.locator("#panel")
        expect(panel.get_by_role("heading", name="History")).to_be_visible()
        expect(panel).to_contain_text("created by")
