"""Whole processes, started as users start them, on free ports, stopped by their own process id."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from support.ground_truth import build_expected_history, read_uploaded_history
from support.process_starter import start_process
from support.waiting import PATIENCE_SECONDS

MODULE = "rally_accelerate.cli.entry"
COMMAND = [sys.executable, "-m", MODULE]


@dataclass(frozen=True)
class Simulator:
    """A simulated Rally in a process of its own."""

    url: str
    key: str

    def post(self, control: str, body: Any = None) -> Any:
        """Tell the simulator to do something."""
        answer = httpx2.post(f"{self.url}/_sandbox/{control}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fetch_stats(self) -> dict[str, Any]:
        """What it was asked."""
        stats: dict[str, Any] = httpx2.get(f"{self.url}/_sandbox/stats", timeout=PATIENCE_SECONDS).json()
        return stats

    def fetch_ground_truth(self, kind: str) -> dict[str, dict[str, Any]]:
        """Every item of a kind in the default workspace, by ObjectID; ``visible`` tells whether Rally shows it."""
        answer = httpx2.get(f"{self.url}/_sandbox/truth/{kind}", timeout=60)
        rows = [json.loads(line) for line in answer.text.splitlines()]
        # The default workspace was founded first.
        default = min(row["workspace"] for row in rows)
        return {str(row["object_id"]): row for row in rows if row["workspace"] == default}


@dataclass(frozen=True)
class RunningServer:
    """An embedded host in a process of its own."""

    url: str
    key: str
    #: The password of ``admin``.
    password: str
    process: subprocess.Popen[str]

    def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask its GraphQL endpoint as any client would."""
        answer = httpx2.post(
            f"{self.url}/release-events-api/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"UserAccessKey {self.key}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert "errors" not in body, body
        data: dict[str, Any] = body["data"]
        return data


@contextmanager
def terminate_on_exit(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is asked to end, and made to if it does not."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def start_command(*arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The command line as a running process; it is gone at the end, whatever happened."""
    pipe = subprocess.PIPE
    with terminate_on_exit(
        start_process(MODULE, *arguments, stdout=pipe, stderr=pipe, env=build_environment(**more))
    ) as process:
        yield process


@contextmanager
def start_simulator(*options: str) -> Iterator[Simulator]:
    """Start a simulator."""
    how = {"stdout": subprocess.PIPE, "stderr": None, "env": build_environment()}
    with terminate_on_exit(start_process("rally_sandbox", "--port", "0", *options, **how)) as process:
        assert process.stdout is not None
        message = json.loads(process.stdout.readline())
        yield Simulator(message["url"], message["apiKey"])


@contextmanager
def start_server(database: Path) -> Iterator[RunningServer]:
    """Start an embedded host on a new database."""
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "env": build_environment()}
    with terminate_on_exit(
        start_process(MODULE, "serve", "--port", "0", "--database", str(database), **how)
    ) as process:
        values: dict[str, str] = {}
        assert process.stdout is not None
        while "key" not in values:
            line = process.stdout.readline()
            assert line, "the host ended before it told its key"
            name, _, value = line.partition(":")
            # "sign in: admin / PASSWORD (shown only now)", and words with one value.
            values[name.strip()] = value.rpartition(" / ")[2].split()[0] if value.split() else ""
        yield RunningServer(values["host"], values["key"], values["sign in"], process)


def build_environment(**more: str) -> dict[str, str]:
    """The process environment without anything that configures the product, unbuffered."""
    unrelated = {name: value for name, value in os.environ.items() if not name.startswith(("RALLY_", "ACCELERATE_"))}
    return {**unrelated, "PYTHONUNBUFFERED": "1", **more}


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The last line of ``--json``."""
        report: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return report


def run_command(*arguments: str, **more: str) -> Finished:
    """Run the command line to its end."""
    pipe = subprocess.PIPE
    with start_process(MODULE, *arguments, stdout=pipe, stderr=pipe, env=build_environment(**more)) as process:
        try:
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
    return Finished(process.returncode, out, err)


def write_settings(path: Path, rally: Simulator, target: RunningServer, **properties: Any) -> Path:
    """A settings file as a user has it."""
    defaults = {"baseUrl": rally.url, "apiKey": rally.key, "accelerateUrl": target.url, "ucvAccessKey": target.key}
    integration = {"type": "ucv-ext-rally", "name": "sample", "properties": {**defaults, **properties}}
    path.write_text(json.dumps({"integrations": [integration]}))
    return path


ISSUES = """
query issues($filter: IssuesFilter!) {
  issues(filter: $filter) { _id trackerId issue { _id id name description status type normalizedType owner creator url
    created lastUpdate priority storyPoints labels epic rawIssue project { id key name } relations { id type }
    sprints { id name previous } comments { id user comment } releases { id name }
    history { timestamp content { field type from to user } } } }
}
"""
TENANT = "5ade13625558f2c6688d15ce"


def fetch_issues(target: RunningServer) -> dict[str, dict[str, Any]]:
    """Every issue that a host holds, by external id; fails when one is there twice."""
    issues: dict[str, dict[str, Any]] = {}
    skip = 0
    while True:
        page = target.query(ISSUES, filter={"tenantId": TENANT, "skip": skip, "limit": 500})["issues"]
        for row in page:
            assert row["issue"]["_id"] not in issues, "an issue is there twice"
            issues[row["issue"]["_id"]] = row["issue"]
        if len(page) < 500:
            return issues
        skip += 500


def assert_same_issues(rally: Simulator, target: RunningServer) -> None:
    """The host holds exactly what the simulator's own records say, every change of their past included."""
    everything = rally.fetch_ground_truth("hierarchicalrequirement") | rally.fetch_ground_truth("defect")
    truth = {key: item for key, item in everything.items() if item["visible"]}
    issues = fetch_issues(target)
    assert set(truth) <= set(issues)
    # What was deleted or closed away after it was synced stays, with another status (docs/explanation/delivery.md).
    assert set(issues) <= set(everything)
    for key, item in truth.items():
        values, issue = item["values"], issues[key]
        owner = values["Owner"]["name"] if values["Owner"] else None
        expected = (item["formatted_id"], values["Name"].strip(), values["ScheduleState"], owner)
        assert (issue["id"], issue["name"], issue["status"], issue["owner"]) == expected
        assert read_uploaded_history(issue) == build_expected_history(item), item["formatted_id"]
