"""Adding and editing in the browser: nothing typed is lost, secrets never come back, and receivers are held to."""

import html
import re
from typing import Any

import httpx2
import pytest

from support.server_client import TENANT, ServerClient

LIST = "/settings/integrations"
SECRET = "planted-secret-1"
OTHER = "planted-secret-2"

#: As a browser sends the form when only these fields were filled in.
FILLED = {"name": "my rally", "properties.baseUrl": "http://127.0.0.1:9", "properties.apiKey": SECRET}


async def sent(asked: ServerClient, address: str = f"{LIST}/new", **fields: str) -> httpx2.Response:
    """Press the form's button; names of properties with ``__`` for the dot."""
    defaults = {"properties.comments": "true", "properties.relations": "true", "properties.verifyTls": "true"}
    more = {name.replace("__", "."): text for name, text in fields.items()}
    return await asked.http.post(address, data={**defaults, "properties.verifyAccelerateTls": "true", **more})


def fields_of(page: str) -> dict[str, str]:
    """The values of a form's fields, as a browser would send them back."""
    found = {}
    for tag in re.findall(r"<input [^>]*>", page):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        boxed = attributes.get("type") in {"checkbox", "radio"}
        if "name" in attributes and (not boxed or re.search(r"\schecked[\s>]", tag)):
            found[html.unescape(attributes["name"])] = html.unescape(attributes.get("value", ""))
    return found


async def test_an_integration_is_added_and_its_defaults_are_left_to_the_program(asked: ServerClient) -> None:
    answer = await sent(asked, **FILLED, properties__projects="A, B", showHidden="on")
    assert answer.status_code == 303
    found = await asked.host.stores.integrations.by_name("my rally", TENANT)
    assert found is not None
    assert answer.headers["location"] == f"{LIST}/{found.id}"
    assert found.properties == {"baseUrl": "http://127.0.0.1:9", "apiKey": SECRET, "projects": ["A", "B"]}
    assert found.show_hidden
    (entry,) = await asked.host.stores.audit.list_entries()
    assert (entry.action, entry.detail) == ("added", {"settings": ["apiKey", "baseUrl", "projects"]})


async def test_every_problem_stands_at_its_field_and_nothing_typed_is_lost(asked: ServerClient) -> None:
    answer = await sent(
        asked,
        name="",
        properties__baseUrl="ftp://x",
        properties__password=SECRET,
        properties__pageSize="many",
        properties__projects="kept, words",
    )
    assert answer.status_code == 422
    assert SECRET not in answer.text
    for field in ("name", "properties.baseUrl", "properties.username", "properties.pageSize"):
        assert f'id="fault-{field}"' in answer.text, field
        assert re.search(rf'name="{field}"[^>]*aria-describedby="fault-{field}[ "]', answer.text), field
    # The first one has the focus, and hidden ones are shown.
    assert re.findall(r'name="([^"]*)"[^>]*autofocus', answer.text) == ["name"]
    again = fields_of(answer.text)
    assert (again["properties.baseUrl"], again["properties.projects"]) == ("ftp://x", "kept, words")
    assert again["showHidden"] == "on"
    # What was typed as a secret is known under the draft, and the rest comes from the form.
    fixed = {**again, **FILLED, "properties.apiKey": "", "properties.pageSize": "100", "properties.username": "u"}
    done = await asked.http.post(f"{LIST}/new", data=fixed)
    assert done.status_code == 303, fields_of(done.text)
    found = await asked.host.stores.integrations.by_name("my rally", TENANT)
    assert found is not None
    assert found.properties["password"] == SECRET


async def test_a_taken_name_is_told_at_the_name(asked: ServerClient) -> None:
    await sent(asked, **FILLED)
    answer = await sent(asked, **FILLED)
    assert answer.status_code == 422
    assert re.search(r'id="fault-name">is already in use<', answer.text)
    assert SECRET not in answer.text
    # In another tenant it is free.
    assert (await sent(asked, **FILLED, tenant_id="other")).status_code == 303


async def edited(asked: ServerClient, **changes: str) -> tuple[httpx2.Response, dict[str, Any]]:
    """Add an integration, then send its form with changes: the answer, and the properties after it."""
    await sent(asked, **FILLED, properties__workspace="W")
    found = await asked.host.stores.integrations.by_name("my rally", TENANT)
    assert found is not None
    page = (await asked.http.get(f"{LIST}/{found.id}/edit")).text
    assert SECRET not in page
    assert 'placeholder="••••"' in page
    more = {name.replace("__", "."): text for name, text in changes.items()}
    answer = await asked.http.post(f"{LIST}/{found.id}/edit", data={**fields_of(page), **more})
    after = await asked.host.stores.integrations.by_id(found.id)
    assert after is not None
    return answer, dict(after.properties)


async def test_an_empty_secret_keeps_the_stored_one(asked: ServerClient) -> None:
    answer, after = await edited(asked, properties__workspace="Other")
    assert answer.status_code == 303
    assert (after["apiKey"], after["workspace"]) == (SECRET, "Other")
    entry = (await asked.host.stores.audit.list_entries())[0]
    assert (entry.action, entry.detail) == ("edited", {"settings": ["workspace"]})


async def test_a_typed_secret_replaces_the_stored_one(asked: ServerClient) -> None:
    _, after = await edited(asked, properties__apiKey=OTHER)
    assert after["apiKey"] == OTHER
    assert OTHER not in str(await asked.host.stores.audit.list_entries())


async def test_a_cleared_secret_is_gone(asked: ServerClient) -> None:
    answer, after = await edited(asked, clear__apiKey="yes", properties__username="u", properties__password=OTHER)
    assert answer.status_code == 303
    assert "apiKey" not in after


@pytest.mark.parametrize("what", ["save", "test", "preview", "projects"])
async def test_a_stored_secret_does_not_go_to_an_address_that_was_just_typed(asked: ServerClient, what: str) -> None:
    answer, after = await edited(asked, properties__baseUrl="http://127.0.0.1:1", do=what)
    assert answer.status_code == 422
    assert "must be entered again" in answer.text
    assert after["baseUrl"] == "http://127.0.0.1:9"
    draft = fields_of(answer.text)["draft"]
    # Nor by the way around the form.
    again = await asked.http.post(f"/settings/drafts/{draft}/test")
    assert (await asked.http.get(again.headers["location"])).status_code == 404


async def test_with_the_secret_typed_anew_the_address_may_change(asked: ServerClient) -> None:
    answer, after = await edited(asked, properties__baseUrl="http://127.0.0.1:1", properties__apiKey=OTHER)
    assert answer.status_code == 303
    assert (after["baseUrl"], after["apiKey"]) == ("http://127.0.0.1:1", OTHER)


async def test_the_form_is_labelled_described_and_works_without_scripts(asked: ServerClient) -> None:
    page = (await asked.http.get(f"{LIST}/new")).text
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    controls = re.findall(r'<(?:input|select|textarea) [^>]*id="([^"]+)"', page)
    assert len(controls) > 40
    for control in controls:
        assert f'<label for="{control}">' in page, control
    for described in re.findall(r'aria-describedby="([^"]+)"', page):
        assert set(described.split()) <= set(ids), described
    assert "onclick" not in page
    assert "style=" not in page


async def test_strange_bodies_are_no_fault_of_ours(asked: ServerClient) -> None:
    address = f"{LIST}/new"
    for body in (b"", b"\xff\xfe", b"a" * 5_000_000, b"name=%FF&=&&;"):
        assert (await asked.http.post(address, content=body)).status_code == 422


async def test_a_name_that_is_taken_is_told_with_all_else_that_is_wrong(asked: ServerClient) -> None:
    await sent(asked, **FILLED)
    answer = await sent(asked, **{**FILLED, "properties.baseUrl": "ftp://x"})
    assert answer.status_code == 422
    for field in ("name", "properties.baseUrl"):
        assert f'id="fault-{field}"' in answer.text, field
    found = await asked.host.stores.integrations.by_name("my rally", TENANT)
    assert found is not None
    # Its own name is not taken from it, and trying something out does not need one.
    assert (await sent(asked, f"{LIST}/{found.id}/edit", **FILLED)).status_code == 303
    assert (await sent(asked, **FILLED, do="test")).status_code == 303


async def test_what_is_wrong_is_said_with_the_names_of_the_fields(asked: ServerClient) -> None:
    answer = await sent(asked, name="x", properties__baseUrl="http://127.0.0.1:9")
    assert "give an API Token" in answer.text
    assert "give an apiKey" not in answer.text


async def drafted(asked: ServerClient, address: str, **fields: str) -> dict[str, str]:
    """The form behind a test of its connection: a secret that was typed lies in its draft."""
    more = {name.replace("__", "."): text for name, text in fields.items()}
    page = (await asked.http.get(address)).text
    answer = await asked.http.post(address, data={**fields_of(page), **more, "do": "test"})
    told = (await asked.http.get(f"{answer.headers['location']}.json")).json()
    return fields_of((await asked.http.get(told["form"])).text)


def restart(asked: ServerClient) -> None:
    """Lose what a host loses that is started anew."""
    for draft_id in list(asked.host.drafts._drafts._entries):
        del asked.host.drafts._drafts._entries[draft_id]


async def test_a_secret_that_a_restart_forgot_is_asked_for_and_not_called_missing(asked: ServerClient) -> None:
    again = await drafted(asked, f"{LIST}/new", **FILLED)
    restart(asked)
    answer = await asked.http.post(f"{LIST}/new", data={**again, "do": "save"})
    assert answer.status_code == 422
    assert "has expired because the server restarted or an hour passed; enter it again" in answer.text
    assert "no credentials" not in answer.text
    done = await asked.http.post(f"{LIST}/new", data={**fields_of(answer.text), "properties.apiKey": SECRET})
    assert done.status_code == 303


async def test_a_stored_secret_does_not_stay_in_silence_where_a_new_one_was_forgotten(asked: ServerClient) -> None:
    its_id = (await sent(asked, **FILLED)).headers["location"].rpartition("/")[2]
    again = await drafted(asked, f"{LIST}/{its_id}/edit", properties__apiKey=OTHER)
    restart(asked)
    answer = await asked.http.post(f"{LIST}/{its_id}/edit", data={**again, "do": "save"})
    assert answer.status_code == 422
    assert "enter it again" in answer.text
    # Once told, the stored one may stay.
    done = await asked.http.post(f"{LIST}/{its_id}/edit", data={**fields_of(answer.text), "do": "save"})
    assert done.status_code == 303


async def test_the_address_of_a_draft_that_is_gone_says_what_became_of_it(asked: ServerClient) -> None:
    again = await drafted(asked, f"{LIST}/new", **FILLED)
    address = f"{LIST}/new?draft={again['draft']}"
    assert "This draft" not in (await asked.http.get(address)).text
    saved = await asked.http.post(f"{LIST}/new", data={**again, "do": "save"})
    page = (await asked.http.get(address)).text
    assert f'This draft was already saved as <a href="{saved.headers["location"]}">my rally</a>' in page
    # Saved once more from the browser's memory, too.
    assert "already saved" in (await asked.http.post(f"{LIST}/new", data={**again, "do": "save"})).text
    assert "This draft has expired" in (await asked.http.get(f"{LIST}/new?draft=other")).text
