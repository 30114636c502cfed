"""Services that refuse side jobs: `sync` and `check` say so, and nothing else changes."""

import json
from pathlib import Path

import pytest

from support.accelerate_stub import TRACKER, accelerate_stub
from support.processes import Finished, fetch_issues, run_command, start_server, start_simulator, write_settings

REFUSALS = {
    "an error": {"name": "errors-200", "text": "Not authorized to perform action: recycle bin"},
    "a status": {"name": "html-401"},
}


@pytest.mark.parametrize("how", REFUSALS)
def test_a_recycle_bin_that_may_not_be_read_is_one_notice_and_one_line_of_check(tmp_path: Path, how: str) -> None:
    with start_simulator("--items", "60") as rally, start_server(tmp_path / "host.sqlite") as target:
        file = write_settings(tmp_path / "rally.json", rally, target, removalCheckHours=0)

        def run() -> Finished:
            done = run_command("sync", str(file), "--once", "--json", "--state", str(tmp_path / "state"))
            assert done.code == 0, done.out
            return done

        run()
        checked = run_command("check", str(file))
        assert checked.out.count("the recycle bin can be read") == 1
        rally.post("faults", [{**REFUSALS[how], "match": "recyclebinentry", "times": -1}])
        told = [notice for notice in run().report["notices"] if "recycle bin" in notice]
        assert len(told) == 1
        rally.post("stats/reset")
        told = [notice for notice in run().report["notices"] if "recycle bin" in notice]
        assert len(told) == 1
        # It is not tried in every run.
        assert "recyclebinentry" not in rally.fetch_stats()["requests"]
        checked = run_command("check", str(file))
        assert checked.code == 0
        assert checked.out.count("the recycle bin cannot be read") == 1
        # The listing of everything finds a deletion all the same.
        deleted = min(fetch_issues(target))
        rally.post("delete", {"objectId": int(deleted)})
        run()
        assert run().report["removed"] == 1


def test_sync_marks_a_deleted_item_from_its_last_upload(tmp_path: Path) -> None:
    with start_simulator("--items", "60") as rally, accelerate_stub("A") as stub:
        # Neither Lookback nor comments can be read any more when the item is deleted.
        given = {"historySource": "revisions", "removalCheckHours": 0, "trackerId": TRACKER}
        properties = {"baseUrl": rally.url, "apiKey": rally.key, "accelerateUrl": stub.url, "ucvAccessKey": stub.key}
        integration = {"type": "ucv-ext-rally", "name": "rally", "properties": {**properties, **given}}
        file = tmp_path / "a.json"
        file.write_text(json.dumps({"integrations": [integration]}))

        def run() -> Finished:
            done = run_command("sync", str(file), "--once", "--json", "--state", str(tmp_path / "state"))
            assert (done.code, stub.refused) == (0, {}), done.out
            return done

        run()
        before = stub.issues_of()
        deleted = next(key for key, issue in sorted(before.items()) if issue["comments"] and issue["history"])
        rally.post("faults", [{"name": "errors-200", "match": "conversationpost", "times": -1}])
        rally.post("delete", {"objectId": int(deleted)})
        run()
        assert run().report["removed"] == 1
        after = stub.issues_of()[deleted]
        assert after["status"] == "Deleted"
        assert after["history"][:-1] == before[deleted]["history"]
        assert {**after, "status": "", "history": []} == {**before[deleted], "status": "", "history": []}
        sent = len(stub.uploads)
        run()
        assert len(stub.uploads) == sent
