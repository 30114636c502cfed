"""Every page answers, as HTML and as JSON, and none tells a secret or runs what somebody uploaded."""

import pytest

from rally_accelerate.config.load import validate_integration
from support.issues import UPLOAD, change, item, upload
from support.secret_forms import find_leaks
from support.server_client import TENANT, ServerClient

SECRETS = ("planted-secret-1", "planted-secret-2")


async def filled(asked: ServerClient) -> str:
    """A host with an integration that fails to run, and issues."""
    properties = {
        "baseUrl": "http://127.0.0.1:9",
        "apiKey": SECRETS[0],
        "proxyServer": "http://127.0.0.1:9",
        "proxyUsername": "u",
        "proxyPassword": SECRETS[1],
        "retrySeconds": 0,
    }
    its_id = await asked.host.add_integration(validate_integration({"name": "sample <b>", "properties": properties}))
    report = await asked.host.run_integration(its_id)
    assert report.failure is not None
    nasty = item(1, name="<script>alert(1)</script>", url="javascript:alert(1)", history=[change("<i>", "B")])
    await asked.fetch_data(UPLOAD, data=upload(nasty, *(item(number) for number in range(2, 120)), tracker=its_id))
    return its_id


async def test_every_page_answers_and_tells_no_secret(asked: ServerClient) -> None:
    its_id = await filled(asked)
    execution = (await asked.host.stores.executions.list_latest(its_id))[0]
    pages = [
        "/settings/integrations",
        "/settings/plugins",
        "/settings/plugins/ucv-ext-rally",
        "/settings/integrations/new",
        f"/settings/integrations/{its_id}",
        f"/settings/integrations/{its_id}/edit",
        f"/settings/integrations/{its_id}/resync",
        f"/settings/integrations/{its_id}/removals",
        f"/settings/integrations/{its_id}/delete",
        "/executions",
        "/executions?outcome=failed",
        f"/executions/{execution.id}",
        f"/executions/{execution.id}?level=ERROR&text=a",
        "/issues",
        "/issues?status=Defined&type=Story&text=sample",
        f"/issues/{its_id}/1",
        f"/issues/{its_id}/1?as-of=2023-11-14T22:13:20.400&field=status",
    ]
    for page in pages:
        path, mark, query = page.partition("?")
        for address in (page, f"{path}.json{mark}{query}"):
            answer = await asked.http.get(address)
            assert answer.status_code == 200, address
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "set-cookie" not in answer.headers
            assert find_leaks(answer.text, (*SECRETS, asked.key)) == [], address


async def test_what_was_uploaded_is_text_and_never_markup_or_a_script(asked: ServerClient) -> None:
    its_id = await filled(asked)
    for address in ("/issues?text=alert", f"/issues/{its_id}/1", "/settings/integrations"):
        text = (await asked.http.get(address)).text
        assert "<script>" not in text
        assert "javascript:" not in text
        assert "<b>" not in text.replace("<body>", "")


@pytest.mark.parametrize("url", ["http://[", "https://[::1", "java\tscript:alert(1)", " javascript:alert(1)", "//evil"])
async def test_what_is_no_address_is_followed_nowhere_and_breaks_no_page(asked: ServerClient, url: str) -> None:
    await asked.fetch_data(UPLOAD, data=upload(item(1, url=url), tracker="elsewhere"))
    for address in ("/issues/elsewhere/1", "/issues?column=id&column=address"):
        answer = await asked.http.get(address)
        assert answer.status_code == 200, address
        assert "noreferrer" not in answer.text


@pytest.mark.parametrize(
    "address", ["/nothing", "/executions/x", "/issues/x/1", "/settings/integrations/x", "/static/../app.py"]
)
async def test_what_is_not_there(asked: ServerClient, address: str) -> None:
    assert (await asked.http.get(address)).status_code == 404


async def test_forms_of_other_sites_are_refused(asked: ServerClient) -> None:
    its_id = await filled(asked)
    address = f"/settings/integrations/{its_id}/toggle"
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert (await asked.http.post(address, headers=headers)).status_code == 403
    assert (await asked.http.post(address, headers={"Sec-Fetch-Site": "same-origin"})).status_code == 303
    stored = await asked.host.stores.integrations.by_id(its_id)
    assert stored is not None
    assert stored.disabled


async def test_another_name_that_leads_here_is_turned_away(asked: ServerClient) -> None:
    assert (await asked.http.get("/issues", headers={"Host": "evil.example"})).status_code == 421


async def test_a_slash_too_many_leads_to_the_page_under_whatever_scheme_a_proxy_shows_it(asked: ServerClient) -> None:
    answer = await asked.http.get("/issues/?text=a")
    assert (answer.status_code, answer.headers["location"]) == (307, "/issues?text=a")


async def test_a_failed_run_says_why_and_what_to_do(asked: ServerClient) -> None:
    its_id = await filled(asked)
    execution = (await asked.host.stores.executions.list_latest(its_id))[0]
    assert execution.outcome == "failed"
    assert execution.report["error"]["hint"]
    assert TENANT not in await asked.host.stores.lines.read_text(execution.id)


async def test_an_address_that_is_none_leads_on_for_people_and_is_a_line_for_programs(asked: ServerClient) -> None:
    answer = await asked.http.get("/settings/nothing")
    assert answer.status_code == 404
    assert 'href="/value-streams"' in answer.text
    data = await asked.http.get("/settings/nothing.json")
    assert (data.status_code, data.json()["title"]) == (404, "Page not found")
    # The address of a form's deed, opened again from the browser's own list.
    opened = await asked.http.get("/settings/integrations/1/run")
    assert (opened.status_code, opened.headers["allow"]) == (405, "POST")
    assert "<h1>Page not found</h1>" in opened.text
    assert (await asked.http.get("/static/nothing.css")).text == "Not Found"
