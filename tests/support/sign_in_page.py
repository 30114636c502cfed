"""Signing in as people do: through the page."""

from playwright.sync_api import Page

from support.processes import RunningServer


def sign_in(page: Page, target: RunningServer, *, name: str = "admin", password: str = "") -> None:
    """Fill in the form of a host; the page is the host's first one afterwards.

    Args:
        page: A browser's page.
        target: The host.
        name: Whom to sign in.
        password: Of the user; empty takes the administrator's.
    """
    page.goto(f"{target.url}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password or target.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda address: "/sign-in" not in address)
