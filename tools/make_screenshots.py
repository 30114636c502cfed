"""Takes pictures of the host's main pages, light and dark, for the pages that show them: ``make screenshots``.

The host, its sample company and the browser are real; nothing is drawn by hand.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parents[1] / "docs" / "images"

#: Background services of the browser would look for hosts outside this machine.
OFFLINE = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--no-sandbox",
]

#: Large enough to read, small enough for a repository.
WIDTH, HEIGHT = 1280, 800


@contextmanager
def demo() -> Iterator[str]:
    """The demo while it runs; the address that signs in once."""
    command = [sys.executable, "-u", "-m", "rally_accelerate.cli.entry", "demo", "--port", "0", "--every", "1h"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("open "):
                    yield line.removeprefix("open ").strip()
                    break
            else:
                sys.exit("the demo ended before it told its address")
        finally:
            process.terminate()
            process.wait()


def pictures(page: Page, link: str) -> Iterator[str]:
    """Goes from page to page; the name of each picture when the page is there."""
    host = link.partition("/sign-in")[0]
    page.goto(link)
    page.wait_for_url("**/value-streams/*")
    stream = page.url
    yield "value-stream"
    page.locator("a.dot").nth(4).click()
    page.locator("#panel h2").first.wait_for()
    yield "dot"
    page.goto(f"{stream}/edit")
    yield "value-stream-file"
    page.goto(f"{host}/issues")
    yield "issues"
    page.locator("tbody th a").first.click()
    page.get_by_role("heading", name="History").wait_for()
    yield "issue"
    page.goto(f"{host}/settings/integrations")
    yield "integrations"
    page.get_by_role("link", name="sample-company").first.click()
    yield "integration"
    page.goto(f"{host}/settings/plugins")
    page.get_by_role("link", name="Add Integration").click()
    yield "add-integration"
    page.goto(f"{host}/executions")
    page.locator("tbody th a").first.click()
    yield "execution"
    page.goto(f"{host}/profile")
    yield "profile"


def main() -> None:
    """Take every picture in both schemes."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no Chromium on this machine (Debian: apt-get install chromium)")
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=OFFLINE)
        for scheme in ("light", "dark"):
            with demo() as link:
                context = browser.new_context(
                    viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark" if scheme == "dark" else "light"
                )
                page = context.new_page()
                for name in pictures(page, link):
                    page.screenshot(path=FOLDER / f"{name}-{scheme}.png")
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
