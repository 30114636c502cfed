"""What ``migrate`` says of an integration that another plug-in has worked for."""

import json
from pathlib import Path
from typing import Any

from support.container import add_integration, build_event_arguments, process_props
from support.limited_server import limited_server, reject_operations
from support.processes import TENANT, RunningServer, Simulator, run_command, start_server, start_simulator

UPLOAD = "mutation($data: IssueDataIn!) { uploadIssueData(data: $data) { result } }"


def leave_issues(rally: Simulator, target: RunningServer, tracker: str, *, by: str) -> int:
    """What another plug-in would have left: every third item, by another id."""
    everything = rally.fetch_ground_truth("hierarchicalrequirement") | rally.fetch_ground_truth("defect")
    items = [row for row in everything.values() if row["visible"]][::3]
    issues = [
        {
            "_id": str(row[by]),
            "id": row["formatted_id"],
            "name": "x",
            "status": "Defined",
            "url": "https://rally.example",
            "creator": "somebody",
            "created": 1,
            "lastUpdate": 1,
            "type": "Story",
            "project": {"id": "1", "key": row["values"]["Project"]["name"], "name": row["values"]["Project"]["name"]},
        }
        for row in items
    ]
    data = {"source": "RALLY", "trackerId": tracker, "tenantId": TENANT, "issues": issues}
    target.query(UPLOAD, data=data)
    return len(items)


def download(path: Path, name: str, **properties: Any) -> Path:
    """A value stream's file as it is downloaded: secrets are masked."""
    integration = {"type": "ucv-ext-rally", "name": name, "tenant_id": TENANT, "logginglevel": "info"}
    integration["properties"] = {"apiKey": "****", "ucvAccessKey": "****", **properties}  # type: ignore[assignment]
    path.write_text(json.dumps({"integrations": [integration, {"type": "ucv-ext-jira", "name": "other"}]}))
    return path


def name_of(target: RunningServer, tracker: str) -> str:
    query = "query($id: ID!) { integrationById(id: $id) { name } }"
    found: str = target.query(query, id=tracker)["integrationById"]["name"]
    return found


def test_issues_by_the_same_id_would_be_updated_and_others_doubled(tmp_path: Path) -> None:
    with start_simulator("--items", "120") as rally, start_server(tmp_path / "host.sqlite") as target:
        for by, code in (("object_id", 0), ("formatted_id", 4)):
            tracker = add_integration(target)
            number = leave_issues(rally, target, tracker, by=by)
            file = download(tmp_path / f"{by}.json", name_of(target, tracker), baseUrl=rally.url)
            keys = {"RALLY_API_KEY": rally.key, "ACCELERATE_URL": target.url, "ACCELERATE_ACCESS_KEY": target.key}
            told = run_command("migrate", str(file), **keys)
            assert told.code == code, told.out + told.err
            assert f"{number} issues of this integration" in told.out
            if code:
                assert f"{number} would be DUPLICATED" in told.out
                assert f"{number} are identified by their FormattedID" in told.out
            else:
                assert f"{number} would be updated" in told.out
            assert rally.key not in told.out + told.err
            # An older server has no list of issues: they are looked for project by project.
            with limited_server(target.url, reject_operations("issues")) as older:
                again = run_command("migrate", str(file), **{**keys, "ACCELERATE_URL": older.url})
            assert again.code == code
            assert f"{number} issues of this integration" in again.out


def test_without_a_way_to_compare_the_settings_are_told(tmp_path: Path) -> None:
    file = download(tmp_path / "vsm.json", "my-rally", baseUrl="https://rally.example", projcts="x")
    told = run_command("migrate", str(file))
    assert told.code == 0
    assert "masked in the download" in told.out
    assert "did you mean projects?" in told.out
    assert "not compared with Accelerate" in told.out
    assert "Traceback" not in told.out + told.err
    # Where the secrets come from instead is said, and no place in the program's own words.
    assert "RALLY_API_KEY" in told.out
    assert "[0]." not in told.out
    nothing = run_command("migrate", str(file), "--name", "another")
    assert nothing.code == 2
    assert "no Rally integration named 'another'" in nothing.err
    assert "Integrations in this file: " in nothing.err


def test_a_name_that_may_be_another_tools_is_left_out(tmp_path: Path) -> None:
    """A value stream refers to integrations of every tool by name alone.

    See accelerate-api-notes.md#integrations-in-the-file.
    """
    file = download(tmp_path / "vsm.json", "my-rally", baseUrl="https://rally.example")
    document = json.loads(file.read_text())
    document["integrations"].append({"name": "my-jira"})
    file.write_text(json.dumps(document))
    told = run_command("migrate", str(file))
    assert told.code == 0
    assert "my-rally:" in told.out
    assert "my-jira" not in told.out
    asked_for = run_command("migrate", str(file), "--name", "my-jira")
    assert "only; download it whole" in asked_for.out


def test_what_the_container_uploads_is_what_migrate_promised(tmp_path: Path) -> None:
    with start_simulator("--items", "60") as rally, start_server(tmp_path / "host.sqlite") as target:
        tracker = add_integration(target)
        leave_issues(rally, target, tracker, by="object_id")
        file = download(tmp_path / "vsm.json", name_of(target, tracker), baseUrl=rally.url)
        keys = {"RALLY_API_KEY": rally.key, "ACCELERATE_URL": target.url, "ACCELERATE_ACCESS_KEY": target.key}
        assert run_command("plugin", *build_event_arguments(process_props(rally, target, tracker))).code == 0
        told = run_command("migrate", str(file), **keys)
        assert told.code == 0
        assert "would be added" not in told.out
