"""What is deleted, closed away, restored and sent again, with real processes."""

from collections import Counter
from pathlib import Path
from typing import Any

from support.processes import (
    Finished,
    assert_same_issues,
    fetch_issues,
    run_command,
    start_server,
    start_simulator,
    write_settings,
)


def test_what_is_gone_is_marked_after_two_looks_and_comes_back_with_its_own_status(tmp_path: Path) -> None:
    with start_simulator("--items", "200") as rally, start_server(tmp_path / "host.sqlite") as target:
        file = write_settings(tmp_path / "rally.json", rally, target, removalCheckHours=0, overlapMinutes=0)

        def run(*more: str) -> Finished:
            return run_command("sync", str(file), "--once", "--json", "--state", str(tmp_path / "state"), *more)

        assert run().code == 0
        before = fetch_issues(target)
        deleted = next(iter(key for key, row in rally.fetch_ground_truth("defect").items() if row["visible"]))
        closed = {key for key, issue in before.items() if issue["project"]["name"] == "Team Birch"}
        rally.post("delete", {"objectId": int(deleted)})
        rally.post("close", {"project": "Team Birch"})
        assert run().report["removed"] == 0
        assert run().report["removed"] == len(closed | {deleted})
        after = fetch_issues(target)
        expected = Counter({"Moved out": len(closed - {deleted}), "Deleted": 1})
        assert Counter(after[key]["status"] for key in closed | {deleted}) == expected
        last = after[deleted]["history"][-1]["content"]
        assert (last["field"], last["from"], last["to"]) == ("status", before[deleted]["status"], "Deleted")
        # Everything else about them stays as it was.
        kept: list[dict[str, Any]] = [{**issues[deleted], "status": "", "history": []} for issues in (before, after)]
        assert kept[0] == kept[1]
        assert run().report["removed"] == 0

        rally.post("restore", {"objectId": int(deleted)})
        rally.post("close", {"project": "Team Birch", "open": True})
        assert run().code == 0
        rally.post("clock", {"advance_seconds": 120})
        assert run().code == 0
        assert_same_issues(rally, target)


def test_too_many_at_once_are_kept_until_somebody_approves(tmp_path: Path) -> None:
    with start_simulator("--items", "150") as rally, start_server(tmp_path / "host.sqlite") as target:
        state = ("--state", str(tmp_path / "state"))
        file = write_settings(tmp_path / "rally.json", rally, target, removalCheckHours=0, removalCap="1%, 2")
        assert run_command("sync", str(file), "--once", *state).code == 0
        for key in [key for key, row in rally.fetch_ground_truth("defect").items() if row["visible"]][:6]:
            rally.post("delete", {"objectId": int(key)})
        assert run_command("sync", str(file), "--once", *state).code == 0
        stopped = run_command("sync", str(file), "--once", *state)
        assert stopped.code == 4
        assert "--approve-removal" in stopped.out
        assert "Deleted" not in {issue["status"] for issue in fetch_issues(target).values()}
        approved = run_command("sync", str(file), "--once", "--json", "--approve-removal", *state)
        assert (approved.code, approved.report["removed"]) == (0, 6)


def test_a_resync_shows_what_it_would_change_and_changes_nothing_twice(tmp_path: Path) -> None:
    with start_simulator("--items", "120") as rally, start_server(tmp_path / "host.sqlite") as target:
        file = write_settings(tmp_path / "rally.json", rally, target)
        state = ("--state", str(tmp_path / "state"))
        assert run_command("sync", str(file), "--once", *state).code == 0
        before = fetch_issues(target)
        spoiled = next(iter(before.values()))
        target.query(
            "mutation($d: IssueDataIn!) { uploadIssueData(data: $d) { result } }",
            d={
                "source": "RALLY",
                "trackerId": tracker(target),
                "tenantId": "5ade13625558f2c6688d15ce",
                "issues": [{**upload(spoiled), "status": "Spoiled"}],
            },
        )
        shown = run_command("sync", str(file), "--resync", "full", "--dry-run", *state)
        assert shown.code == 0, shown.err
        assert f"{spoiled['id']}: its status is 'Spoiled' in Accelerate" in shown.out
        for _ in range(2):
            assert run_command("sync", str(file), "--resync", "full", *state).code == 0
            assert fetch_issues(target) == before


def test_an_earlier_date_brings_only_the_difference(tmp_path: Path) -> None:
    with start_simulator("--items", "200") as rally, start_server(tmp_path / "host.sqlite") as target:
        state = ("--state", str(tmp_path / "state"))
        rows = rally.fetch_ground_truth("hierarchicalrequirement") | rally.fetch_ground_truth("defect")
        updated = sorted(row["updated"] for row in rows.values() if row["visible"])
        late, early = updated[len(updated) // 2], updated[len(updated) // 4]
        total = 0
        for since in (late, late, early, None):
            given = {"initialSyncDate": since} if since else {}
            file = write_settings(tmp_path / "rally.json", rally, target, **given, overlapMinutes=0)
            report = run_command("sync", str(file), "--once", "--json", *state).report
            total += report["uploaded"]
            wanted = {key for key, row in rows.items() if row["visible"] and (not since or row["updated"] >= since)}
            assert fetch_issues(target).keys() == wanted
            # Each item is brought once, whatever the way the date went.
            assert total == len(wanted)


def tracker(target: Any) -> str:
    """The id of the integration that the issues belong to."""
    found = target.query(
        "query($f: IssuesFilter!) { issues(filter: $f) { trackerId } }",
        f={"tenantId": "5ade13625558f2c6688d15ce", "limit": 1},
    )
    tracker_id: str = found["issues"][0]["trackerId"]
    return tracker_id


def upload(issue: dict[str, Any]) -> dict[str, Any]:
    """As much of an issue as an upload needs."""
    names = ("_id", "id", "name", "url", "creator", "created", "lastUpdate", "type", "project")
    return {name: issue[name] for name in names}
