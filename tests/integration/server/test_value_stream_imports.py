"""Importing files that other servers wrote: missing secrets of other tools, and what an import does to the map."""

import json
import re
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from rally_accelerate.server.graphql import value_stream_resolvers
from rally_accelerate.server.store.encryption import ENVELOPE_KEYS
from rally_accelerate.server.store.tables import value_stream_versions
from rally_accelerate.server.value_streams import importer
from rally_accelerate.server.value_streams.document import TABLES
from rally_accelerate.server.web import value_stream_create, value_stream_file
from support.issues import UPLOAD, item, upload
from support.server_client import TENANT, ServerClient
from support.value_streams import board, create_value_stream

RALLY = {
    "type": "ucv-ext-rally",
    "name": "json-rally",
    "properties": {"baseUrl": "http://127.0.0.1:9", "apiKey": "k-7"},
}
GITHUB = {
    "_id": "b" * 24,
    "type": "ucv-ext-github",
    "name": "github",
    "tenant_id": TENANT,
    "status": "Online",
    "properties": {
        "owner": "acme",
        "token": "****",
        "proxy": {"user": "u", "password": "*****"},
        "keys": ["****", "a"],
    },
}
RULES = [
    {
        "fromIntegrationName": "github",
        "toIntegrationName": "json-rally",
        "fromField": "pr.name",
        "toField": "issue.id",
        "pattern": "(US[0-9]+)",
    }
]


async def previewed(asked: ServerClient, its_id: str, document: Any) -> tuple[str, str]:
    """The preview's text without markup, and where it is applied."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    answer = await asked.http.post(f"/value-streams/{its_id}/import", files={"file": ("x.json", text)})
    assert answer.status_code == 200, answer.text
    address = re.search(r'action="(/value-streams/[^"]+/import/[^"]+)"', answer.text)
    assert address is not None
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", answer.text.replace("&#39;", "'")))
    return plain, address[1] if "<button" in answer.text.partition('action="/value-streams')[2] else ""


async def kept(asked: ServerClient, its_id: str) -> dict[str, Any]:
    stored = await asked.host.stores.streams.by_id(its_id)
    assert stored is not None
    return dict(stored.document)


async def shown(asked: ServerClient, its_id: str) -> int:
    total: int = (await asked.http.get(f"/value-streams/{its_id}.json")).json()["total"]
    return total


async def test_masked_secrets_of_tools_that_do_not_run_here_are_kept_as_missing(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    file = board() | {"integrations": [RALLY, GITHUB], "linkRules": RULES}
    text, address = await previewed(asked, its_id, file)
    assert "github has type ucv-ext-github, which this server doesn't run; it is preserved in the file" in text
    assert "token, proxy, keys are masked in the file and treated as missing" in text
    assert (await asked.http.post(address)).status_code == 303
    document = await kept(asked, its_id)
    github = document["integrations"][1]
    missing = {"owner": "acme", "token": None, "proxy": {"user": "u", "password": None}, "keys": [None, "a"]}
    assert github["properties"] == missing
    (rule,) = document["linkRules"]
    assert (rule["fromIntegrationId"], rule["toIntegrationId"]) == (GITHUB["_id"], document["integrations"][0]["_id"])
    # The download comes back as it is, and a secret that is entered later stays when it is masked again.
    download = (await asked.http.get(f"/value-streams/{its_id}/file")).json()
    assert download["integrations"][1]["properties"]["token"] is None
    again, _ = await previewed(asked, its_id, download)
    assert "No changes. The file matches" in again
    download["integrations"][1]["properties"]["token"] = "t-9"
    _, address = await previewed(asked, its_id, download)
    await asked.http.post(address)
    masked = (await asked.http.get(f"/value-streams/{its_id}/file")).json()
    assert masked["integrations"][1]["properties"]["token"] == "****"
    again, _ = await previewed(asked, its_id, masked)
    assert "No changes. The file matches" in again
    assert (await kept(asked, its_id))["integrations"][1]["properties"]["token"] == "t-9"


async def test_unknown_keys_next_to_the_settings_are_secret_too(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    foreign = {**GITHUB, "apiToken": "planted-1", "auth": {"key": "planted-2"}, "properties": {"owner": "acme"}}
    mine = {**RALLY, "note": "planted-3"}
    file = board() | {"integrations": [mine, foreign]}
    _, address = await previewed(asked, its_id, file)
    assert (await asked.http.post(address)).status_code == 303
    stored = await kept(asked, its_id)
    assert (stored["integrations"][1]["apiToken"], stored["integrations"][1]["auth"]) == (
        "planted-1",
        {"key": "planted-2"},
    )
    for place in ("file", "edit"):
        shown_text = (await asked.http.get(f"/value-streams/{its_id}/{place}")).text
        assert "planted" not in shown_text, place
        assert "apiToken" in shown_text
    async with asked.host.stores.database.reading() as connection:
        rows = (await connection.execute(sa.select(sa.cast(value_stream_versions.c.document, sa.Text)))).scalars()
        assert not any("planted" in row for row in rows)
    # What is masked stays what it was, and what changes is named without its value.
    download = (await asked.http.get(f"/value-streams/{its_id}/file")).json()
    assert download["integrations"][1]["auth"] == "****"
    assert "No changes. The file matches" in (await previewed(asked, its_id, download))[0]
    download["integrations"][1]["apiToken"] = "planted-4"
    text, address = await previewed(asked, its_id, download)
    assert "settings: apiToken" in text
    assert "planted" not in text
    assert (await asked.http.post(address)).status_code == 303
    first, second = (await kept(asked, its_id))["integrations"]
    assert (first["note"], second["apiToken"], second["auth"]) == ("planted-3", "planted-4", {"key": "planted-2"})
    # Another tool gets none of it.
    download["integrations"][1] |= {"type": "ucv-ext-jira", "apiToken": "****"}
    text, _ = await previewed(asked, its_id, download)
    assert "apiToken, auth are masked in the file and treated as missing" in text
    # A file that is refused is shown again without them.
    wrong = json.dumps(file | {"phases": 1}, indent=2)
    answer = await asked.http.post(f"/value-streams/{its_id}/edit", data={"text": wrong, "version": "3"})
    assert answer.status_code == 400
    assert "planted" not in answer.text


def test_the_known_keys_are_those_that_are_documented() -> None:
    assert set(TABLES["integrations[]"]) == ENVELOPE_KEYS


async def test_masked_secrets_of_integrations_that_run_here_are_still_asked_for(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    masked = {**RALLY, "properties": {**RALLY["properties"], "apiKey": "****"}}  # type: ignore[dict-item]
    text = json.dumps(board() | {"integrations": [masked, GITHUB]})
    answer = await asked.http.post(f"/value-streams/{its_id}/import", files={"file": ("x.json", text)})
    assert answer.status_code == 400
    assert "integrations[0].properties.apiKey" in answer.text
    assert "github" not in answer.text


async def integrated(asked: ServerClient, *counts: int) -> list[str]:
    """Integrations with so many issues each."""
    ids = []
    for number, count in enumerate(counts):
        raw = {"name": f"team-{number}", "type": "ucv-ext-rally", "tenant_id": TENANT, "disabled": True}
        raw |= {"properties": {"baseUrl": "http://127.0.0.1:9", "apiKey": "k"}}
        its_id = await asked.host.stores.integrations.add(raw)
        ids.append(its_id)
        await asked.fetch_data(
            UPLOAD, data=upload(*(item(100 * number + each) for each in range(count)), tracker=its_id)
        )
    return ids


async def test_the_preview_says_what_an_import_hides_and_offers_to_keep_it(asked: ServerClient) -> None:
    asked.host.boards.patience = 60
    await integrated(asked, 4, 3)
    its_id = await create_value_stream(asked, board() | {"integrations": []})
    assert await shown(asked, its_id) == 7
    text, address = await previewed(asked, its_id, board() | {"integrations": [{**RALLY, "disabled": True}]})
    assert "The map will show only json-rally: 0 of 7 items. It hides team-0, team-1." in text
    assert "Import and keep other integrations visible" in text
    assert (await asked.http.post(address, data={"keep_others": "1"})).status_code == 303
    assert [each["name"] for each in (await kept(asked, its_id))["integrations"]] == ["json-rally", "team-0", "team-1"]
    assert await shown(asked, its_id) == 7
    # Of a map that names some, the same.
    text, address = await previewed(asked, its_id, board() | {"integrations": [{"name": "team-1"}]})
    assert "The map will show only team-1: 3 of 7 items. It hides json-rally, team-0." in text
    assert (await asked.http.post(address)).status_code == 303
    assert await shown(asked, its_id) == 3


async def test_a_download_names_every_integration_and_comes_back_without_a_change(asked: ServerClient) -> None:
    asked.host.boards.patience = 60
    ids = await integrated(asked, 2, 1)
    its_id = await create_value_stream(asked, board() | {"integrations": []})
    file = (await asked.http.get(f"/value-streams/{its_id}/file")).json()
    assert file["integrations"] == [{"_id": its, "name": f"team-{number}"} for number, its in enumerate(ids)]
    text, _ = await previewed(asked, its_id, file)
    assert "No changes. The file matches" in text
    assert "The map will show only" not in text
    # Adding one to it hides nothing now; only later ones will not show.
    file["integrations"].append({**RALLY, "disabled": True})
    text, address = await previewed(asked, its_id, file)
    assert "The map will show only" not in text
    assert "Integrations added later won't appear on the map." in text
    assert (await asked.http.post(address)).status_code == 303
    assert await shown(asked, its_id) == 3


async def test_an_import_that_hides_nothing_says_nothing(asked: ServerClient) -> None:
    await integrated(asked, 1)
    its_id = await create_value_stream(asked, board() | {"integrations": [{"name": "team-0"}]})
    text, _ = await previewed(asked, its_id, board() | {"integrations": [{"name": "team-0"}], "description": "x"})
    assert "The map" not in text
    text, _ = await previewed(asked, its_id, board() | {"integrations": []})
    assert "The map" not in text


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("  ", "\u00a0\u00a0").encode(),
        lambda text: text.replace("\n", "\u2028\n").encode(),
        lambda text: text.replace('"To Do"', '"To \\ud83d Do"').encode(),
        lambda text: text.encode().replace(b'"To Do"', b'"To \xff Do"'),
        lambda text: text.replace('"To Do"', '"To\x0bDo"').encode(),
    ],
)
async def test_files_from_web_pages_and_broken_editors_are_read(asked: ServerClient, encode: Any) -> None:
    its_id = await create_value_stream(asked, board())
    text = json.dumps(board() | {"description": "read"}, indent=2, ensure_ascii=False)
    told, address = await previewed(asked, its_id, encode(text))
    assert (await asked.http.post(address)).status_code == 303
    document = await kept(asked, its_id)
    name = document["phases"][0]["stages"][0]["name"]
    assert name in {"To Do", "To \ufffd Do", "To\x0bDo"}
    assert document["description"] == "read"
    lost = "phases[0].stages[0].name contains unreadable characters (\ufffd); enter it again"
    assert (lost in told) is ("\ufffd" in name)


async def test_names_that_were_copied_from_a_page_are_those_that_were_meant(asked: ServerClient) -> None:
    team, _ = await integrated(asked, 1, 1)
    its_id = await create_value_stream(asked, board())
    file = board() | {
        "integrations": [{"name": "Team\u20110"}],
        "leadTime": {"start": "To\u00a0Do", "end": "Done\u200b"},
    }
    file["phases"][0]["stages"][0]["name"] = "To\u2003Do"
    _, address = await previewed(asked, its_id, file)
    assert (await asked.http.post(address)).status_code == 303
    document = await kept(asked, its_id)
    assert document["integrations"][0]["_id"] == team
    assert document["phases"][0]["stages"][0]["name"] == "To Do"
    assert document["leadTime"] == {"start": "To Do", "end": "Done"}


async def test_large_files_are_read_and_checked_outside_the_event_loop(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    its_id = await create_value_stream(asked, board())
    seen: dict[str, set[bool]] = {}

    def watched(module: Any, name: str) -> None:
        whole = getattr(module, name)

        def watching(*args: Any, **more: Any) -> Any:
            seen.setdefault(name, set()).add(threading.current_thread() is threading.main_thread())
            return whole(*args, **more)

        monkeypatch.setattr(module, name, watching)

    watched(importer, "examine")
    watched(importer, "plan_integrations")
    watched(value_stream_file, "mask_secrets")
    for module in (value_stream_file, value_stream_create, value_stream_resolvers):
        watched(module, "parse_document")
    await previewed(asked, its_id, board())
    await asked.http.post("/value-streams/new", data={"name": "n", "start": "file"}, files={"file": ("x.json", b"{}")})
    for text in ("{}", "{", json.dumps(board())):
        await asked.http.post(f"/value-streams/{its_id}/edit", data={"text": text, "version": "1", "action": "preview"})
    question = "mutation ($id: ID!, $w: JSON!) { updateWorkflow(workflowId: $id, workflow: $w) { __typename } }"
    await asked.graphql(question, id=its_id, w="{}")
    assert seen == {name: {False} for name in ("examine", "plan_integrations", "mask_secrets", "parse_document")}
