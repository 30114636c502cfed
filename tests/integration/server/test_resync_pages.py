"""Sending again with a look at it first, and approving removals: with a real simulator and real runs."""

import html
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from rally_accelerate.config.model import EVENT
from rally_accelerate.model.report import Outcome
from rally_accelerate.server.store.tables import issues
from support.issues import UPLOAD, upload
from support.processes import Simulator, start_simulator
from support.server_client import ServerClient
from support.waiting import PATIENCE_SECONDS


@dataclass(frozen=True)
class Synced:
    """An integration that was synced once."""

    asked: ServerClient
    rally: Simulator
    id: str

    @property
    def address(self) -> str:
        """Its page."""
        return f"/settings/integrations/{self.id}"

    async def ended(self) -> None:
        """Wait for what was started."""
        for task in list(self.asked.host.scheduler._tasks.values()):
            await task

    async def preview(self, **form: str) -> dict[str, Any]:
        """What the preview of a resync tells."""
        answer = await self.asked.http.post(f"{self.address}/resync", data={"do": "preview", **form})
        assert answer.status_code == 303
        for trial in self.asked.host.dry_runs._dry_runs.values():
            assert trial.task is not None
            await trial.task
        found: dict[str, Any] = (await self.asked.http.get(f"{self.address}/resync.json")).json()
        return found

    async def changed(self) -> str:
        """Change an issue behind the connector's back; its display id."""
        (issue,) = await self.asked.host.stores.issues.list_page(limit=1)
        content = {**issue.content, "status": "Wrong"}
        await self.asked.fetch_data(UPLOAD, data=upload(content, tracker=self.id))
        return str(issue.content["id"])


@pytest.fixture
async def synced(asked: ServerClient) -> AsyncIterator[Synced]:
    """A synced integration whose every run lists everything, and which trusts few removals."""
    with start_simulator("--items", "120") as rally:
        properties = {"baseUrl": rally.url, "apiKey": rally.key, "removalCheckHours": 0, "removalCap": "1%, 2"}
        its_id = await asked.host.add_integration({"name": "sample", "properties": properties})
        report = await asked.host.run_integration(its_id)
        assert report.outcome is Outcome.COMPLETE, report.failure
        yield Synced(asked, rally, its_id)


async def test_a_preview_counts_and_names_what_differs_and_changes_nothing(synced: Synced) -> None:
    told = (await synced.preview(range="full"))["trial"]["result"]
    counts = await synced.asked.host.stores.issues.count_by_tracker()
    assert (told["sent"], told["compared"], told["differing"]) == (counts[synced.id], counts[synced.id], 0)
    display = await synced.changed()
    told = await synced.preview(range="full")
    assert told["trial"]["result"]["differing"] == 1
    (difference,) = told["trial"]["result"]["differences"]
    assert display in difference
    assert "'Wrong'" in difference
    page = (await synced.asked.http.get(f"{synced.address}/resync")).text
    assert display in page
    assert "Wrong" in await synced.asked.host.stores.issues.list_statuses("")


async def test_a_resync_sends_everything_again_once(synced: Synced) -> None:
    await synced.changed()
    answer = await synced.asked.http.post(f"{synced.address}/resync", data={"range": "full", "do": "resync"})
    assert answer.headers["location"] == synced.address
    await synced.ended()
    assert "Wrong" not in await synced.asked.host.stores.issues.list_statuses("")
    counts = await synced.asked.host.stores.issues.count_by_tracker()
    latest = (await synced.asked.host.stores.executions.list_latest(synced.id))[0]
    assert latest.report["uploaded"] == counts[synced.id]
    following = await synced.asked.host.run_integration(synced.id)
    assert following.tally.uploaded == 0
    stored = await synced.asked.host.stores.integrations.by_id(synced.id)
    assert stored is not None
    assert stored.event_states[EVENT]["deltaTime"] == -1
    entry = (await synced.asked.host.stores.audit.list_entries())[0]
    assert (entry.action, entry.detail) == ("resynced", {"since": "full"})


async def test_a_resync_from_a_date_sends_what_changed_since(synced: Synced) -> None:
    told = await synced.preview(range="date", date="2999-01-01")
    assert told["trial"]["result"]["sent"] == 0
    assert (told["range"], told["date"]) == ("date", "2999-01-01")


async def test_a_resync_that_is_interrupted_is_done_by_the_next_run(synced: Synced) -> None:
    await synced.changed()
    synced.rally.post("faults", [{"name": "timeout", "match": "*", "times": -1}])
    await synced.asked.http.post(f"{synced.address}/resync", data={"range": "full", "do": "resync"})
    await synced.asked.host.scheduler.stop(synced.id)
    assert httpx2.delete(f"{synced.rally.url}/_sandbox/faults", timeout=PATIENCE_SECONDS).status_code == 200
    assert "Wrong" in await synced.asked.host.stores.issues.list_statuses("")
    await synced.asked.host.run_integration(synced.id)
    assert "Wrong" not in await synced.asked.host.stores.issues.list_statuses("")


async def test_graphql_and_a_disabled_integration_resync_alike(synced: Synced) -> None:
    await synced.asked.http.post(f"{synced.address}/toggle", data={"to": "off"})
    question = "mutation again($id: ID!) { resyncIntegration(integrationId: $id) { _id } }"
    assert (await synced.asked.fetch_data(question, id=synced.id)) == {"resyncIntegration": {"_id": synced.id}}
    await synced.ended()
    assert len(await synced.asked.host.stores.executions.list_latest(synced.id)) == 1
    await synced.asked.http.post(f"{synced.address}/toggle", data={"to": "on"})
    await synced.ended()
    latest = (await synced.asked.host.stores.executions.list_latest(synced.id))[0]
    assert latest.report["uploaded"] == (await synced.asked.host.stores.issues.count_by_tracker())[synced.id]


@pytest.mark.parametrize("date", ["", "soon", "31.1.2026"])
async def test_a_wrong_date_is_told_at_its_field(synced: Synced, date: str) -> None:
    for button in ("preview", "resync"):
        form = {"range": "date", "date": date, "do": button}
        answer = await synced.asked.http.post(f"{synced.address}/resync", data=form)
        assert answer.status_code == 422
        assert 'id="fault"' in answer.text


async def test_removals_that_were_withheld_are_shown_and_approved(synced: Synced) -> None:
    gone = [key for key, row in synced.rally.fetch_ground_truth("defect").items() if row["visible"]][:6]
    for key in gone:
        synced.rally.post("delete", {"objectId": int(key)})
    # An item is gone when a later look misses it too; instants of Rally are whole seconds.
    synced.rally.post("clock", {"advance_seconds": 5})
    await synced.asked.host.run_integration(synced.id)
    synced.rally.post("clock", {"advance_seconds": 5})
    report = await synced.asked.host.run_integration(synced.id)
    assert (report.outcome, report.tally.withheld) == (Outcome.PARTIAL, 6)
    listed = (await synced.asked.http.get("/settings/integrations.json")).json()["integrations"][0]
    assert (listed["status"], listed["withheld"]) == ("Partial", 6)
    told = (await synced.asked.http.get(f"{synced.address}/removals.json")).json()
    assert sorted(each["key"] for each in told["issues"]) == sorted(gone)
    page = (await synced.asked.http.get(f"{synced.address}/removals")).text
    assert told["issues"][0]["name"] in html.unescape(page)
    synced.rally.post("clock", {"advance_seconds": 5})
    answer = await synced.asked.http.post(f"{synced.address}/removals")
    assert answer.headers["location"] == synced.address
    await synced.ended()
    latest = (await synced.asked.host.stores.executions.list_latest(synced.id))[0]
    assert (latest.outcome, latest.report["removed"]) == ("complete", 6)
    nothing = (await synced.asked.http.get(f"{synced.address}/removals")).text
    assert "No missing items" in nothing
    # The approval counted once.
    stored = await synced.asked.host.stores.integrations.by_id(synced.id)
    assert stored is not None
    assert not stored.event_states[EVENT]["approveRemoval"]


async def test_a_disabled_integration_refuses_an_approval(synced: Synced) -> None:
    await synced.asked.http.post(f"{synced.address}/toggle", data={"to": "off"})
    answer = await synced.asked.http.post(f"{synced.address}/removals")
    assert answer.status_code == 409


async def test_an_issue_knows_which_run_wrote_it_and_others_uploads_name_none(synced: Synced) -> None:
    async def writers() -> set[str | None]:
        async with synced.asked.host.stores.database.reading() as connection:
            return set((await connection.execute(sa.select(issues.c.execution_id))).scalars())

    (execution,) = await synced.asked.host.stores.executions.list_latest(synced.id)
    assert await writers() == {execution.id}
    await synced.changed()
    assert await writers() == {execution.id, None}
