"""An integration that brings nothing from a simulated Rally: the list, its page, the run and its log say why."""

from collections.abc import Iterator
from typing import Any

import pytest

from rally_sandbox.server import SANDBOX_API_KEY, Sandbox, serve
from rally_sandbox.world import World
from support.server_client import ServerClient
from support.waiting import until

LIST = "/settings/integrations"


@pytest.fixture(scope="module")
def rally() -> Iterator[Sandbox]:
    with serve(World.create(seed=11, items=80)) as sandbox:
        yield sandbox


async def synced(asked: ServerClient, rally: Sandbox, **given: Any) -> str:
    """The id of an integration that ran once."""
    properties = {"baseUrl": rally.url, "apiKey": SANDBOX_API_KEY, "historySource": "none", **given}
    its_id = await asked.host.add_integration({"name": "one", "properties": properties})
    await asked.host.run_integration(its_id)
    await until(lambda: not asked.host.scheduler.is_running(its_id))
    return its_id


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"projects": "Sample Company Delivery"}, "child projects have"),
        ({"query": '(Name = "no such name")'}, "excludes all"),
        ({"initialSyncDate": "2999-01-01"}, "none changed since"),
    ],
    ids=["parent", "query", "date"],
)
async def test_the_list_and_the_page_say_why_nothing_came(
    asked: ServerClient, rally: Sandbox, given: dict[str, Any], said: str
) -> None:
    its_id = await synced(asked, rally, **given)
    listed = (await asked.http.get(f"{LIST}.json")).json()["integrations"]
    (row,) = [each for each in listed if each["id"] == its_id]
    assert row["status"] == "No items"
    for address in (LIST, f"{LIST}/{its_id}"):
        text = (await asked.http.get(address)).text
        assert 'class="badge no-items"' in text
        assert said in text
    run = row["lastRun"]["id"]
    for address in (f"/executions/{run}", f"/executions/{run}/log.txt"):
        assert said in (await asked.http.get(address)).text, address


async def test_an_integration_that_brought_items_is_online_also_when_nothing_is_left(
    asked: ServerClient, rally: Sandbox
) -> None:
    its_id = await synced(asked, rally)
    await asked.host.run_integration(its_id)
    await until(lambda: not asked.host.scheduler.is_running(its_id))
    listed = (await asked.http.get(f"{LIST}.json")).json()["integrations"]
    assert [each["status"] for each in listed if each["id"] == its_id] == ["Online"]
