"""What the pages about value streams say beside what they show: of integrations, of files, of what is not drawn."""

import html
import re

import pytest

from rally_accelerate.server.value_streams.importer import PLACEHOLDER
from support.issues import UPLOAD, item, upload
from support.server_client import ServerClient
from support.value_streams import board, build_create_form, create_value_stream, stage, stream

NEVER = {"baseUrl": "http://127.0.0.1:9", "apiKey": "k-1", "retrySeconds": 0}


async def test_deleting_an_integration_names_the_value_streams_that_use_it(asked: ServerClient) -> None:
    its_id = await create_value_stream(
        asked, board() | {"integrations": [{"type": "ucv-ext-rally", "name": "my-rally", "properties": NEVER}]}
    )
    other = await create_value_stream(asked, board(), "Of all")
    (integration,) = await asked.host.stores.integrations.all()
    page = (await asked.http.get(f"/settings/integrations/{integration.id}/delete")).text
    assert f'<a href="/value-streams/{its_id}">Shop</a>' in page
    assert "1 value stream uses this integration" in page
    assert other not in page
    assert "was removed" not in (await asked.http.get(f"/value-streams/{its_id}")).text


async def test_an_empty_file_is_said_to_be_empty(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, board())
    empty = {"file": ("x.json", b"")}
    for address, data in ((f"/value-streams/{its_id}/import", {}), ("/value-streams/new", {"start": "file"})):
        answer = await asked.http.post(address, data=data, files=empty)
        assert answer.status_code == 400
        assert "the file is empty" in answer.text
        assert "choose a JSON file" not in answer.text


async def test_the_sample_can_be_imported_once_the_key_is_in_it(asked: ServerClient) -> None:
    page = (await asked.http.get("/settings/integrations")).text
    found = re.search(r'<pre class="sample">(.+?)</pre>', page, re.DOTALL)
    assert found is not None
    sample = html.unescape(found[1])
    left = await asked.http.post("/value-streams/new", **build_create_form(sample, "Sample"))
    assert left.status_code == 400
    assert "integrations[0].properties.apiKey is the placeholder from the sample" in html.unescape(left.text).replace(
        ":", ""
    )
    whole_file = await asked.http.post(
        "/value-streams/new", **build_create_form(sample.replace(PLACEHOLDER, "k-1"), "Sample")
    )
    assert whole_file.status_code == 200
    assert "my-rally" in whole_file.text


async def test_a_stage_says_how_many_of_its_items_are_drawn(asked: ServerClient) -> None:
    few = await create_value_stream(asked, stream(("P", [stage("All", "issue.type != none")])))
    await asked.fetch_data(UPLOAD, data=upload(*[item(number) for number in range(1, 126)], tracker="a" * 24))
    page = (await asked.http.get(f"/value-streams/{few}")).text
    assert page.count('class="dot"') == 120
    assert "120 of 125 shown" in page
    assert "in status</p>" in page


@pytest.mark.parametrize(
    "address",
    [
        "/value-streams/x",
        "/value-streams/x.json",
        "/value-streams/x/file",
        "/value-streams/x/edit",
        "/value-streams/x/import",
        "/value-streams/x/versions",
        "/value-streams/x/versions/1",
        "/value-streams/x/settings",
        "/value-streams/x/stages/1",
        "/value-streams/x/dots/a/b",
    ],
)
async def test_what_is_not_there(asked: ServerClient, address: str) -> None:
    assert (await asked.http.get(address)).status_code == 404


async def test_what_is_not_there_in_a_value_stream(asked: ServerClient) -> None:
    its_id = await create_value_stream(asked, stream(("A", [stage("B", None)])))
    for path in ("stages/0", "stages/2", "stages/x", "versions/2", "versions/x", "versions/1?with=9", "dots/a/b"):
        assert (await asked.http.get(f"/value-streams/{its_id}/{path}")).status_code == 404, path
