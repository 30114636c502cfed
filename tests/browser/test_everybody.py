"""Pages that everybody can use: every page that a link leads to is looked over in a real Chromium.

Names, labels, headings, ids, contrast and width, by rules of our own in ``audit.js``; for people who listen to pages, who
see little, who have a small screen, or use keys alone.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from rally_accelerate.server.web.help_site import help_site
from support.issues import UPLOAD, item, upload
from support.processes import RunningServer, start_server, start_simulator
from support.sign_in_page import sign_in
from support.value_streams import board
from support.waiting import wait_until

AUDIT = (Path(__file__).parent / "audit.js").read_text()

LONG = "Without_any_space_" * 12

TENANT = "5ade13625558f2c6688d15ce"

CREATE = f"""
mutation($name: String!, $workflow: JSON) {{
  createValueStream(name: $name, tenantId: "{TENANT}", team: {{id: "1", name: "Default"}}, workflow: $workflow) {{
    __typename
    ... on WorkflowUploadError {{ errors }}
  }}
}}"""

RUNS = f'query {{ integrationsByTenantId(tenantId: "{TENANT}") {{ executions {{ success }} }} }}'

#: What may be one of many pages of a kind: ids, numbers, and names in the place of ids.
ONE_OF_MANY = re.compile(r"(?<=/issues/).+|(?<=/dots/).+|(?<=/drafts/)[^/]+|[0-9a-f]{12,}|(?<=/)\d+(?=/|$)")

SCREENS = [("light", 1280), ("dark", 360)]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A host with an integration that has run, one that fails, names as long as they can be, and nothing that is tidy."""
    with (
        start_simulator("--items", "60") as rally,
        start_server(tmp_path_factory.mktemp("host") / "host.sqlite") as running,
    ):
        entry = {"type": "ucv-ext-rally", "name": "sample", "properties": {"baseUrl": rally.url, "apiKey": rally.key}}
        nowhere = {"baseUrl": "http://127.0.0.1:9", "apiKey": "k", "retrySeconds": 0}
        fails = {**entry, "name": LONG[:100], "properties": nowhere}
        workflow = {**board(), "integrations": [entry, fails], "metrics": [{"name": "M"}], "description": LONG}
        for name, document in (("Shop", workflow), (LONG[:180], board())):
            made = running.query(CREATE, name=name, workflow=document)["createValueStream"]
            assert made == {"__typename": "Workflow"}
        odd = item(1, name=LONG, url=f"https://rally.example/{LONG}", owner=LONG, labels=[LONG], description=LONG)
        running.query(UPLOAD, data=upload(odd, tracker="b" * 24))
        wait_until(lambda: all(one["executions"] for one in running.query(RUNS)["integrationsByTenantId"]))
        yield running


def opened(browser: Browser, scheme: str, width: int, *, scripts: bool = True) -> Page:
    """A page of a screen."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=scripts,
    )
    return context.new_page()


def faults(page: Page) -> list[str]:
    """What is wrong with the page."""
    # A style that comes later would be judged as if there were none.
    page.wait_for_load_state()
    found: list[str] = page.evaluate(AUDIT)
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return found + ([f"the page is {width[0]} wide on a screen of {width[1]}"] if width[0] > width[1] else [])


def looked_over(page: Page, target: RunningServer) -> Iterator[tuple[str, str]]:
    """Every kind of page that links lead to, by its path, with what is wrong with one of them on any screen."""
    kinds: set[str] = set()
    waiting = [f"{target.url}{path}" for path in ("/", f"/issues/{'b' * 24}/1", "/nowhere", "/sign-in")]
    while waiting:
        address = waiting.pop(0)
        parts = urlsplit(address)
        path = ONE_OF_MANY.sub("_", parts.path)
        kind = f"{path}?" + " ".join(sorted(name for name, _ in parse_qsl(parts.query)))
        is_file = parts.path.endswith(("/file", ".csv", ".json", ".txt"))
        # The documentation is the generator's; test_help.py looks at it.
        is_help = parts.path.startswith("/help/") and help_site().is_built
        if kind in kinds or not address.startswith(target.url) or is_file or is_help or len(kinds) > 150:
            continue
        kinds.add(kind)
        answer = page.goto(address)
        assert answer is not None
        if answer.headers.get("content-type", "").startswith("text/html"):
            for scheme, width in SCREENS:
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                page.set_viewport_size({"width": width, "height": 800})
                yield path, "; ".join(f"{address.removeprefix(target.url)} {scheme}: {fault}" for fault in faults(page))
            links: list[str] = page.locator("a[href]").evaluate_all("all => all.map((a) => a.getAttribute('href'))")
            waiting += [urljoin(address, link).partition("#")[0] for link in links]


def test_every_page_is_for_everybody(browser: Browser, target: RunningServer) -> None:
    page = opened(browser, "light", 1280)
    sign_in(page, target)
    found = list(looked_over(page, target))
    page.context.close()
    assert not any(fault for _, fault in found), "\n".join(fault for _, fault in found if fault)
    paths = {path for path, _ in found}
    # The walk is one only while it comes everywhere.
    for path in (
        "/issues",
        "/issues/_",
        "/value-streams/_",
        "/value-streams/_/stages/_",
        "/settings/plugins",
        "/users/_",
    ):
        assert path in paths
    assert len(paths) > 25


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_forms_with_mistakes_are_for_everybody(
    browser: Browser, target: RunningServer, scheme: str, width: int
) -> None:
    page = opened(browser, scheme, width)
    sign_in(page, target)
    for address, button in (
        ("/settings/integrations/new", "Save"),
        ("/value-streams/new", "Continue"),
        ("/issues?dql=issue.x+%3D", "Apply"),
        ("/audit?from=never", "Apply"),
        ("/users", "Add user"),
    ):
        page.goto(target.url + address)
        if address == "/users":
            # A name that is taken; an empty one is refused by the browser.
            page.get_by_label("Name").fill("admin")
        with page.expect_navigation():
            page.get_by_role("button", name=button, exact=True).last.click()
        assert faults(page) == [], address
    page.context.close()


def test_a_host_without_anything_is_for_everybody(tmp_path: Path, browser: Browser) -> None:
    with start_server(tmp_path / "host.sqlite") as empty:
        for scheme, width in SCREENS:
            page = opened(browser, scheme, width)
            sign_in(page, empty)
            for address in (
                "/settings/integrations",
                "/issues",
                "/value-streams",
                "/executions",
                "/value-streams/new/stages",
            ):
                page.goto(empty.url + address)
                assert faults(page) == [], (scheme, width, address)
            page.context.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_the_head_is_one_line_and_its_menu_opens_with_a_key(
    browser: Browser, target: RunningServer, scripts: bool
) -> None:
    page = opened(browser, "light", 360, scripts=scripts)
    sign_in(page, target)
    page.goto(f"{target.url}/issues")
    head = page.get_by_role("banner").bounding_box()
    assert head is not None
    assert head["height"] < 60
    for name in ("Value streams", "Issues", "Settings"):
        expect(page.get_by_role("navigation", name="Pages").get_by_role("link", name=name)).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    page.locator("header summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    if scripts:
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
        expect(page.locator("header summary")).to_be_focused()
    page.context.close()


PLANTED = [
    ("document.querySelector('h1').remove()", "0 headings of the first level"),
    ("document.querySelector('main').insertAdjacentHTML('beforeend', '<h5>x</h5>')", "a heading of level 5"),
    (
        "document.querySelector('[name=text]').closest('label').replaceWith(document.querySelector('[name=text]'))",
        "label",
    ),
    ("document.querySelector('main').insertAdjacentHTML('beforeend', '<button></button>')", "nothing to call it by"),
    (
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<i id=content></i>')",
        "an id that is there twice",
    ),
    ("document.querySelector('h1').setAttribute('aria-describedby', 'no')", "leads to no"),
    ("document.querySelector('h1').style.color = '#999'", "contrast"),
    ("document.querySelector('h1').style.width = '3000px'", "wide"),
    ("document.title = ' · rally-accelerate'", "the title says too little"),
]


@pytest.mark.parametrize(("mistake", "told"), PLANTED)
def test_a_planted_mistake_is_found(browser: Browser, target: RunningServer, mistake: str, told: str) -> None:
    page = opened(browser, "light", 1280)
    sign_in(page, target)
    page.goto(f"{target.url}/issues")
    assert faults(page) == []
    page.evaluate(mistake)
    assert told in " ".join(faults(page))
    page.context.close()
