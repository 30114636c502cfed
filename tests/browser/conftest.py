"""A real Chromium, and pages on which whatever the browser complains about is a failure."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

CHROMIUM = shutil.which("chromium")

# The default of five seconds is short for a loaded machine; only a failing test waits so long.
expect.set_options(timeout=60_000)

#: Background services of the browser would look for hosts outside this machine.
OFFLINE = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--no-sandbox",
]

#: A form that is refused is answered so, and the browser mentions it.
REFUSED = re.compile(r"the server responded with a status of (400|401|403|409|422|429) ")


def lost(request: Request) -> list[str]:
    """The address of a request that failed; one that ended because its page was left did not."""
    return [] if request.failure == "net::ERR_ABORTED" else [request.url]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, for one module: while Playwright runs, no asynchronous test can run in this process."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
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
    opened.on("requestfailed", lambda request: faults.extend(lost(request)))
    yield opened
    context.close()
    assert [fault for fault in faults if not REFUSED.search(fault)] == []
