"""Rules that change in the host are applied to what it keeps: Rally is not asked for items again."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from rally_accelerate.model.report import Outcome
from rally_accelerate.server.app import Server
from support.processes import start_simulator

DONE = [{"type": "*", "valueMapping": {"status": {"Done": ["Accepted"]}}}]
MILD = [{"type": "*", "valueMapping": {"status": {"Finished": ["Accepted"]}}}]

#: Login, places, definitions and one question for changes of each type; what is kept needs none.
MOST_REQUESTS = 9


async def test_changed_rules_ask_rally_for_no_item(tmp_path: Path) -> None:
    with start_simulator("--items", "150") as rally:
        async with Server.open(tmp_path / "host.sqlite", interval=timedelta(hours=1)) as host:

            async def run(**rules: Any) -> Any:
                properties = {"baseUrl": rally.url, "apiKey": rally.key, **rules}
                its_id = await host.add_integration({"name": "x", "properties": properties})
                report = await host.run_integration(its_id)
                assert report.outcome is Outcome.COMPLETE, report.failure
                return report

            first = await run(fieldMapping=DONE)
            statuses = await host.stores.issues.list_statuses("")
            assert "Done" in statuses
            second = await run(fieldMapping=MILD)
            statuses = await host.stores.issues.list_statuses("")
            assert "Finished" in statuses
            assert "Done" not in statuses
            assert second.tally.uploaded == first.tally.uploaded
            assert second.rally.requests <= MOST_REQUESTS
            # The history goes by the same rules.
            whole = await host.stores.issues.list_page(limit=200)
            finished = [one for one in whole if one.content["status"] == "Finished"]
            told = [entry["content"] for entry in finished[0].content["history"]]
            assert "Finished" in [content["to"] for content in told if content["field"] == "status"]
            third = await run()
            assert "Accepted" in await host.stores.issues.list_statuses("")
            assert third.rally.requests <= MOST_REQUESTS
            # A field that was not read before has to be asked for.
            fourth = await run(customFields=["Expedite"])
            assert fourth.tally.read == first.tally.read
