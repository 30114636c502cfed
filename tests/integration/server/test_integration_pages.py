"""Settings > Integrations: what the list says, and what its switch and menu do, each change noted."""

import asyncio
import re
from typing import Any

import pytest

from rally_accelerate.errors import ConfigError
from rally_accelerate.server.permissions import SYSTEM_ACTOR
from support.issues import UPLOAD, item, upload
from support.server_client import TENANT, ServerClient
from support.waiting import until

#: Nothing answers there, and the run tries for a long time.
NEVER = {"baseUrl": "http://127.0.0.1:9", "apiKey": "planted-secret-1", "retrySeconds": 3600}
FAILS = {**NEVER, "retrySeconds": 0}

LIST = "/settings/integrations"


async def row(asked: ServerClient, its_id: str) -> dict[str, Any]:
    """An integration as the list has it."""
    listed = (await asked.http.get(f"{LIST}.json")).json()["integrations"]
    found: dict[str, Any] = next(each for each in listed if each["id"] == its_id)
    return found


async def actions(asked: ServerClient) -> list[tuple[str, str]]:
    """What people did, oldest first."""
    entries = reversed(await asked.host.stores.audit.list_entries())
    return [(entry.action, entry.name) for entry in entries if entry.actor != SYSTEM_ACTOR.name]


async def going(asked: ServerClient, its_id: str) -> None:
    """Wait until a run goes on."""
    await until(lambda: asked.host.scheduler.is_running(its_id))


async def test_an_integration_that_never_brought_an_item_is_not_online(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": FAILS})
    await asked.host.run_integration(its_id)
    run = (await row(asked, its_id))["lastRun"]["id"]
    why = "No items: their child projects have 12 (Team A). Turn on includeChildProjects."
    await asked.host.stores.executions.finish(run, outcome="complete", report={"empty": why})
    assert (await row(asked, its_id))["status"] == "No items"
    for address in (LIST, f"{LIST}/{its_id}"):
        text = (await asked.http.get(address)).text
        assert 'class="badge no-items"' in text
        assert "their child projects have 12 (Team A). Turn on Include child projects." in text
    await asked.host.stores.executions.finish(run, outcome="failed", report={"empty": why})
    assert (await row(asked, its_id))["status"] == "Failed"


async def test_an_empty_list_teaches_both_ways(asked: ServerClient) -> None:
    text = (await asked.http.get(LIST)).text
    assert f'href="{LIST}/new"' in text
    assert "rally-accelerate serve rally.json" in text


async def test_the_status_is_told_in_words(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": FAILS})
    assert (await row(asked, its_id))["status"] == "New"
    await asked.host.run_integration(its_id)
    failed = await row(asked, its_id)
    assert (failed["status"], failed["type"]) == ("Failed", "Rally")
    listed = (await asked.http.get(LIST)).text
    assert "View log" in listed
    await asked.host.stores.executions.finish(failed["lastRun"]["id"], outcome="interrupted", report={})
    assert (await row(asked, its_id))["status"] == "Interrupted"
    await asked.host.stores.executions.finish(failed["lastRun"]["id"], outcome="partial", report={"withheld": 3})
    assert (await row(asked, its_id))["status"] == "Partial"
    assert "3 removals awaiting approval" in (await asked.http.get(LIST)).text
    await asked.host.stores.executions.finish(failed["lastRun"]["id"], outcome="complete", report={})
    assert (await row(asked, its_id))["status"] == "Online"
    await asked.http.post(f"{LIST}/{its_id}/toggle")
    assert (await row(asked, its_id))["status"] == "Disabled"


async def test_a_run_is_started_shown_and_stopped(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": NEVER})
    answer = await asked.http.post(f"{LIST}/{its_id}/run", data={"back": f"{LIST}/{its_id}"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{LIST}/{its_id}")
    await going(asked, its_id)
    assert (await row(asked, its_id))["status"] == "Sync in progress"
    assert "<progress" in (await asked.http.get(LIST)).text
    await asked.http.post(f"{LIST}/{its_id}/stop")
    assert (await row(asked, its_id))["status"] == "Interrupted"
    (execution,) = await asked.host.stores.executions.list_latest(its_id)
    assert "stopped" in await asked.host.stores.lines.read_text(execution.id)
    assert await actions(asked) == [("ran", "one"), ("stopped", "one")]


async def test_the_switch_says_what_it_wants_and_a_disabled_one_never_runs(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": NEVER})
    for _ in range(2):
        # Two people switch it off at once: it is off.
        await asked.http.post(f"{LIST}/{its_id}/toggle", data={"to": "off"})
    refused = await asked.http.post(f"{LIST}/{its_id}/run")
    assert refused.status_code == 409
    assert "disabled" in refused.text
    asked.host.scheduler.start_run(its_id)
    await asyncio.sleep(0.05)
    assert await asked.host.stores.executions.list_latest(its_id) == []
    await asked.http.post(f"{LIST}/{its_id}/toggle", data={"to": "on"})
    # Enabling runs at once.
    await going(asked, its_id)
    assert await actions(asked) == [("disabled", "one"), ("enabled", "one")]


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example"])
async def test_a_form_leads_back_to_pages_of_ours_only(asked: ServerClient, elsewhere: str) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": NEVER})
    answer = await asked.http.post(f"{LIST}/{its_id}/run", data={"back": elsewhere})
    assert answer.headers["location"] == LIST


@pytest.mark.parametrize(("issues", "left"), [("keep", {"t": 1, "x": 2}), ("remove", {"t": 1})])
async def test_deleting_asks_for_the_name_and_what_becomes_of_the_issues(
    asked: ServerClient, issues: str, left: dict[str, int]
) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": FAILS})
    await asked.fetch_data(UPLOAD, data=upload(item(1), item(2), tracker=its_id))
    await asked.fetch_data(UPLOAD, data=upload(item(1), tracker="t"))
    page = (await asked.http.get(f"{LIST}/{its_id}/delete")).text
    assert "2 issues" in page
    wrong = await asked.http.post(f"{LIST}/{its_id}/delete", data={"name": "two", "issues": issues})
    assert wrong.status_code == 422
    assert 'value="two"' in wrong.text
    assert (await asked.http.post(f"{LIST}/{its_id}/delete", data={"name": "one"})).status_code == 422
    done = await asked.http.post(f"{LIST}/{its_id}/delete", data={"name": "one", "issues": issues})
    assert done.status_code == 303
    counts = await asked.host.stores.issues.count_by_tracker()
    assert {("x" if key == its_id else key): count for key, count in counts.items()} == left
    assert await asked.host.stores.integrations.by_id(its_id) is None
    entry = (await asked.host.stores.audit.list_entries())[0]
    assert (entry.action, entry.object_id, entry.detail) == ("removed", its_id, {"with issues": issues == "remove"})


async def test_deleting_what_has_no_issues_asks_for_the_name_alone(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": FAILS})
    page = (await asked.http.get(f"{LIST}/{its_id}/delete")).text
    assert '<input type="hidden" name="issues" value="keep">' in page
    assert 'type="radio"' not in page
    # Everything that is wrong is told at once.
    wrong = (await asked.http.post(f"{LIST}/{its_id}/delete", data={"name": "two"})).text
    assert "Choose whether to keep or delete the issues. Type one to confirm." in wrong
    assert (await asked.http.post(f"{LIST}/{its_id}/delete", data={"name": "one", "issues": "keep"})).status_code == 303


async def test_one_integration_shows_its_settings_without_secrets_and_its_events(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "one", "properties": FAILS})
    await asked.host.run_integration(its_id)
    for address in (f"{LIST}/{its_id}", f"{LIST}/{its_id}.json", f"{LIST}/{its_id}/edit", f"{LIST}/{its_id}/edit.json"):
        text = (await asked.http.get(address)).text
        assert "planted-secret" not in text, address
    text = (await asked.http.get(f"{LIST}/{its_id}")).text
    assert f'<code id="its-id">{its_id}</code>' in text
    assert "syncRallyDataEvent" in text
    assert "1 h" in text
    assert len(re.findall(r'href="/executions/[0-9a-f]{24}"', text)) >= 1


async def test_plugins_are_told_with_versions_and_every_property(asked: ServerClient) -> None:
    listed = (await asked.http.get("/settings/plugins.json")).json()
    assert [each["id"] for each in listed["plugins"]] == ["ucv-ext-rally"]
    assert listed["versions"][0]["version"] == listed["plugins"][0]["version"]
    page = (await asked.http.get(listed["plugins"][0]["documentation"])).text
    for name in ("apiKey", "baseUrl", "removalCap", "tenant_id", "loggingLevel"):
        assert f"<code>{name}</code>" in page
    assert "http://" not in re.sub(
        r"<code>.*?</code>|http://proxy", "", (await asked.http.get("/settings/plugins")).text
    )


@pytest.mark.parametrize("what", ["run", "stop", "toggle", "test", "resync", "removals", "delete", "edit"])
async def test_what_is_done_to_none_is_answered_with_404(asked: ServerClient, what: str) -> None:
    answer = await asked.http.post(f"{LIST}/{'0' * 24}/{what}", data={"do": "save", "name": "x"})
    assert answer.status_code == 404


async def test_graphql_and_pages_note_the_same_changes(asked: ServerClient) -> None:
    await asked.graphql(
        "mutation add($input: AddIntegrationInput!) { addIntegration(input: $input) { _id } }",
        input={
            "name": "one",
            "displayName": "one",
            "type": "ucv-ext-rally",
            "tenantId": TENANT,
            "loggingLevel": "INFO",
            "showHidden": False,
            "enabled": False,
            "properties": FAILS,
        },
    )
    found = await asked.host.stores.integrations.by_name("one", TENANT)
    assert found is not None
    edit = "mutation edit($id: ID!, $input: EditIntegrationInput!) { editIntegration(_id: $id, input: $input) { _id } }"
    answer = await asked.graphql(
        edit, id=found.id, input={"tenantId": TENANT, "name": "two", "properties": {**FAILS, "workspace": "W"}}
    )
    assert "errors" not in answer.json(), answer.text
    entries = await asked.host.stores.audit.list_entries()
    assert [entry.action for entry in entries] == ["edited", "added"]
    assert entries[0].detail == {"settings": ["name", "workspace"]}
    assert "planted-secret" not in str(entries)


async def test_a_name_belongs_to_one_integration_of_a_tenant(asked: ServerClient) -> None:
    await asked.host.add_integration({"name": "one", "properties": FAILS})
    its_id = await asked.host.add_integration({"name": "two", "properties": FAILS})
    with pytest.raises(ConfigError, match="'one' exists already"):
        await asked.host.integrations.edit(SYSTEM_ACTOR, its_id, {"name": "one"})


async def test_a_value_stream_is_offered_where_issues_came_and_none_is_drawn(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "sample", "disabled": True, "properties": NEVER})
    address, offer = f"/settings/integrations/{its_id}", "Create a value stream"
    assert offer not in (await asked.http.get(address)).text
    await asked.fetch_data(UPLOAD, data=upload(item(1), tracker=its_id))
    assert offer in (await asked.http.get(address)).text
    await asked.http.post("/value-streams/new", data={"name": "Shop", "description": "", "start": "default"})
    assert await asked.host.stores.streams.exists(TENANT)
    assert not await asked.host.stores.streams.exists("other")
    assert offer not in (await asked.http.get(address)).text
