"""What can be looked at before saving: the connection, a few issues, the projects; with a real simulator."""

import asyncio
import html
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from support.processes import Simulator, start_simulator
from support.server_client import TENANT, ServerClient
from support.waiting import until

NEW = "/settings/integrations/new"


#: They are well-formed, and name a field that the workspace has not got.
WRONG_RULES = json.dumps([{"type": "*", "fieldMapping": {"priority": "No Such Field"}}])


@pytest.fixture(scope="module")
def rally() -> Iterator[Simulator]:
    """One simulator for all cases; its world does not change."""
    with start_simulator("--items", "120") as running:
        yield running


async def begun(asked: ServerClient, what: str, **fields: str) -> tuple[str, dict[str, Any]]:
    """Press a button of the form; the address of the page behind it, and what it tells when it has ended."""
    ticked = ("comments", "relations", "verifyTls", "verifyAccelerateTls")
    defaults = {f"properties.{name}": "true" for name in ticked}
    typed = {name.replace("__", "."): text for name, text in fields.items()}
    answer = await asked.http.post(NEW, data={"do": what, **defaults, **typed})
    assert answer.status_code == 303, re.findall(r'class="fault"[^>]*>([^<]*)', answer.text)
    address = answer.headers["location"]
    return address, await ended(asked, address)


async def ended(asked: ServerClient, address: str) -> dict[str, Any]:
    """What a page tells when its trial has ended."""
    draft, _, what = address.removeprefix("/settings/drafts/").partition("/")
    for key, trial in asked.host.dry_runs._dry_runs.items():
        if key == f"{draft}/{what}" and trial.task is not None:
            await trial.task
    found: dict[str, Any] = (await asked.http.get(f"{address}.json")).json()
    return found


def good(rally: Simulator, **more: str) -> dict[str, str]:
    """Settings that work, not saved."""
    return {"name": "sample", "properties__baseUrl": rally.url, "properties__apiKey": rally.key, **more}


async def form_behind(asked: ServerClient, told: dict[str, Any]) -> httpx2.Response:
    """The form that the page leads back to."""
    return await asked.http.get(told["form"])


async def test_a_connection_that_works_is_told_link_by_link(asked: ServerClient, rally: Simulator) -> None:
    address, told = await begun(asked, "test", **good(rally))
    found = [(each["link"], each["state"]) for each in told["trial"]["findings"]]
    assert {state for _, state in found} == {"ok"}
    assert [link for link, _ in found][-1] == "this host"
    assert {"address", "login", "workspace", "projects", "items", "history"} <= {link for link, _ in found}
    page = (await asked.http.get(address)).text
    assert ">Connected<" in page
    assert rally.key not in page
    back = (await form_behind(asked, told)).text
    assert 'value="sample"' in back
    assert rally.key not in back
    assert "Entered, not saved" in back
    assert await asked.host.stores.integrations.all() == []


async def test_a_broken_link_is_marked_and_says_what_to_do(asked: ServerClient, rally: Simulator) -> None:
    _, told = await begun(asked, "test", **good(rally, properties__apiKey="planted-wrong-key"))
    last = told["trial"]["findings"][-1]
    assert (last["link"], last["state"]) == ("login", "failed")
    assert last["todo"]
    assert "planted-wrong-key" not in str(told)
    _, told = await begun(asked, "test", **good(rally, properties__projects="No Such Project"))
    last = told["trial"]["findings"][-1]
    assert (last["link"], last["state"]) == ("projects", "failed")
    assert "No Such Project" in last["text"]


async def test_what_a_request_passed_before_the_broken_link_is_told_as_well(
    asked: ServerClient, rally: Simulator
) -> None:
    _, whole = await begun(asked, "test", **good(rally))
    passed = {each["link"]: each["text"] for each in whole["trial"]["findings"]}
    for wrong in ({"properties__projects": "No Such Project"}, {"properties__fieldMapping": WRONG_RULES}):
        _, told = await begun(asked, "test", **good(rally, **wrong))
        *before, last = told["trial"]["findings"]
        assert last["state"] == "failed"
        assert [each["link"] for each in before][:4] == ["address", "service", "login", "workspace"]
        assert {each["state"] for each in before} == {"ok"}
        # Which workspace it was is what one wants to know of a project that is not there.
        assert all(each["text"] == passed[each["link"]] for each in before if each["link"] != "projects")
        assert all(each["text"] != "holds" for each in before)


async def test_what_does_not_answer_is_given_up_soon(asked: ServerClient) -> None:
    fields = {"properties__baseUrl": "http://127.0.0.1:9", "properties__retrySeconds": "0"}
    _, told = await begun(asked, "test", properties__apiKey="k", **fields)
    assert told["trial"]["findings"][-1]["state"] == "failed"


async def test_a_stored_integration_is_tried_as_it_is(asked: ServerClient, rally: Simulator) -> None:
    its_id = await asked.host.add_integration(
        {"name": "sample", "properties": {"baseUrl": rally.url, "apiKey": rally.key}}
    )
    answer = await asked.http.post(f"/settings/integrations/{its_id}/test")
    told = await ended(asked, answer.headers["location"])
    assert {each["state"] for each in told["trial"]["findings"]} == {"ok"}
    assert told["form"].startswith(f"/settings/integrations/{its_id}/edit?draft=")


async def test_one_goes_back_to_where_one_came_from(asked: ServerClient, rally: Simulator) -> None:
    its_id = await asked.host.add_integration(
        {"name": "sample", "properties": {"baseUrl": rally.url, "apiKey": rally.key}}
    )
    place = f"/settings/integrations/{its_id}"

    async def ways(path: str, **fields: str) -> list[tuple[str, str]]:
        begun = await asked.http.post(path, data=fields)
        await ended(asked, begun.headers["location"])
        page = (await asked.http.get(begun.headers["location"])).text
        return re.findall(r'<a class="button" href="([^"?]+)[^"]*">(Back[^<]*)', page)

    assert await ways(f"{place}/test") == [(place, "Back to sample")]
    assert await ways(f"{place}/test", back="/settings/integrations") == [
        ("/settings/integrations", "Back to integrations")
    ]
    assert await ways(f"{place}/test", back="//evil.example") == [(place, "Back to sample")]
    typed = {"name": "sample", "do": "test", "properties.baseUrl": rally.url}
    assert await ways(f"{place}/edit", **typed) == [(f"{place}/edit", "Back to form")]


async def test_a_preview_shows_a_few_issues_of_every_type_and_stores_nothing(
    asked: ServerClient, rally: Simulator
) -> None:
    address, told = await begun(asked, "preview", **good(rally))
    issues = told["trial"]["issues"]
    assert len(issues) == 5
    assert {each["type"] for each in issues} == {"Story", "Defect"}
    truth = {
        row["formatted_id"]: row["values"]["Name"].strip()
        for kind in ("hierarchicalrequirement", "defect")
        for row in rally.fetch_ground_truth(kind).values()
    }
    assert all(truth[each["id"]] == each["name"] for each in issues)
    assert all(each["changes"] > 0 and each["history"] == "complete" for each in issues)
    assert issues[0]["id"] in (await asked.http.get(address)).text
    assert await asked.host.stores.issues.count_by_tracker() == {}


async def test_a_preview_goes_by_the_settings_that_were_typed(asked: ServerClient, rally: Simulator) -> None:
    mapping = '[{"type": "*", "valueMapping": {"status": {"Done": ["Accepted"]}}}]'
    fields = good(rally, properties__types="Defect", properties__fieldMapping=mapping)
    _, told = await begun(asked, "preview", **fields, properties__query='(ScheduleState = "Accepted")')
    assert {(each["type"], each["status"]) for each in told["trial"]["issues"]} == {("Defect", "Done")}


async def test_a_preview_of_nothing_says_why_that_may_be(asked: ServerClient, rally: Simulator) -> None:
    address, told = await begun(asked, "preview", **good(rally), properties__query='(Name = "there is none")')
    assert told["trial"]["issues"] == []
    assert "excludes all items. Without it there are" in (await asked.http.get(address)).text


async def test_a_preview_that_fails_says_what_to_do(asked: ServerClient, rally: Simulator) -> None:
    address, told = await begun(asked, "preview", **good(rally, properties__apiKey="planted-wrong-key"))
    assert told["trial"]["failure"]["hint"]
    assert 'role="alert"' in (await asked.http.get(address)).text
    answer = await asked.http.post(address)
    assert answer.headers["location"] == address


async def test_projects_are_chosen_from_the_tree_without_scripts(asked: ServerClient, rally: Simulator) -> None:
    fields = good(rally, properties__projects="Team Birch, Te?m *", properties__types="nonsense,")
    address, told = await begun(asked, "projects", **fields)
    rows = {row["name"]: row for row in told["rows"]}
    assert rows["Team Birch"]["chosen"]
    assert told["others"] == ["Te?m *"]
    assert rows["Team Birch"]["depth"] > 0
    assert not rows["Team Retired"]["open"]
    # A search hides what was chosen, and keeps it.
    amber = str(rows["Team Amber"]["id"])
    birch = str(rows["Team Birch"]["id"])
    chosen = {"project": [birch], "other": "Te?m *", "do": "search", "search": "amber"}
    searched = await asked.http.post(address, data=chosen)
    assert searched.headers["location"] == f"{address}?search=amber"
    narrowed = (await asked.http.get(f"{address}.json?search=amber")).json()
    assert [row["name"] for row in narrowed["rows"] if row["match"]] == ["Team Amber"]
    assert [each["name"] for each in narrowed["unseen"]] == ["Team Birch"]
    page = (await asked.http.get(searched.headers["location"])).text
    assert f'<input type="hidden" name="project" value="{birch}">' in page
    used = await asked.http.post(address, data={"project": [birch, amber], "children": "true", "do": "use"})
    form = (await asked.http.get(used.headers["location"])).text
    written = re.search(r'name="properties.projects" value="([^"]*)"', form)
    assert written is not None
    assert set(html.unescape(written[1]).split(", ")) == {"Team Birch", "Team Amber"}
    assert re.search(r'name="properties.includeChildProjects" value="true" checked', form)
    assert rally.key not in form


async def test_the_children_of_a_chosen_parent_are_offered_with_their_items(
    asked: ServerClient, rally: Simulator
) -> None:
    parents = "Sample Company Delivery, Team Retired, Platform*"
    address, told = await begun(asked, "projects", **good(rally, properties__projects=parents))
    rows = {row["name"]: row for row in told["rows"]}
    parent = rows["Sample Company Delivery"]
    assert [name for name, row in rows.items() if row["offer"]] == [parent["name"]]
    offer = parent["offer"]
    assert (offer["own"], offer["projects"] > 1, offer["below"] > 1) == (0, True, True)
    page = (await asked.http.get(address)).text
    assert "No items in this project. " in page
    assert f"{offer['projects']} child projects, {offer['below']} items: " in page
    assert 'aria-label="Add the child projects of Sample Company Delivery"' in page
    assert re.search(r"Team Retired <small>Closed: items cannot be imported", page)
    chosen = {"project": [str(parent["id"])], "other": "Platform*", "add": str(parent["id"]), "search": "team"}
    added = await asked.http.post(address, data=chosen)
    assert added.headers["location"] == f"{address}?search=team#project-{parent['id']}"
    told = (await asked.http.get(f"{address}.json")).json()
    chosen_rows = [row for row in told["rows"] if row["chosen"]]
    assert len(chosen_rows) == offer["projects"] + 1
    assert all(row["open"] and row["offer"] is None for row in chosen_rows)
    assert told["others"] == ["Platform*"]
    # With the setting for child projects, none is missing.
    ticked = {"project": [str(parent["id"])], "children": "true", "do": "search"}
    await asked.http.post(address, data=ticked)
    told = (await asked.http.get(f"{address}.json")).json()
    assert not any(row["offer"] for row in told["rows"])


async def test_the_tree_is_shown_also_when_items_cannot_be_counted(asked: ServerClient, rally: Simulator) -> None:
    fields = good(rally, properties__projects="Sample Company Delivery", properties__types="NoSuchType")
    address, told = await begun(asked, "projects", **fields)
    (offer,) = [row["offer"] for row in told["rows"] if row["offer"]]
    assert offer["below"] is None
    page = (await asked.http.get(address)).text
    assert f"{offer['projects']} child projects: <button" in page


async def test_projects_of_a_wrong_workspace_say_so_and_lead_back(asked: ServerClient, rally: Simulator) -> None:
    address, told = await begun(asked, "projects", **good(rally, properties__workspace="No Such Workspace"))
    assert "No Such Workspace" in told["trial"]["failure"]["message"]
    page = (await asked.http.get(address)).text
    assert f'href="{told["form"]}"' in page
    again = await asked.http.post(address, data={"do": "again"})
    assert again.headers["location"] == address


async def test_after_all_that_it_is_saved(asked: ServerClient, rally: Simulator) -> None:
    _, told = await begun(asked, "preview", **good(rally))
    form = (await asked.http.get(told["form"])).text
    draft = re.search(r'name="draft" value="([^"]+)"', form)
    assert draft is not None
    fields = {"draft": draft[1], "name": "sample", "properties.baseUrl": rally.url, "properties.comments": "true"}
    saved = await asked.http.post(NEW, data={**fields, "properties.relations": "true", "do": "save"})
    assert saved.status_code == 303
    found = await asked.host.stores.integrations.by_name("sample", TENANT)
    assert found is not None
    assert found.properties["apiKey"] == rally.key
    # The draft is gone with its secrets.
    assert (await asked.http.get(f"/settings/drafts/{draft[1]}/preview")).status_code == 404


@pytest.mark.parametrize("what", ["test", "preview", "projects"])
async def test_a_draft_that_is_gone_is_missed_politely(asked: ServerClient, what: str) -> None:
    for answer in (
        await asked.http.get(f"/settings/drafts/none/{what}"),
        await asked.http.post(f"/settings/drafts/none/{what}"),
    ):
        assert answer.status_code == 404
        assert "kept for one hour" in answer.text


async def test_who_waits_reads_for_which_step_and_for_how_long(asked: ServerClient) -> None:
    ended = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        typed = {"name": "sample", "properties.baseUrl": url, "properties.apiKey": "planted-secret-1"}
        address = (await asked.http.post(NEW, data={"do": "test", **typed})).headers["location"]
        waits = re.compile(r"<strong>address</strong> waiting for a response, [^>]*>\d+ s of at most 1[12]\d s<")

        # The page before the trial's first step does not name it.
        async def waiting() -> bool:
            return bool(waits.search((await asked.http.get(address)).text))

        await until(waiting)
        await asked.host.dry_runs.close()
        ended.set()
