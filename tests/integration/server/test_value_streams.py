"""Value streams from the file to the map: nothing half applied, nothing lost, no secret told, counts that agree."""

import asyncio
import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from rally_accelerate.server.permissions import SYSTEM_ACTOR
from rally_accelerate.server.store.tables import value_stream_versions
from rally_accelerate.server.web import value_stream_map
from support.issues import UPLOAD, change, item, upload
from support.server_client import TENANT, ServerClient
from support.value_streams import board, build_create_form, create_value_stream, find_create_address, stage

SECRET = "planted-secret-7"
TRACKER = "a" * 24


def whole(name: str = "my-rally", **properties: Any) -> dict[str, Any]:
    """An entry that defines an integration; its Rally is not there."""
    settings = {"baseUrl": "http://127.0.0.1:9", "apiKey": SECRET, "retrySeconds": 0, **properties}
    return {"type": "ucv-ext-rally", "name": name, "tenant_id": TENANT, "logginglevel": "warn", "properties": settings}


async def edited(
    asked: ServerClient, its_id: str, text: str, version: int, action: str = "save", *, entered: str = ""
) -> Any:
    given = {"text": text, "version": str(version), "action": action, "entered": entered}
    fields = {name: (None, value) for name, value in given.items()}
    return await asked.http.post(f"/value-streams/{its_id}/edit", files=fields)


async def file_of(asked: ServerClient, its_id: str) -> dict[str, Any]:
    answer = await asked.http.get(f"/value-streams/{its_id}/file")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def filled(asked: ServerClient) -> None:
    """Issues in three statuses, one of them nobody's."""
    items = [item(number, owner="Ann") for number in range(1, 6)]
    items += [item(10 + number, status="In-Progress", type="Defect", owner="Ann") for number in range(3)]
    items += [item(20, status="Accepted", history=[change("In-Progress", "Accepted")]), item(30, status="Idea")]
    await asked.fetch_data(UPLOAD, data=upload(*items, tracker=TRACKER))


async def test_the_first_page_leads_to_the_map_once_there_is_one(asked: ServerClient) -> None:
    assert (await asked.http.get("/")).headers["location"] == "/settings/integrations"
    its_id = await create_value_stream(asked, board())
    assert (await asked.http.get("/")).headers["location"] == f"/value-streams/{its_id}"
    await create_value_stream(asked, board(), "Another")
    assert (await asked.http.get("/")).headers["location"] == "/value-streams"
    assert [one["name"] for one in (await asked.http.get("/value-streams.json")).json()["streams"]] == [
        "Another",
        "Shop",
    ]


async def test_a_file_adds_its_integration_and_the_download_tells_no_secret(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board() | {"integrations": [whole()], "ourOwn": {"a": [1]}})
    (integration,) = await asked.host.stores.integrations.all()
    assert integration.properties["apiKey"] == SECRET
    assert (integration.name, integration.logging_level, integration.tenant_id) == ("my-rally", "WARN", TENANT)
    assert "my-rally" in (await asked.http.get("/settings/integrations")).text
    answer = await asked.http.get(f"/value-streams/{its_id}/file")
    assert answer.headers["content-disposition"].startswith('attachment; filename="Shop-vsm.json"')
    assert SECRET not in answer.text
    found = answer.json()
    (entry,) = found["integrations"]
    assert entry["_id"] == integration.id
    assert entry["properties"]["apiKey"] == "****"
    assert {"status", "startTime", "latest", "tenantId", "loggingLevel", "disabled"} <= set(entry)
    assert found["ourOwn"] == {"a": [1]}
    assert (found["_id"], found["tenantId"]) == (its_id, TENANT)


async def test_a_download_that_comes_back_changes_nothing(asked: ServerClient) -> None:
    rules = [{"fromIntegrationName": "my-rally", "toIntegrationName": "my-rally", "pattern": "(US[0-9]+)"}]
    jira = {"type": "ucv-ext-jira", "name": "jira", "properties": {"baseUrl": "https://j.example", "token": "t-9"}}
    its_id = await create_value_stream(
        asked, board() | {"integrations": [whole(), jira], "linkRules": rules, "x": None}
    )
    text = (await asked.http.get(f"/value-streams/{its_id}/file")).text
    assert "t-9" not in text
    preview = await edited(asked, its_id, text, 1, "preview")
    assert "No changes. The file matches" in preview.text
    assert (await edited(asked, its_id, text, 1)).status_code == 303
    stored = await asked.host.stores.streams.by_id(its_id)
    assert stored is not None
    assert stored.version == 1
    assert stored.document["integrations"][1]["properties"]["token"] == "t-9"
    assert stored.document["linkRules"][0]["fromIntegrationId"] == stored.document["integrations"][0]["_id"]
    assert (await asked.host.stores.integrations.all())[0].properties["apiKey"] == SECRET


async def test_secrets_of_other_tools_are_encrypted_in_the_database(asked: ServerClient) -> None:
    jira = {"type": "ucv-ext-jira", "name": "jira", "properties": {"token": "t-9"}}
    await create_value_stream(asked, board() | {"integrations": [jira, whole()]})
    async with asked.host.stores.database.reading() as connection:
        (row,) = (await connection.execute(sa.select(value_stream_versions.c.document))).all()
    assert "t-9" not in json.dumps(row.document)
    assert SECRET not in json.dumps(row.document)


async def test_nothing_of_a_wrong_file_is_applied_and_every_fault_is_told(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    wrong = board() | {
        "query": "issue.status ==",
        "integrations": [whole("new-one"), {"name": "unheard-of"}],
    }
    answer = await asked.http.post(f"/value-streams/{its_id}/import", files={"file": ("x.json", json.dumps(wrong))})
    assert answer.status_code == 400
    assert "<code>query</code>" in answer.text
    assert "line 1, column" in answer.text
    # Beside a fault of a query, what no integration has is told at once.
    assert "integrations[1].name" in answer.text
    wrong["query"] = ""
    assert (await edited(asked, its_id, json.dumps(wrong), 1)).status_code == 400
    assert await asked.host.stores.integrations.all() == []
    assert (await asked.host.stores.streams.by_id(its_id)).version == 1  # type: ignore[union-attr]


async def test_a_fault_in_the_middle_of_writing_undoes_what_was_written(asked: ServerClient) -> None:
    preview = await asked.http.post(
        "/value-streams/new", **build_create_form(board() | {"integrations": [whole("half")]}, "shop")
    )
    # The integration is written before the name of the value stream turns out to be taken since the preview.
    await create_value_stream(asked, board())
    answer = await asked.http.post(find_create_address(preview.text))
    assert answer.status_code == 400
    assert "is taken" in answer.text
    assert await asked.host.stores.integrations.all() == []


async def test_a_text_that_is_no_json_is_kept_and_told_by_line(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    text = '{\n  "phases": [\n  "name": "x"\n]}'
    answer = await edited(asked, its_id, text, 1)
    assert answer.status_code == 400
    assert "line 3, column 9" in answer.text
    assert "is outside of braces" in answer.text
    assert "&#34;phases&#34;: [" in answer.text


async def test_an_import_is_previewed_and_then_applied(asked: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    its_id = await create_value_stream(asked, board())
    after = board() | {"integrations": [whole()]}
    after["phases"][0]["stages"][0]["name"] = "Backlog"
    preview = await asked.http.post(
        f"/value-streams/{its_id}/import", files={"file": ("x.json", "\ufeff" + json.dumps(after))}
    )
    assert preview.status_code == 200
    assert SECRET not in preview.text
    assert "was To Do" in preview.text
    assert "my-rally" in preview.text
    assert await asked.host.stores.integrations.all() == []
    address = re.search(r'action="(/value-streams/[^"]+/import/[^"]+)"', preview.text)
    assert address is not None
    done = await asked.http.post(address[1])
    assert done.status_code == 303
    (added,) = await asked.host.stores.integrations.all()
    assert added.name == "my-rally"
    saved = (await asked.http.get(done.headers["location"])).text
    version = f'<a href="/value-streams/{its_id}/versions/2?with=1">version 2</a>'
    link = f'<a href="/settings/integrations/{added.id}">my-rally</a>'
    assert f"Imported as {version}; integration {link} was added." in saved
    # Told on the page that an import leads to, and of the version that is valid.
    assert "saved" not in "".join(re.findall(r'href="([^"]*)"', saved))
    for query in ("", "?saved=1", "?saved=3", "?saved=x"):
        assert "Imported as" not in (await asked.http.get(f"/value-streams/{its_id}{query}")).text
    # An address that was kept does not say it for ever.
    monkeypatch.setattr(value_stream_map, "SAVED_NOTICE_AGE", timedelta(0))
    assert "Imported as" not in (await asked.http.get(done.headers["location"])).text
    assert (await file_of(asked, its_id))["phases"][0]["stages"][0]["name"] == "Backlog"
    # Once applied, the preview is gone.
    assert (await asked.http.post(address[1])).status_code == 400
    entries = await asked.host.stores.audit.list_entries()
    assert {("imported", "value stream"), ("added", "integration")} <= {(one.action, one.kind) for one in entries}
    assert SECRET not in str(entries)


@pytest.mark.parametrize("fault", ['"pageSize": 0', '"pageSize": 1,,'])
async def test_a_secret_that_was_just_typed_is_not_shown_again_and_not_lost(asked: ServerClient, fault: str) -> None:
    its_id = await create_value_stream(asked, board())
    text = json.dumps(board() | {"integrations": [whole()]}, indent=1)
    wrong = text.replace('"retrySeconds": 0', fault)
    refused = await edited(asked, its_id, wrong, 1)
    assert refused.status_code == 400
    assert SECRET not in refused.text
    shown, entered = shown_again(refused.text)
    assert '"apiKey": "**** (entered 1)"' in shown
    mended = shown.replace(fault, '"retrySeconds": 0')
    preview = await edited(asked, its_id, mended, 1, "preview", entered=entered)
    assert preview.status_code == 200
    assert SECRET not in preview.text
    shown, entered = shown_again(preview.text)
    assert (await edited(asked, its_id, shown, 1)).status_code == 400, "it is known under its key alone"
    assert (await edited(asked, its_id, shown, 1, entered=entered)).status_code == 303
    (integration,) = await asked.host.stores.integrations.all()
    assert integration.properties["apiKey"] == SECRET


def shown_again(page: str) -> tuple[str, str]:
    """The text of an edit that goes on, and the key of what was taken out of it."""
    text = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    key = re.search(r'name="entered" value="([^"]+)"', page)
    assert text is not None
    assert key is not None
    return html.unescape(text[1]), key[1]


async def test_an_edit_of_an_older_version_is_refused_and_can_go_on(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    mine, theirs = board() | {"description": "mine"}, board() | {"description": "theirs"}
    assert (await edited(asked, its_id, json.dumps(theirs), 1)).status_code == 303
    refused = await edited(asked, its_id, json.dumps(mine), 1)
    assert refused.status_code == 409
    assert "saved version 2" in refused.text
    assert "theirs" in refused.text
    assert "&#34;mine&#34;" in refused.text
    assert (await file_of(asked, its_id))["description"] == "theirs"
    # The form that is shown is based on the valid version.
    assert 'name="version" value="2"' in refused.text
    assert (await edited(asked, its_id, json.dumps(mine), 2)).status_code == 303
    assert (await file_of(asked, its_id))["description"] == "mine"


async def test_of_two_edits_at_once_one_is_refused(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    texts = [json.dumps(board() | {"description": word}) for word in ("one", "two", "three")]
    answers = await asyncio.gather(*(edited(asked, its_id, text, 1) for text in texts))
    assert sorted(answer.status_code for answer in answers) == [303, 409, 409]
    stored = await asked.host.stores.streams.by_id(its_id)
    assert stored is not None
    assert stored.version == 2


async def test_a_preview_of_an_older_version_is_shown_anew(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    after = json.dumps(board() | {"description": "imported"})
    preview = await asked.http.post(f"/value-streams/{its_id}/import", files={"file": ("x.json", after)})
    address = re.search(r'action="(/value-streams/[^"]+/import/[^"]+)"', preview.text)
    assert address is not None
    await edited(asked, its_id, json.dumps(board() | {"description": "meanwhile"}), 1)
    again = await asked.http.post(address[1])
    assert again.status_code == 409
    assert "meanwhile → imported" in again.text
    fresh = re.search(r'action="(/value-streams/[^"]+/import/[^"]+)"', again.text)
    assert fresh is not None
    assert (await asked.http.post(fresh[1])).status_code == 303


async def test_old_versions_are_listed_compared_downloaded_and_restored(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    after = board()
    after["phases"][1]["stages"].pop()
    await edited(asked, its_id, json.dumps(after), 1)
    listed = (await asked.http.get(f"/value-streams/{its_id}/versions.json")).json()["versions"]
    assert [(one["number"], one["why"], one["actor"]) for one in listed] == [
        (2, "edited", "admin"),
        (1, "created", "admin"),
    ]
    assert listed[0]["changes"] == [{"kind": "removed", "what": "stage", "name": "Done", "detail": ""}]
    compared = await asked.http.get(f"/value-streams/{its_id}/versions/1")
    assert '<span class="removed">-' in compared.text
    assert "<strong>Done</strong>" in compared.text
    older = (await asked.http.get(f"/value-streams/{its_id}/versions/1/file")).json()
    assert len(older["phases"][1]["stages"]) == 2
    assert (
        await asked.http.post(f"/value-streams/{its_id}/versions/1/restore", data={"version": "1"})
    ).status_code == 409
    assert (
        await asked.http.post(f"/value-streams/{its_id}/versions/1/restore", data={"version": "2"})
    ).status_code == 303
    assert len((await file_of(asked, its_id))["phases"][1]["stages"]) == 2
    listed = (await asked.http.get(f"/value-streams/{its_id}/versions.json")).json()["versions"]
    assert [one["why"] for one in listed] == ["restored version 1", "edited", "created"]


async def test_the_map_counts_every_item_once(asked: ServerClient) -> None:
    await filled(asked)
    document = board()
    # Everything that is not an idea matches it, but what went further is not counted here.
    document["phases"][0]["stages"][0] = stage("To Do", "issue.status != Idea", wipLimit=4)
    document["phases"][1]["stages"].append(stage("Nothing", None))
    its_id = await create_value_stream(asked, document)
    page = (await asked.http.get(f"/value-streams/{its_id}.json")).json()
    stages = [each for phase in page["phases"] for each in phase["stages"]]
    assert [(each["name"], each["count"], each["said"], each["isOverLimit"]) for each in stages] == [
        ("To Do", 5, "5/4 items", True),
        ("Doing", 3, "3 items", False),
        ("Done", 1, "1 item", False),
        ("Nothing", 0, "0 items", False),
    ]
    assert page["total"] == 9
    assert sum(len(each["dots"]) for each in stages) == 9
    assert stages[3]["averageAge"] is None
    assert [(one["name"], one["items"]) for one in page["legend"]] == [("Story", 6), ("Defect", 3)]
    html = (await asked.http.get(f"/value-streams/{its_id}")).text
    assert html.count('class="dot"') == 9
    assert "Insufficient data" not in html.partition("Nothing")[0]
    assert "no query" in html.partition("Nothing")[2]
    assert "style=" not in html
    # The list of a stage has the same items as its dots.
    for each in stages:
        listed = (await asked.http.get(f"/value-streams/{its_id}/stages/{each['number']}.json")).json()
        assert [one["id"] for one in listed["items"]] == [one["id"] for one in each["dots"]]


async def test_the_map_follows_uploads_at_once(asked: ServerClient) -> None:
    asked.host.boards.patience = 60
    await filled(asked)
    its_id = await create_value_stream(asked, board())
    assert (await asked.http.get(f"/value-streams/{its_id}.json")).json()["total"] == 9
    await asked.fetch_data(UPLOAD, data=upload(item(99), tracker=TRACKER))
    assert (await asked.http.get(f"/value-streams/{its_id}.json")).json()["total"] == 10


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=Defect", [0, 3, 0]),
        ("text=US11", [0, 1, 0]),
        ("dql=issue.id+in+(US1,US2,US20)", [2, 0, 1]),
        ("type=Story&dql=issue.owner+%3D+Ann", [5, 0, 0]),
        ("time=DAY7", [0, 0, 0]),
        ("time=nonsense&by=nonsense", [5, 3, 1]),
    ],
)
async def test_searches_and_filters_restrict_the_map(asked: ServerClient, query: str, expected: list[int]) -> None:
    await filled(asked)
    its_id = await create_value_stream(asked, board())
    page = (await asked.http.get(f"/value-streams/{its_id}.json?{query}")).json()
    assert [each["count"] for phase in page["phases"] for each in phase["stages"]] == expected
    # What can be chosen does not shrink with what is chosen.
    assert page["choices"]["type"] == ["Defect", "Story"]


async def test_a_query_that_cannot_be_read_is_told_at_its_place(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    for path in ("", "/stages/1"):
        answer = await asked.http.get(f"/value-streams/{its_id}{path}", params={"dql": "issue.status = Done and '<b>"})
        assert answer.status_code == 400
        assert "line 1, column 25" in answer.text
        assert "<mark>&#39;&lt;b&gt;</mark>" in answer.text


async def test_while_it_is_counted_anew_the_map_before_is_shown_and_says_so(asked: ServerClient) -> None:
    asked.host.boards.patience = 0
    await filled(asked)
    its_id = await create_value_stream(asked, board())
    assert (await asked.http.get(f"/value-streams/{its_id}.json")).json()["isOld"] is False
    await asked.fetch_data(UPLOAD, data=upload(item(99), tracker=TRACKER))
    old = await asked.http.get(f"/value-streams/{its_id}")
    assert "refreshing…" in old.text
    assert old.text.count('class="dot"') == 9
    await asked.host.boards.settle()
    new = (await asked.http.get(f"/value-streams/{its_id}.json")).json()
    assert (new["total"], new["isOld"]) == (10, False)


async def test_only_the_integrations_of_the_value_stream_show(asked: ServerClient) -> None:
    asked.host.boards.patience = 60
    await filled(asked)
    its_id = await create_value_stream(asked, board() | {"integrations": [whole()]})
    assert (await asked.http.get(f"/value-streams/{its_id}.json")).json()["total"] == 0
    (integration,) = await asked.host.stores.integrations.all()
    await asked.fetch_data(UPLOAD, data=upload(item(1), item(2), tracker=integration.id))
    assert (await asked.http.get(f"/value-streams/{its_id}.json")).json()["total"] == 2
    assert (await asked.http.get(f"/value-streams/{its_id}/dots/{integration.id}/1")).status_code == 200
    assert (await asked.http.get(f"/value-streams/{its_id}/dots/{TRACKER}/1")).status_code == 404


async def test_a_card_tells_the_item_and_its_way(asked: ServerClient) -> None:
    history = [change("Defined", "In-Progress", at=1_700_000_600_000)]
    odd = item(
        7,
        _id="a/b.json",
        status="In-Progress",
        name="<script>x</script>",
        priority="High",
        history=history,
        description="Some <b>text</b>",
    )
    await asked.fetch_data(UPLOAD, data=upload(odd, tracker=TRACKER))
    its_id = await create_value_stream(asked, board())
    text = (await asked.http.get(f"/value-streams/{its_id}")).text
    (address,) = set(re.findall(r'href="(/value-streams/[^"]+/dots/[^"]+)"', text))
    card = (await asked.http.get(address)).text
    assert "Story | In-Progress | High" in card
    assert "unassigned" in card
    assert "<strong>U</strong> updated status to <strong>In-Progress</strong>" in card
    assert "US7 created by <strong>Sample User</strong>" in card
    assert "<script>x" not in text + card
    assert "<b>" not in card
    told = (await asked.http.get(f"{address}.json")).json()
    assert [visit["stage"]["name"] for visit in told["visits"]] == ["Doing", "To Do"]
    assert told["alerts"] == ["unassigned", "too old"]


async def test_a_card_says_that_the_change_to_the_status_is_not_in_the_history_yet(asked: ServerClient) -> None:
    history = [change("Defined", "In-Progress", at=1_700_000_600_000)]
    late = item(7, status="Completed", lastUpdate=1_700_000_900_000, history=history)
    await asked.fetch_data(UPLOAD, data=upload(late, tracker=TRACKER))
    its_id = await create_value_stream(asked, board())
    address = f"/value-streams/{its_id}/dots/{TRACKER}/7"
    card = (await asked.http.get(address)).text
    assert "or longer in Completed" in card
    assert re.search(r"<dt>Time in stage</dt><dd>[^<]+ or longer</dd>", card)
    assert "History is catching up." in card
    assert "Status was already <strong>Completed</strong>" in card
    assert "<strong>somebody</strong> updated status" not in card
    told = (await asked.http.get(f"{address}.json")).json()
    assert told["late"]["at"] == 1_700_000_900_000
    assert [visit["stage"]["name"] for visit in told["visits"]] == ["Done", "Doing", "To Do"]
    assert told["visits"][1]["lasted"] == 300_000
    assert [event["told"] for visit in told["visits"] for event in visit["events"]] == [False, True, True]
    await asked.fetch_data(UPLOAD, data=upload({**late, "status": "In-Progress"}, tracker=TRACKER))
    card = (await asked.http.get(address)).text
    assert "History is catching up" not in card
    assert "or longer" not in card


async def test_an_item_outside_of_every_stage_has_a_card_too(asked: ServerClient) -> None:
    await filled(asked)
    its_id = await create_value_stream(asked, board())
    card = (await asked.http.get(f"/value-streams/{its_id}/dots/{TRACKER}/30")).text
    assert "Events Outside Of A Stage Definition" in card


async def test_an_integration_that_was_removed_since_does_not_stop_the_value_stream(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board() | {"integrations": [whole()]})
    (integration,) = await asked.host.stores.integrations.all()
    await asked.host.scheduler.stop(integration.id)
    await asked.host.integrations.remove(SYSTEM_ACTOR, integration.id, with_issues=False)
    found = await file_of(asked, its_id)
    assert found["integrations"] == [{"name": "my-rally", "_id": integration.id}]
    assert (await asked.http.get(f"/value-streams/{its_id}")).status_code == 200
    preview = await edited(asked, its_id, json.dumps(found), 1, "preview")
    assert "was deleted and no longer provides items" in preview.text
    said = "The integration my-rally was deleted and no longer provides items."
    assert said in (await asked.http.get(f"/value-streams/{its_id}")).text


async def test_a_form_that_is_none_is_told(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    for headers, content in (
        ({"Content-Type": "multipart/form-data"}, b"x"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b\r\nx"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"\xff=\xff"),
        ({"Content-Type": "text/plain"}, b"\x00"),
    ):
        for path in ("/value-streams/new", f"/value-streams/{its_id}/import", f"/value-streams/{its_id}/edit"):
            answer = await asked.http.post(path, headers=headers, content=content)
            assert answer.status_code in {400, 413}, (path, content)


ODD: list[dict[str, Any]] = [
    {},
    {"phases": None, "integrations": None, "linkRules": None, "leadTime": [], "cycleTime": {}},
    {"phases": [{"name": "a", "stages": None}], "description": None, "query": None, "ageThresholdDays": None},
    {"phases": [{"name": "a", "stages": [{"name": "b", "query": "issue.x = 1", "wipLimit": 10**15, "targets": [1]}]}]},
    {"integrations": [{"name": "a", "type": "x", "properties": {"encrypted": "abc"}}]},
    {"integrations": [whole("c", unheardOf={"encrypted": "abc"})], "ageThresholdDays": 0.001},
    {
        "mappings": {"priority": {"Low": ["a"]}},
        "phases": [{"name": "p", "stages": [stage("x", "issue.status = Defined")]}],
    },
    {"phases": [{"name": str(number), "stages": [stage(str(number), None)]} for number in range(60)]},
]


@pytest.mark.parametrize("document", ODD)
async def test_whatever_is_right_can_be_shown_everywhere(asked: ServerClient, document: dict[str, Any]) -> None:
    await filled(asked)
    its_id = await create_value_stream(asked, document)
    for path in ("", "/edit", "/file", "/versions", "/versions/1", "/settings", "/import", f"/dots/{TRACKER}/1"):
        for end in ("", ".json") if path != "/file" else ("",):
            answer = await asked.http.get(f"/value-streams/{its_id}{path}{end}")
            # Items of other integrations are none of this value stream's.
            is_foreign = bool(document.get("integrations")) and path.startswith("/dots")
            assert answer.status_code == (404 if is_foreign else 200), f"{path}{end}"
    found = await file_of(asked, its_id)
    assert "No changes. The file matches" in (await edited(asked, its_id, json.dumps(found), 1, "preview")).text


async def test_a_first_value_stream_is_drawn_once_of_what_there_is(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration(whole("sample-company"))
    assert await asked.host.create_first_value_stream(its_id) is None
    items = [item(1), item(2, status="In-Progress"), item(3, status="Accepted"), item(4, status="Deleted")]
    await asked.fetch_data(UPLOAD, data=upload(*items, tracker=its_id))
    assert await asked.host.create_first_value_stream(its_id) == "Sample company"
    assert await asked.host.create_first_value_stream(its_id) is None
    (stream_,) = await asked.host.stores.streams.all()
    assert [each["name"] for each in stream_.document["phases"]] == ["Planning", "Development", "Deployment"]
    page = (await asked.http.get(f"/value-streams/{stream_.id}.json")).json()
    assert page["total"] == 3
