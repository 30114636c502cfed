"""New value streams by the steps of the form, and their settings: what is wrong stands at its field."""

import json
import re
from html import unescape

import pytest

from support.issues import UPLOAD, change, item, upload
from support.server_client import ServerClient
from support.value_streams import board, build_create_form, create_value_stream, find_create_address, stage, stream

TRACKER = "a" * 24


def at_field(text: str, fault: str) -> str:
    """What is said at a field that points to it."""
    assert re.search(rf'aria-invalid="true" aria-describedby="{fault}"', text)
    found = re.search(rf'class="fault" id="{fault}">([^<]+)<', text)
    return unescape(found[1]) if found else ""


async def filled(asked: ServerClient) -> None:
    """Issues in three statuses, one of them nobody's."""
    items = [item(number, owner="Ann") for number in range(1, 6)]
    items += [item(10 + number, status="In-Progress", type="Defect", owner="Ann") for number in range(3)]
    items += [item(20, status="Accepted", history=[change("In-Progress", "Accepted")]), item(30, status="Idea")]
    await asked.fetch_data(UPLOAD, data=upload(*items, tracker=TRACKER))


async def test_the_wizard_makes_a_stage_of_each_status(asked: ServerClient) -> None:
    await filled(asked)
    first = await asked.http.post("/value-streams/new", data={"name": "Mine", "description": "d", "start": "statuses"})
    assert first.status_code == 303
    second = await asked.http.get(first.headers["location"])
    assert "No integrations yet" in second.text
    third = await asked.http.get("/value-streams/new/stages?name=Mine&description=d")
    statuses = re.findall(r'name="status" value="([^"]+)"', third.text)
    assert statuses == ["Idea", "Defined", "In-Progress", "Accepted"]
    form = {
        "name": "Mine",
        "description": "d",
        "status": statuses,
        "phase": ["Plan", "Plan", "Work", ""],
        "stage": ["To Do", "To Do", "Doing", "x"],
        "limit": ["", "many", "2", ""],
    }
    wrong = await asked.http.post("/value-streams/new/stages", data=form)
    assert wrong.status_code == 400
    assert at_field(wrong.text, "fault-limit-2") == "Enter a whole number of at least 1"
    form["limit"] = ["", "", "2", ""]
    made = await asked.http.post("/value-streams/new/stages", data=form)
    assert made.status_code == 303
    page = (await asked.http.get(f"{made.headers['location']}.json")).json()
    assert [(each["name"], each["said"]) for phase in page["phases"] for each in phase["stages"]] == [
        ("To Do", "6 items"),
        ("Doing", "3/2 items"),
    ]


@pytest.mark.parametrize("start", ["default", "empty"])
async def test_other_beginnings(asked: ServerClient, start: str) -> None:
    answer = await asked.http.post("/value-streams/new", data={"name": 'A/b "ä"', "start": start})
    assert answer.status_code == 303
    page = await asked.http.get(answer.headers["location"])
    assert page.status_code == 200
    assert ("no phases yet" in page.text) == (start == "empty")
    download = await asked.http.get(f"{answer.headers['location']}/file")
    assert "A_b__%C3%A4_-vsm.json" in download.headers["content-disposition"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 201])
async def test_a_value_stream_has_a_name(asked: ServerClient, name: str) -> None:
    answer = await asked.http.post("/value-streams/new", data={"name": name, "start": "empty"})
    assert answer.status_code == 400
    assert at_field(answer.text, "fault-name")
    assert "The value stream was not created" not in answer.text
    assert await asked.host.stores.streams.all() == []


async def test_a_name_that_is_taken_is_told_at_the_first_step(asked: ServerClient) -> None:
    await create_value_stream(asked, board())
    answer = await asked.http.post("/value-streams/new", data={"name": "SHOP", "start": "statuses"})
    assert answer.status_code == 400
    assert at_field(answer.text, "fault-name") == "A value stream named “SHOP” already exists"
    assert (await asked.http.post("/value-streams/new", data={"name": "S", "start": "statuses"})).status_code == 303


async def test_a_file_that_was_not_chosen_is_told_at_its_field(asked: ServerClient) -> None:
    answer = await asked.http.post("/value-streams/new", data={"name": "S", "start": "file"})
    assert at_field(answer.text, "fault-file") == "Choose a JSON file"


async def test_a_file_is_shown_with_its_doubts_before_anything_is_created(asked: ServerClient) -> None:
    properties = {"baseUrl": "http://127.0.0.1:9", "apiKey": "planted-7", "projekts": ["A"]}
    entry = {"type": "ucv-ext-rally", "name": "my-rally", "properties": properties}
    document = stream(("Plan", [stage("Idea", "issue.statux = Idea")]), integrations=[entry])
    preview = await asked.http.post("/value-streams/new", **build_create_form(document, "Typo"))
    assert preview.status_code == 200
    text = unescape(preview.text)
    assert "Warnings" in text
    assert "did you mean projects?" in text
    # Told before the first sync as well.
    assert "the stage Idea: no issue has a field issue.statux; did you mean issue.status" in text
    assert "1 integration will be added to the Integrations page" in text
    assert "planted-7" not in text
    assert await asked.host.stores.streams.all() == []
    assert await asked.host.stores.integrations.all() == []
    made = await asked.http.post(find_create_address(text))
    assert made.status_code == 303
    assert [one.name for one in await asked.host.stores.integrations.all()] == ["my-rally"]
    # Once created, the preview is gone.
    again = await asked.http.post(find_create_address(text))
    assert again.status_code == 400
    assert "choose the file again" in again.text


async def test_a_name_that_is_taken_is_told_before_the_preview_of_a_file(asked: ServerClient) -> None:
    await create_value_stream(asked, board())
    answer = await asked.http.post("/value-streams/new", **build_create_form(board(), "shop"))
    assert at_field(answer.text, "fault-name") == "A value stream named “shop” already exists"


async def test_renaming_and_removing(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    await create_value_stream(asked, board(), "Other")
    taken = await asked.http.post(f"/value-streams/{its_id}/rename", data={"name": "OTHER", "description": ""})
    assert taken.status_code == 400
    assert at_field(taken.text, "fault-name") == "'OTHER' is taken"
    assert 'value="OTHER"' in taken.text
    done = await asked.http.post(f"/value-streams/{its_id}/rename", data={"name": "Mine", "description": "said"})
    assert done.status_code == 303
    stored = await asked.host.stores.streams.by_id(its_id)
    assert stored is not None
    assert (stored.name, stored.document["description"], stored.version) == ("Mine", "said", 2)
    assert (await asked.http.post(f"/value-streams/{its_id}/delete")).status_code == 400
    assert (await asked.http.post(f"/value-streams/{its_id}/delete", data={"sure": "yes"})).status_code == 303
    assert (await asked.http.get(f"/value-streams/{its_id}")).status_code == 404
    actions = {one.action for one in await asked.host.stores.audit.list_entries() if one.kind == "value stream"}
    assert actions == {"created", "renamed", "edited the description", "removed"}


async def test_what_is_kept_and_not_drawn_is_said_by_the_map_and_by_the_preview(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    assert "not drawn here" not in (await asked.http.get(f"/value-streams/{its_id}")).text
    text = json.dumps(board() | {"metrics": [{"name": "M"}]})
    fields = {"text": (None, text), "version": (None, "1"), "action": (None, "preview")}
    preview = await asked.http.post(f"/value-streams/{its_id}/edit", files=fields)
    assert "preserved but not displayed: 1 metric" in preview.text
    fields |= {"action": (None, "save")}
    assert (await asked.http.post(f"/value-streams/{its_id}/edit", files=fields)).status_code == 303
    assert "This file also contains 1 metric," in (await asked.http.get(f"/value-streams/{its_id}")).text
