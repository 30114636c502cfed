"""Signing in, a key, a user and the roles in a real Chromium: cookie, policy and forms as browsers take them."""

from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from support.processes import RunningServer, start_server
from support.sign_in_page import sign_in
from support.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A host for all of them."""
    with start_server(tmp_path_factory.mktemp("host") / "host.sqlite") as running:
        yield running


def account(page: Page) -> None:
    """Open the menu that has one's name."""
    page.locator("header summary").click()


def test_from_the_door_to_a_page_with_a_wrong_password_on_the_way(target: RunningServer, page: Page) -> None:
    page.goto(f"{target.url}/issues?text=x")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("not the password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    # The name is still there, and the cursor where it is needed.
    expect(page.get_by_label("Name")).to_have_value("admin")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(target.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/issues?text=x")
    assert page.evaluate("document.cookie") == ""
    account(page)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.goto(f"{target.url}/issues")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_key_is_made_shown_once_and_revoked(target: RunningServer, page: Page) -> None:
    sign_in(page, target)
    account(page)
    page.get_by_role("link", name="My profile").click()
    page.wait_for_url("**/profile")
    page.get_by_label("Key name").fill("nightly sync")
    page.get_by_role("button", name="Create access key").click()
    key = page.get_by_label("New access key").input_value()
    headers = {"Authorization": f"UserAccessKey {key}"}
    assert httpx2.get(f"{target.url}/users.json", headers=headers, timeout=PATIENCE_SECONDS).status_code == 200
    page.goto(f"{target.url}/profile")
    assert key not in page.content()
    page.get_by_role("button", name="Revoke nightly sync").click()
    expect(page.get_by_role("status")).to_contain_text("revoked")
    assert httpx2.get(f"{target.url}/users.json", headers=headers, timeout=PATIENCE_SECONDS).status_code == 401


def test_a_new_user_chooses_a_password_and_sees_what_a_viewer_may(
    target: RunningServer, page: Page, browser: Browser
) -> None:
    sign_in(page, target)
    account(page)
    page.get_by_role("link", name="Users").click()
    page.wait_for_url("**/users")
    page.get_by_label("Name").fill("eva.schmidt")
    page.get_by_label("Role").select_option("viewer")
    page.get_by_role("button", name="Add user").click()
    password = page.get_by_label("Temporary password for eva.schmidt").input_value()
    context = browser.new_context()
    hers = context.new_page()
    sign_in(hers, target, name="eva.schmidt", password=password)
    expect(hers.get_by_text("You are using a temporary password")).to_be_visible()
    hers.get_by_label("Current password").fill(password)
    hers.get_by_label("New password, at least").fill("her very own password")
    hers.get_by_label("Confirm new password").fill("her very own password")
    hers.get_by_role("button", name="Change password").click()
    expect(hers.get_by_role("status")).to_contain_text("Password changed")
    expect(hers.get_by_text("You are using a temporary password")).to_have_count(0)
    account(hers)
    expect(hers.get_by_role("link", name="My profile")).to_be_visible()
    expect(hers.get_by_role("link", name="Users")).to_have_count(0)
    hers.goto(f"{target.url}/users")
    expect(hers.get_by_role("heading", name="Not allowed")).to_be_visible()
    # Disabled by the administrator, she is out with her next click.
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("status")).to_contain_text("disabled")
    hers.goto(f"{target.url}/issues")
    expect(hers.get_by_role("heading", name="Sign in")).to_be_visible()
    account(page)
    page.get_by_role("link", name="Audit log").first.click()
    expect(page.get_by_role("row").filter(has_text="changed the password")).to_contain_text("eva.schmidt")
    context.close()


def test_a_page_of_another_port_cannot_make_the_browser_act(
    target: RunningServer, page: Page, browser: Browser
) -> None:
    sign_in(page, target)
    context = page.context
    foreign = context.new_page()
    # Another server of this machine: the browser calls it the same site, and sends it and the host the same cookies.
    foreign.route(
        "http://127.0.0.1:9/**", lambda route: route.fulfill(content_type="text/html", body=FORM % target.url)
    )
    foreign.goto("http://127.0.0.1:9/")
    foreign.get_by_role("button").click()
    expect(foreign.get_by_text("cross-site request rejected")).to_be_visible()
    page.reload()
    account(page)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


FORM = '<form method="post" action="%s/sign-out"><button>Win</button></form>'


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_about_people_is_wider_than_its_screen(
    target: RunningServer, browser: Browser, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 700}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    sign_in(page, target)
    for address in ("/profile", "/users", "/access-keys", "/audit", "/sign-in"):
        page.goto(target.url + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
    page.goto(f"{target.url}/users")
    page.get_by_role("link", name="admin").last.click()
    page.wait_for_url("**/users/*")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
