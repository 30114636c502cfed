"""Mapping rules of one's own, and the commands that look at what they do, with real processes."""

from pathlib import Path
from typing import Any

from support.processes import (
    TENANT,
    RunningServer,
    fetch_issues,
    run_command,
    start_server,
    start_simulator,
    write_settings,
)

RULES = [
    {"type": "*", "valueMapping": {"status": {"Done": ["Accepted", "/Released/"]}}},
    {
        "type": "Defect",
        "fieldMapping": {"extended.found": "Environment"},
        "valueMapping": {"priority": {"Highest": ["Resolve Immediately"]}},
    },
]


def test_own_rules_map_status_and_history_alike_and_can_be_explained(tmp_path: Path) -> None:
    with start_simulator("--items", "150") as rally, start_server(tmp_path / "host.sqlite") as target:
        state = ("--state", str(tmp_path / "state"))
        plain = write_settings(tmp_path / "plain.json", rally, target)
        assert run_command("sync", str(plain), "--once", *state).code == 0
        before = fetch_issues(target)
        file = write_settings(tmp_path / "rules.json", rally, target, fieldMapping=RULES, customFields=["Expedite"])
        report = run_command("sync", str(file), "--once", "--json", *state)
        # Other rules map and send everything again by themselves.
        assert (report.code, report.report["uploaded"]) == (0, len(before))
        after = fetch_issues(target)
        done = {"Accepted": "Done", "Released": "Done"}
        for key, issue in after.items():
            was = before[key]
            assert issue["status"] == done.get(was["status"], was["status"])
            told, expected = [
                [(each["content"]["from"], each["content"]["to"]) for each in one["history"] if is_status(each)]
                for one in (issue, was)
            ]
            assert told == [(done.get(old, old), done.get(new, new)) for old, new in expected]
        assert "Highest" in {issue["priority"] for issue in after.values()}
        defect = next(issue for issue in after.values() if "found" in (issue["rawIssue"] or {}))

        explained = run_command("explain", str(file), defect["id"].lower())
        assert explained.code == 0, explained.err
        assert f'"{before[defect["_id"]]["status"]}"' in explained.out or "mapped by default" in explained.out
        assert "read from Environment (fieldMapping[1].fieldMapping.extended.found)" in explained.out
        assert "mapped by default from Name" in explained.out
        assert "mapped by default from PlanEstimate" in explained.out
        assert "mapped by default from ScheduleState" in explained.out
        assert run_command("explain", str(file), "DE99999").code == 3
        for odd in ("US", "US 12", 'US1") OR (FormattedID = "US2'):
            assert "is not a Rally ID" in run_command("explain", str(file), odd).err

        covered = run_command("coverage", str(file))
        assert covered.code == 0
        assert "status 'Defined'" in covered.out
        assert "status 'Accepted'" not in covered.out


def is_status(entry: dict[str, dict[str, str]]) -> bool:
    """Whether an entry of history is about the status."""
    return entry["content"]["field"] == "status"


def test_verify_is_content_and_tells_what_is_not_right(tmp_path: Path) -> None:
    with start_simulator("--items", "100") as rally, start_server(tmp_path / "host.sqlite") as target:
        file = write_settings(tmp_path / "rally.json", rally, target)
        assert run_command("sync", str(file), "--once", "--state", str(tmp_path / "state")).code == 0
        verified = run_command("verify", str(file))
        assert verified.code == 0, verified.out
        assert f"{len(fetch_issues(target))} complete, 0 incomplete, 0 unverifiable" in verified.out
        # Our own server returns histories, so they are compared.
        issues = fetch_issues(target)
        shortened = next(each for each in issues.values() if len(each["history"]) > 2)
        target.query(
            "mutation($d: IssueDataIn!) { uploadIssueData(data: $d) { result } }",
            d={
                "source": "RALLY",
                "trackerId": tracker(target),
                "tenantId": TENANT,
                "issues": [without_history(shortened)],
            },
        )
        lost = run_command("verify", str(file))
        assert lost.code == 4
        count = len(shortened["history"])
        assert f"its history has 0 changes in Accelerate, and should have {count}" in lost.out
        assert "1 differences" in lost.out
        changed = next(key for key, row in rally.fetch_ground_truth("defect").items() if row["visible"])
        rally.post("edit", {"objectId": int(changed), "fields": {"Name": "Changed meanwhile"}})
        rally.post("clock", {"advance_seconds": 120})
        differs = run_command("verify", str(file))
        assert differs.code == 4
        assert "should be 'Changed meanwhile'" in differs.out


def tracker(target: RunningServer) -> str:
    """The integration that the issues belong to."""
    query = "query($f: IssuesFilter) { issues(filter: $f) { trackerId } }"
    found: str = target.query(query, f={"tenantId": TENANT, "limit": 1})["issues"][0]["trackerId"]
    return found


def without_history(issue: dict[str, Any]) -> dict[str, Any]:
    """An upload of an issue that would lose its history."""
    names = ("_id", "id", "name", "status", "url", "creator", "created", "lastUpdate", "type", "project")
    return {name: issue[name] for name in names}


def test_rules_that_cannot_be_used_are_told_all_at_once(tmp_path: Path) -> None:
    with start_simulator("--items", "50") as rally, start_server(tmp_path / "host.sqlite") as target:
        wrong = [{"type": "Story", "fieldMapping": {"id": "Name"}, "valueMapping": {"status": {"Done": ["/[/"]}}}]
        file = write_settings(tmp_path / "wrong.json", rally, target, fieldMapping=wrong)
        told = run_command("sync", str(file), "--once", "--state", str(tmp_path / "state"))
        assert told.code == 2
        assert "fieldMapping[0].fieldMapping.id" in told.err
        assert "fieldMapping[0].valueMapping.status.Done[0]" in told.err
        unknown = [{"type": "Story", "fieldMapping": {"status": "Schedul State"}}]
        file = write_settings(tmp_path / "unknown.json", rally, target, fieldMapping=unknown)
        told = run_command("sync", str(file), "--once", "--state", str(tmp_path / "state"))
        assert told.code == 2
        assert 'did you mean "Schedule State"' in told.err


def test_rules_for_unknown_targets_and_types_are_refused_before_rally_is_asked(tmp_path: Path) -> None:
    wrong = [{"type": "Storry", "valueMapping": {"statuss": {"Done": ["Accepted"]}}}]
    with start_simulator("--items", "10") as rally, start_server(tmp_path / "host.sqlite") as target:
        file = write_settings(tmp_path / "wrong.json", rally, target, fieldMapping=wrong)
    # Neither of them runs any more.
    for arguments in (("check", str(file)), ("sync", str(file), "--once", "--state", str(tmp_path / "state"))):
        told = run_command(*arguments)
        assert told.code == 2
        assert 'did you mean "status"' in told.err
        assert 'did you mean "Story"' in told.err
