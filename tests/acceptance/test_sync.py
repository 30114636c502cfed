"""From a settings file to a host full of issues, with real processes that are also killed."""

import json
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from support.processes import (
    RunningServer,
    assert_same_issues,
    fetch_issues,
    run_command,
    start_command,
    start_server,
    start_simulator,
    write_settings,
)
from support.waiting import PATIENCE_SECONDS, wait_until


def test_a_first_sync_and_a_cycle_bring_everything_over_once(tmp_path: Path) -> None:
    with start_simulator("--items", "300") as rally, start_server(tmp_path / "host.sqlite") as target:
        file = write_settings(tmp_path / "rally.json", rally, target)
        state = ("--state", str(tmp_path / "state.sqlite"))
        first = run_command("sync", str(file), "--once", "--json", *state)
        assert (first.code, first.report["outcome"]) == (0, "complete"), first.err
        assert_same_issues(rally, target)

        idle = run_command("sync", str(file), "--once", "--json", *state).report
        assert idle["uploaded"] == 0
        assert idle["requests"]["rally"] + idle["requests"]["accelerate"] <= 8

        changed = {str(key) for key in rally.post("work", {"steps": 25})["objectIds"]}
        cycle = run_command("sync", str(file), "--once", "--json", *state).report
        assert 0 < cycle["uploaded"] <= len(changed)
        # Lookback lags: what was just changed is there at once, its last entries of history a cycle later.
        assert cycle["histories"]["incomplete"] == cycle["histories"]["awaited"] > 0
        rally.post("clock", {"advance_seconds": 120})
        later = run_command("sync", str(file), "--once", "--json", *state).report
        assert later["histories"] == {"complete": later["uploaded"], "incomplete": 0, "awaited": 0, "unverifiable": 0}
        assert_same_issues(rally, target)
        assert run_command("sync", str(file), "--once", "--json", *state).report["uploaded"] == 0
        assert rally.fetch_stats()["writeAttempts"] == []


def test_the_same_connector_fills_a_second_host_with_the_same_issues(tmp_path: Path) -> None:
    with (
        start_simulator("--items", "150") as rally,
        start_server(tmp_path / "one.sqlite") as one,
        start_server(tmp_path / "two.sqlite") as two,
    ):
        for number, target in enumerate((one, two)):
            file = write_settings(tmp_path / f"{number}.json", rally, target)
            done = run_command("sync", str(file), "--once", "--state", str(tmp_path / "state.sqlite"))
            assert done.code == 0, done.err
        assert fetch_issues(one) == fetch_issues(two)
        assert_same_issues(rally, two)


def ended_or_holds(running: subprocess.Popen[str], target: RunningServer, count: int) -> bool:
    return running.poll() is not None or len(fetch_issues(target)) >= count


def test_a_sync_that_is_killed_again_and_again_ends_whole(tmp_path: Path) -> None:
    with (
        start_simulator("--items", "400", "--latency-ms", "20") as rally,
        start_server(tmp_path / "host.sqlite") as target,
    ):
        file = write_settings(tmp_path / "rally.json", rally, target, pageSize=20, uploadMaxItems=7)
        arguments = ["sync", str(file), "--once", "--json", "--state", str(tmp_path / "state.sqlite")]
        for uploads in (10, 60, 120, 200):
            with start_command(*arguments) as running:
                wait_until(partial(ended_or_holds, running, target, uploads))
                running.send_signal(signal.SIGKILL)
            rally.post("work", {"steps": 3})
        done = run_command(*arguments)
        assert done.code == 0, done.err
        assert done.report["read"] > 0
        rally.post("clock", {"advance_seconds": 120})
        again = run_command(*arguments)
        assert again.code == 0
        assert_same_issues(rally, target)


def test_a_dry_run_shows_everything_and_leaves_no_trace(tmp_path: Path) -> None:
    with start_simulator("--items", "100") as rally, start_server(tmp_path / "host.sqlite") as target:
        file = write_settings(tmp_path / "rally.json", rally, target)
        state = tmp_path / "state.sqlite"
        done = run_command("sync", str(file), "--dry-run", "--json", "--state", str(state))
        assert done.code == 0, done.err
        assert done.report["wouldUpload"]
        assert not state.exists()
        assert fetch_issues(target) == {}


def test_a_running_service_stops_cleanly_and_goes_on_later(tmp_path: Path) -> None:
    with start_simulator("--items", "100") as rally, start_server(tmp_path / "host.sqlite") as target:
        file = write_settings(tmp_path / "rally.json", rally, target)
        arguments = ["sync", str(file), "--every", "1s", "--json", "--state", str(tmp_path / "state.sqlite")]
        with start_command(*arguments) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            assert '"outcome": "complete"' in running.stdout.readline()
            rally.post("work", {"steps": 5})
            while '"uploaded": 0' in (line := running.stdout.readline()):
                pass
            assert '"outcome": "complete"' in line
            # The changes of a moment ago are in Lookback a little later, and so are the last entries of their history.
            rally.post("clock", {"advance_seconds": 120})
            assert any('"incomplete": 0' in line for line in running.stdout)
            running.send_signal(signal.SIGTERM)
            assert running.wait(PATIENCE_SECONDS) == 0
            assert "The next run continues" in running.stderr.read()
        assert_same_issues(rally, target)


def test_a_project_that_is_opened_again_brings_what_changed_long_ago(tmp_path: Path) -> None:
    with start_simulator("--items", "150") as rally, start_server(tmp_path / "host.sqlite") as target:
        rally.post("close", {"project": "Team Birch"})
        # No project is named: the whole workspace is read, and nothing in the closed project changes later.
        file = write_settings(tmp_path / "rally.json", rally, target, overlapMinutes=0)
        arguments = ("sync", str(file), "--once", "--json", "--state", str(tmp_path / "state.sqlite"))
        assert run_command(*arguments).code == 0
        assert_same_issues(rally, target)
        before = len(fetch_issues(target))
        rally.post("close", {"project": "Team Birch", "open": True})
        opened = run_command(*arguments)
        assert (opened.code, opened.report["uploaded"] > 0) == (0, True), opened.err
        assert len(fetch_issues(target)) > before
        assert_same_issues(rally, target)
        idle = run_command(*arguments).report
        assert (idle["read"], idle["uploaded"]) == (0, 0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"projects": "Sample Company Delivery"}, "child projects have"),
        ({"query": '(Name = "no such name")'}, "filter (query) excludes all items"),
    ],
    ids=["parent", "query"],
)
def test_a_dry_run_says_why_there_are_no_items(tmp_path: Path, given: dict[str, str], said: str) -> None:
    with start_simulator("--items", "60") as rally:
        file = tmp_path / "rally.json"
        properties = {"baseUrl": rally.url, "apiKey": rally.key, **given}
        file.write_text(json.dumps([{"type": "ucv-ext-rally", "name": "sample", "properties": properties}]))
        done = run_command("sync", str(file), "--dry-run", "--state", str(tmp_path / "state.sqlite"))
        as_json = run_command("sync", str(file), "--dry-run", "--json", "--state", str(tmp_path / "state.sqlite"))
    assert (done.code, as_json.code) == (0, 0)
    assert said in " ".join((done.out + done.err).split())
    assert said in as_json.report["empty"]
    assert list(tmp_path.iterdir()) == [file]
