"""What others wrote is text: nothing of it runs, is drawn, or leads to a script, in a real browser."""

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
from playwright.sync_api import Page

from support.issues import UPLOAD, item, upload
from support.processes import start_server
from support.sign_in_page import sign_in
from support.value_streams import build_create_form, find_create_address, stage, stream
from support.waiting import PATIENCE_SECONDS

TAG = "<img src=x onerror=alert(1)>"
CLOSING = "\"'></textarea></script><script>alert(1)</script><svg onload=alert(1)>"
BOTH = f"{TAG}{CLOSING}"

#: What no page of the host has, and every successful attack would.
TRACES = """() => [
  ...[...document.querySelectorAll("iframe, object, embed, base, script:not([src]), [style]")],
  ...[...document.querySelectorAll("img")].filter((each) => !each.src.endsWith("/static/icon.svg")),
  ...[...document.querySelectorAll("a")].filter((each) => !/^https?:/.test(new URL(each.getAttribute("href"), location))),
  ...[...document.querySelectorAll("*")].filter((each) => [...each.attributes].some((one) => one.name.startsWith("on"))),
].map((each) => each.outerHTML.slice(0, 200))"""


def hostile() -> dict[str, Any]:
    """An issue with an attack in every field."""
    contents = [
        {"field": field, "type": "string", "from": TAG, "to": BOTH, "user": BOTH}
        for field in ("status", "description", BOTH)
    ]
    named = {"id": BOTH, "name": BOTH}
    return item(
        1,
        name=BOTH,
        id=BOTH,
        description=BOTH,
        status=BOTH,
        type=BOTH,
        owner=BOTH,
        creator=BOTH,
        priority=BOTH,
        labels=[BOTH],
        components=[BOTH],
        url="javascript:alert(1)",
        project={**named, "key": BOTH},
        sprints=[{**named, "url": "javascript:alert(1)"}],
        releases=[named],
        epic=BOTH,
        comments=[{"id": "1", "user": BOTH, "comment": BOTH, "created": 1}],
        relations=[{"id": BOTH, "type": "PARENT"}],
        rawIssue={BOTH: [BOTH, {BOTH: BOTH}]},
        history=[{"timestamp": 1_700_000_000_000, "content": content} for content in contents],
    )


def test_nothing_that_others_wrote_runs(page: Page, tmp_path: Path) -> None:
    dialogs: list[str] = []

    def opened(dialog: Any) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", opened)
    with start_server(tmp_path / "host.sqlite") as target:
        target.query(UPLOAD, data=upload(hostile(), item(2, url="http://["), tracker=BOTH))
        sign_in(page, target)
        with httpx2.Client(base_url=target.url, timeout=PATIENCE_SECONDS) as http:
            http.post("/sign-in", data={"name": "admin", "password": target.password})
            stages = [stage(BOTH, "issue.type != none", description=BOTH)]
            document = stream((BOTH, stages), description=BOTH, note=BOTH)
            preview = http.post("/value-streams/new", **build_create_form(document, BOTH))
            made = http.post(find_create_address(preview.text))
            value_stream = urlsplit(made.headers["location"]).path
            http.post("/profile/keys", data={"name": TAG})
        address = "/issues?column=id&column=name&column=labels&column=sprint&column=address&column=owner"
        pages = [address, value_stream, *(f"{value_stream}/{each}" for each in ("edit", "versions/1", "settings"))]
        pages += [f"/issues?{one}={quote(BOTH)}" for one in ("text", "dql", "owner")]
        pages += [
            "/value-streams",
            "/profile",
            "/access-keys",
            "/audit",
            "/settings/integrations",
            "/settings/integrations/new",
        ]
        for path in pages:
            page.goto(f"{target.url}{path}")
            assert page.evaluate(TRACES) == [], path
        page.goto(f"{target.url}{address}")
        page.locator("tbody th a").first.click()
        page.wait_for_url("**/issues/*/*")
        assert page.evaluate(TRACES) == []
        page.goto(f"{target.url}{value_stream}")
        page.locator("a.dot").first.click()
        page.locator("#card-name, #panel h2").first.wait_for()
        assert page.evaluate(TRACES) == []
    assert dialogs == []
